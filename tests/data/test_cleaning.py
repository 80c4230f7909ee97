import unicodedata

import pytest
from clean_texts import dataset_config
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import counted, user_error

from rnnscope.data.cleaning import Cleaner, clean, cut_blocks, fold
from rnnscope.data.config import CorpusConfig, DatasetConfig
from rnnscope.data.prepare import prepare

MIXED = st.text(st.sampled_from("ab  \n\n\rÅéſİΣς\u0301\ufeff.") | st.characters(), max_size=200)


def cleaned(text: str, pieces: int = 1, **options) -> tuple[str, Cleaner]:
    cleaner = Cleaner(DatasetConfig(**options))
    step = max(len(text) // pieces, 1)
    blocks = [text[i : i + step] for i in range(0, len(text), step)]
    return "".join(cleaner.clean(iter(blocks))), cleaner


@given(MIXED, st.integers(1, 40))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_blocks_are_the_text_again(text, size):
    assert "".join(cut_blocks([text[:7], text[7:]], size)) == text


@given(MIXED, st.integers(1, 20), st.sampled_from([None, "NFC", "NFD", "NFKC"]), st.booleans())
@settings(max_examples=150, derandomize=True, deadline=None)
def test_cleaning_in_blocks_is_cleaning_the_whole(text, size, form, lower):
    blocks = list(cut_blocks([text], size))
    if max(map(len, blocks), default=0) >= 4 * size:  # cut where there was no safe place
        return
    assert "".join(fold(block, form, lower) for block in blocks) == fold(text, form, lower)


@given(MIXED, st.integers(1, 30))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_universal_newlines_as_python_reads_them(text, pieces):
    line_fed = text.replace("\r\n", "\n").replace("\r", "\n")
    assert cleaned(text, pieces, strip_bom=False)[0] == line_fed
    assert cleaned(text, pieces, strip_bom=False, newline="crlf")[0] == line_fed.replace("\n", "\r\n")
    assert cleaned(text, pieces, strip_bom=False, newline="keep")[0] == text


@given(MIXED)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_folding_twice_changes_nothing_more(text):
    once = fold(text, "NFC", True)
    assert fold(once, "NFC", True) == once
    assert unicodedata.is_normalized("NFC", once)


def test_line_ends_are_counted():
    text, cleaner = cleaned("one\r\ntwo\rthree\r\n\r\nfour\n", pieces=9)
    assert text == "one\ntwo\nthree\n\nfour\n"
    assert counted(cleaner.changes, "CR LF") == 3
    assert counted(cleaner.changes, "lone CR") == 1


def test_only_the_first_byte_order_mark_is_stripped():
    text, cleaner = cleaned("\ufeffone\ufefftwo")
    assert text == "one\ufefftwo"
    assert counted(cleaner.changes, "byte order marks", "stripped") == 1
    assert counted(cleaner.changes, "byte order marks", "U+FEFF") == 1
    assert cleaned("\ufeffone", strip_bom=False)[0] == "\ufeffone"


def test_remove_cuts_and_counts():
    text, cleaner = cleaned("Hello (laughter) all, 2015-08-01.\n(laughter)\n", remove=(r"\(laughter\) ?", r"\d+-\d+-\d+"))
    assert text == "Hello all, .\n\n"
    assert counted(cleaner.changes, "dataset.remove", "matches") == 3
    assert counted(cleaner.changes, "dataset.remove", "characters") == len("(laughter) (laughter)2015-08-01")
    assert cleaner.removed["0"] == 3
    assert cleaner.matched == {r"\(laughter\) ?", r"\d+-\d+-\d+"}


def test_gutenberg_header_and_footer():
    text = "Title\n*** START OF THIS PROJECT GUTENBERG EBOOK X ***\nthe book\n*** END OF THIS PROJECT\nlicense\n"
    assert cleaned(text, strip_gutenberg=True)[0] == "the book\n"
    long = text.replace("EBOOK X ***", "EBOOK OF A LONG\nTITLE; OR, X ***")
    assert cleaned(long, strip_gutenberg=True, corpus=CorpusConfig(reader_version=6))[0] == "the book\n"
    assert cleaned(long, strip_gutenberg=True)[0] == "TITLE; OR, X ***\nthe book\n"  # as older versions read it
    kept = CorpusConfig(reader_version=6)
    typed = long.replace("\n", "\r\n")
    assert cleaned(typed, strip_gutenberg=True, newline="keep", corpus=kept)[0] == "the book\r\n"
    typed = text.replace("***\n", "***\nCHAPTER I ***\n", 1).replace("\n", "\r\n")
    assert cleaned(typed, strip_gutenberg=True, newline="keep", corpus=kept)[0] == "CHAPTER I ***\r\nthe book\r\n"
    stars = text.replace("X ***\n", "X ***\nTitle ***\n")
    assert cleaned(stars, strip_gutenberg=True, corpus=CorpusConfig(reader_version=6))[0] == "Title ***\nthe book\n"
    other, cleaner = cleaned("just a book\n", strip_gutenberg=True)
    assert other == "just a book\n"
    assert counted(cleaner.changes, "files", "Gutenberg's") == 1


def test_alice_without_license(shared_data):
    raw = (shared_data / "alice.txt").read_bytes().decode()
    text, _ = cleaned(raw, pieces=7, strip_gutenberg=True)
    assert text.lstrip().startswith("ALICE’S ADVENTURES IN WONDERLAND")
    assert text.rstrip().endswith("THE END")
    assert "\r" not in text


@given(MIXED, st.sampled_from(["universal", "keep", "crlf"]), st.booleans(), st.sampled_from([None, "NFC", "NFKD"]))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_a_text_in_memory_is_cleaned_as_a_file_with_it(tmp_path_factory, text, newline, lower, form):
    text = f"(sic) {text} abc"
    keys = {"newline": newline, "lower_case": lower, "normalise": form, "remove": [r"\(sic\) ?"]}
    folder = tmp_path_factory.mktemp("text")
    (folder / "text.txt").write_bytes(text.encode())
    corpus = {"path": str(folder / "text.txt")}
    config = dataset_config({"corpus": corpus, "split": {"train": 1.0, "val": 0.0, "test": 0.0}, **keys})
    read = prepare(config, folder / "cache", None, print)
    assert clean(text, vars(config)) == clean(text, keys) == read.vocabulary.decode(read.stream("train")[1:])


def test_lower_case_counts_what_changed():
    text, cleaner = cleaned("A Bee", lower_case=True)
    assert text == "a bee"
    assert counted(cleaner.changes, "lower_case", "normalise") == 2


def test_a_long_line_without_spaces_needs_no_more_than_some_blocks():
    text = "x" * 9_000_001
    assert max(map(len, cut_blocks(text[i : i + 65536] for i in range(0, len(text), 65536)))) < 5 << 20


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"newline": "unix"}, ["dataset.newline", "unix", "universal", "keep", "crlf"]),
        ({"normalise": "NFX"}, ["dataset.normalise", "NFX", "null", "NFC", "NFD", "NFKC", "NFKD"]),
        ({"remove": ("(",)}, ["dataset.remove", "'('", "regular expression", "missing )", "position 0"]),
    ],
)
def test_bad_options(options, parts):
    with user_error(*parts):
        Cleaner(DatasetConfig(**options))
