import gzip
import lzma
import os

import numpy as np
import pytest
from clean_texts import dataset_config
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import assert_says, line_with, user_error

from rnnscope.data.prepare import PreparedText, prepare


def prepared(folder, content: str | bytes, vocabulary=None, **keys) -> PreparedText:
    path = folder / "text.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    corpus = {"path": str(path)} | keys.pop("corpus", {})
    return prepare(dataset_config({"corpus": corpus, **keys}), folder / "cache", vocabulary, print)


def texts(text: PreparedText) -> list[str]:
    return [text.vocabulary.decode(text.stream(split)[1:]) for split in ("train", "val", "test")]


def test_tiny_shakespeare_is_divided_as_nanogpt_does(shared_data, tmp_path):
    path = shared_data / "tiny_shakespeare.txt"
    text = prepare(dataset_config({"corpus": {"path": str(path)}}), tmp_path, None, print)
    content = path.read_text()
    at = int(0.9 * len(content))
    assert texts(text) == [content[:at], content[at:], ""]
    assert len(text.vocabulary) == 65 + 3
    assert (text.splits["train"].tokens, text.splits["val"].tokens) == (1_003_854, 111_540)
    assert text.splits["train"].unknown == text.splits["val"].unknown == 0
    assert text.stream("train")[0] == text.vocabulary.start
    assert text.stream("train").dtype == np.uint8


def test_penn_treebank_has_the_usual_numbers_of_words(shared_data, tmp_path):
    corpus = {"path": "ptb_train.txt", "val_path": "ptb_valid.txt", "test_path": "ptb_test.txt"}
    corpus = {key: str(shared_data / name) for key, name in corpus.items()}
    options = {"level": "word", "words": "space", "unk_in_text": True, "start_end": "line"}
    text = prepare(dataset_config({"corpus": corpus, **options}), tmp_path, None, print)
    assert [text.splits[split].tokens for split in ("train", "val", "test")] == [929_589, 73_760, 82_430]
    assert len(text.vocabulary) == 9_998 + 3
    words = (shared_data / "ptb_valid.txt").read_text().split()
    assert text.splits["val"].unknown == words.count("<unk>")


UNICODE = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("ab é\n\r"), min_size=30, max_size=120)


@given(UNICODE, st.sampled_from(["char", "byte", "word"]))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_nothing_is_lost_between_the_file_and_the_ids(tmp_path_factory, content, level):
    content = f"a b {content}"  # never a single token, never only white space
    text = prepared(tmp_path_factory.mktemp("text"), content, level=level, newline="keep", strip_bom=False)
    cut = text.splits["train"].characters
    parts = (content[:cut], content[cut:], "")
    assert [info.characters for info in text.splits.values()] == list(map(len, parts))
    for split, part in zip(text.splits, parts, strict=True):
        ids, known = text.stream(split)[1:], text.vocabulary
        assert ids.tolist() == known.encode(part).tolist()
        assert len(ids) == text.splits[split].tokens
        if split == "train" or level == "byte":
            assert known.decode(ids) == part
        assert text.splits[split].unknown == (0 if known.unk is None else int((ids == known.unk).sum()))
    if level == "char":
        tokens = [text.vocabulary.tokens[id] for split in text.splits for id in text.stream(split)[1:]]
        assert all(token in (character, "<unk>") for token, character in zip(tokens, content, strict=True))


def test_only_train_makes_the_vocabulary(tmp_path):
    text = prepared(tmp_path, "ab" * 45 + "xxyzé" * 2)
    assert text.vocabulary.tokens[3:] == ["a", "b"]
    assert text.splits["val"].unknown == 10
    line_with("\n".join(text.report), "val", 4, "vocabulary", "<unk>", "'x' 4", "'y' 2", "'z' 2", "'é' 2")


def test_the_cache_is_found_by_content_and_settings(tmp_path, monkeypatch):
    first = prepared(tmp_path, "some text " * 20)
    stamp = (first.folder / "train.ids").stat().st_mtime_ns
    os.utime(tmp_path / "text.txt", (1, 1))
    assert prepared(tmp_path, "some text " * 20).fingerprint == first.fingerprint
    assert (first.folder / "train.ids").stat().st_mtime_ns == stamp
    changed = prepared(tmp_path, "Some text " * 20)
    assert changed.folder != first.folder
    assert changed.fingerprint["text"] != first.fingerprint["text"]
    other = prepared(tmp_path, "some text " * 20, lower_case=True)
    assert other.folder != first.folder
    assert other.fingerprint["text"] == first.fingerprint["text"]
    assert other.fingerprint["streams"] == first.fingerprint["streams"]


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_the_same_bytes_unpacked_are_a_different_text(tmp_path, suffix):
    packed = {".gz": gzip, ".xz": lzma}[suffix].compress(b"some words\n" * 50)
    read = []
    for name in (f"text{suffix}", "text.bin", f"again{suffix}"):
        (tmp_path / name).write_bytes(packed)
        keys = {"corpus": {"path": str(tmp_path / name)}, "level": "byte", "newline": "keep", "strip_bom": False}
        read.append(prepare(dataset_config(keys), tmp_path / "cache", None, print))
    assert [text.splits["train"].tokens + text.splits["val"].tokens for text in read] == [550, len(packed), 550]


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_separator_is_cleaned_as_the_documents_are(tmp_path, shuffle):
    keys = {"newline": "crlf", "split": {"train": 1.0, "val": 0.0}}
    for version, between, lower in ((6, "\r\n+\r\n", False), (5, "\n+\n", False), (6, "\r\nand\r\n", True)):
        separator = "\nAND\r\n" if lower else "\n+\n"
        corpus = {"lines": True, "separator": separator, "shuffle": shuffle, "reader_version": version}
        (whole, *_) = texts(prepared(tmp_path, "one\ntwo\nthree\n", corpus=corpus, lower_case=lower, **keys))
        assert sorted(whole.split(between)) == ["one", "three", "two"]


def test_what_would_have_no_effect_is_refused_in_new_runs(tmp_path):
    text, book = "one\ntwo\n" * 99, {"lines": True, "reader_version": 6}
    with user_error("dataset.strip_gutenberg", "dataset.corpus.lines"):
        prepared(tmp_path, text, corpus=book, strip_gutenberg=True)
    with user_error("dataset.newline", "dataset.start_end=line"):
        prepared(tmp_path, text, corpus={"reader_version": 6}, newline="crlf", start_end="line")
    prepared(tmp_path, text, corpus={"lines": True}, strip_gutenberg=True, newline="crlf", start_end="line")


def test_what_cannot_be_shuffled_is_said(tmp_path):
    sorted_lines = "".join(f"{letter * 30}\n" * 40 for letter in "abcdefghij")
    report = prepared(tmp_path, sorted_lines, corpus={"shuffle": True}).report
    assert_says(
        line_with("\n".join(report), "no effect"), "dataset.corpus.shuffle", "one document", "dataset.corpus.lines=true"
    )
    line_with("\n".join(report), "different kind of text")
    lines = prepared(tmp_path, sorted_lines, corpus={"shuffle": True, "lines": True}).report
    assert not any("shuffle" in line or "different kind" in line for line in lines)


def test_unk_in_the_text_is_not_a_rare_word(tmp_path):
    text = "the <unk> cat\n<unk> the the cat cat once\n" * 9 + "rare\n"
    keys = {"level": "word", "words": "space", "unk_in_text": True, "start_end": "line", "minimum_count": 2}
    (line,) = (
        line for line in prepared(tmp_path, text, **keys, split={"train": 1.0, "val": 0.0}).report if "rare word" in line
    )
    assert_says(line, "1 rare word", "'rare' 1")


def test_a_warm_start_reads_the_text_only_to_hash_it(tmp_path, monkeypatch):
    first = prepared(tmp_path, "some text " * 20)

    def fail(*arguments, **options):
        raise AssertionError("decoded again")

    monkeypatch.setattr("rnnscope.data.sources.decoded", fail)
    assert prepared(tmp_path, "some text " * 20).report == first.report


def test_a_frozen_vocabulary(tmp_path):
    old = prepared(tmp_path, "abc" * 30).vocabulary
    text = prepared(tmp_path, "abd" * 30, old)
    assert text.vocabulary is old
    assert text.splits["train"].unknown == 27
    line_with("\n".join(text.report), "vocabulary", 6, "frozen", "char")
    with user_error("dataset.level", "word", "vocabulary", "char", "char"):
        prepared(tmp_path, "abd" * 30, old, level="word")


def test_lines_are_not_cut_and_stand_between_start_and_end(tmp_path):
    text = prepared(tmp_path, "".join(f"line {i}\n" for i in range(100)), start_end="line")
    assert text.vocabulary.decode(text.stream("val"), specials=True).startswith("<s>line 9")
    assert text.splits["train"].units + text.splits["val"].units == 100
    assert "\n" not in text.vocabulary.tokens


def test_shuffled_lines_are_the_same_lines(tmp_path):
    names = [f"name{i:03}" for i in range(200)]
    options = {"corpus": {"lines": True, "shuffle": True}, "start_end": "document"}
    text = prepared(tmp_path, "\n".join(names), **options)
    shown = [text.vocabulary.decode(text.stream(split), specials=True) for split in ("train", "val")]
    found = "".join(shown).removeprefix("<s>").removesuffix("</s>").split("</s><s>")
    assert found != names
    assert sorted(found) == names


def test_the_report_says_what_was_done(tmp_path):
    content = "\ufeffOne café (laughter)\r\n" + "two lines of text\r\n" * 30
    text = prepared(tmp_path, content, remove=[r" \(laughter\)"], minimum_count=2)
    said = [
        ("text", "1 file", "1 document", 549, "characters", 16, "train"),
        ("stripped", "byte order mark", 1),
        ("changed", "CR LF", 31),
        ("cut", "match", "dataset.remove", 1),
        ("cut", "characters", "dataset.remove", 11),
        ("cut", "' ' 1", "'(' 1", "'l' 1", "'a' 1", "'u' 1", "'g' 1", "'h' 1", "'t' 1"),
        ("vocabulary", 15, "char", 2, "'x'", 27),
        ("rare characters", "<unk>", 4, "'O' 1", "'a' 1", "'c' 1", "'é' 1"),
        ("train", 494, 494, "unknown", 4, "0.81 %"),
        ("val", 55, 55, "unknown", 0, "0 %"),
        ("warning", "val", 55, "too few"),
        (r"'One café\ntwo lines of text\ntwo lines of text\ntwo lines of te'", "0, 8, 5, 3, 0, 0, 7, 0, 9, 4, 13, 6, ..."),
    ]
    for line, parts in zip(text.report, said, strict=True):
        assert_says(line, *parts)


@pytest.mark.parametrize(("level", "words"), [("byte", []), ("word", [5, "words"])])
def test_distinct_characters_are_said_at_every_level(tmp_path, level, words):
    whole = {"train": 1.0, "val": 0.0, "test": 0.0}
    text = prepared(tmp_path, "two lines of été\n" * 30, level=level, split=whole)
    assert_says(text.report[0], "text", 1, 1, 510, 12, "characters", *words, "train")


def test_a_pattern_that_cuts_nothing_is_said(tmp_path):
    text = prepared(tmp_path, "a speech (applause) goes on\n" * 30, remove=[r"\(applause\)", r"\\(applause\\)", "x*"])
    warnings = [line for line in text.report if line.startswith("warning: a pattern")]
    for line, pattern in zip(warnings, [r"\\(applause\\)", "x*"], strict=True):
        assert_says(line, "dataset.remove", pattern)


def test_what_is_strange_in_a_text_is_said(tmp_path):
    text = prepared(tmp_path, "one\rtwo \ufeff inside, and a \0 in the middle of a line\n" * 30)
    changes = [line for line in text.report if line.startswith(("kept ", "changed "))]
    for line, what in zip(changes, ["NUL", "U+FEFF", "lone CR"], strict=True):
        assert_says(line, what, 30)


def test_one_very_long_line(tmp_path):
    content = b"ab " * 33_400_000  # 100 MB
    text = prepared(tmp_path, content, start_end="line")
    assert sum(info.characters for info in text.splits.values()) == len(content)
    assert text.splits["train"].tokens == 90_180_000 + 1
    assert text.splits["train"].units == 1


def test_a_vocabulary_that_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr("rnnscope.data.prepare.LARGEST", 10)
    with user_error("vocabulary", 17, 10, "dataset.vocabulary_size", "dataset.minimum_count"):
        prepared(tmp_path, "many different characters " * 3)


def test_warnings(tmp_path):
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 6000)))
    remedies = ("dataset.encoding", "dataset.vocabulary_size", "dataset.level=byte")
    assert_says(prepared(tmp_path, many * 2).report[1], "warning", "6,000", *remedies)
    chinese = "".join(f"滾滾長江東逝水，浪花淘盡英雄，是非成敗轉頭空{chr(0x5000 + i)}。\n" for i in range(40))
    for words in ("lossless", "penn", "space"):
        report = prepared(tmp_path, chinese, level="word", words=words, start_end="sentence").report
        assert_says(report[1], "warning", "spaces", "dataset.level=char")
        english = prepared(tmp_path, "Words with spaces. " * 9, level="word", words=words, start_end="sentence")
        assert not any("spaces" in line for line in english.report if "warning" in line)


def test_a_huge_vocabulary_of_words_warns(tmp_path):
    words = map(str, range(60_000))
    content = " ".join(words)
    text = prepared(tmp_path, content, level="word")
    assert_says(text.report[2], "warning", f"{len(text.vocabulary):,}", "dataset.vocabulary_size=10000")
    capped = prepared(tmp_path, content, level="word", vocabulary_size=10_000)
    assert not any("warning" in line and "words" in line for line in capped.report)


def test_a_word_without_end_is_shown_by_its_beginning(tmp_path):
    whole = {"train": 1.0, "val": 0.0, "test": 0.0}
    text = prepared(tmp_path, " a few words" * 1000 + " " + "x" * 1000, level="word", split=whole)
    assert_says(text.report[1], "vocabulary", 7, "word", f"' {'x' * 39}...'", 1)
    assert max(map(len, text.report)) < 300


def test_a_text_that_changes_while_it_is_read(tmp_path, monkeypatch):
    from rnnscope.data import prepare as module

    original = module.write_text

    def write_and_change(*arguments, **options):
        text = original(*arguments, **options)
        (tmp_path / "text.txt").write_text("another")
        return text

    monkeypatch.setattr(module, "write_text", write_and_change)
    with user_error("text", "changed"):
        prepared(tmp_path, "some text " * 20)


@pytest.mark.parametrize(
    ("content", "keys", "parts"),
    [
        ("aaaaaaaaaaaaaaaaaaaa", {}, ["train", "'a'"]),
        ("a" * 37, {"level": "word"}, ["train", f"'{'a' * 20}'", "dataset.level=char"]),
        ("some text to read", {"minimum_count": 99}, ["dataset.minimum_count", 99]),
        ("some text to read", {"minimum_count": 0}, ["dataset.minimum_count", 0, 1]),
        ("some text to read", {"unk_in_text": True}, ["dataset.unk_in_text", "true", "dataset.level", "char", "word"]),
        (
            "some text to read",
            {"level": "word", "words": "penn"},
            ["dataset.words", "penn", "dataset.start_end", "sentence", "line"],
        ),
        (
            "some text to read",
            {"unk_in_text": True, "level": "word", "words": "penn", "start_end": "line"},
            ["dataset.unk_in_text", "true", "dataset.words", "penn", "space", "lossless"],
        ),
        (
            "some text to read",
            {"unk_in_text": True, "level": "word", "unk": "<un known>"},
            ["dataset.unk", "<un known>", "white space"],
        ),
        ("some text to read", {"vocabulary_size": 3}, ["dataset.vocabulary_size", 3, 4, "UNK", "START", "END", "null"]),
    ],
)
def test_bad_input(tmp_path, content, keys, parts):
    with user_error(*parts):
        prepared(tmp_path, content, **keys)
    assert not list(tmp_path.glob("cache/streams/*/"))


@pytest.mark.parametrize(("errors", "expected"), [("replace", "caf\ufffd ol\ufffd\n"), ("ignore", "caf ol\n")])
@pytest.mark.parametrize("encoding", ["utf-8", "shift_jis"])
def test_bytes_that_cannot_be_decoded(tmp_path, monkeypatch, errors, expected, encoding):
    monkeypatch.setattr("rnnscope.data.sources.BLOCK", 7)
    content = b"caf\xff ol\xfe\n" * 30
    text = prepared(tmp_path, content, encoding=encoding, encoding_errors=errors)
    assert "".join(texts(text)) == expected * 30
    line_with("\n".join(text.report), "bytes", encoding, 60)
    with user_error("text.txt", encoding, "0xFF", 3, "dataset.encoding", "dataset.encoding_errors=replace"):
        prepared(tmp_path, content, encoding=encoding)
    with user_error("dataset.encoding_errors", "strict", "replace", "ignore"):
        prepared(tmp_path, content, encoding_errors="surrogateescape")


@given(st.binary(min_size=40, max_size=200), st.integers(1, 9))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_any_bytes_are_their_own_tokens(tmp_path_factory, content, block):
    content += b"a"  # not only white space
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rnnscope.data.sources.BLOCK", block)
        text = prepared(tmp_path_factory.mktemp("raw"), content, level="byte", newline="keep", strip_bom=False)
    assert b"".join(text.stream(split)[1:].tobytes() for split in ("train", "val")) == content
    assert len(text.stream("train")) + len(text.stream("val")) == len(content) + 2


def test_settings_that_older_runs_lack_leave_their_digest_as_it_was(tmp_path):
    digest = prepared(tmp_path, "some text " * 20).fingerprint["settings"]
    assert digest == "deeb6addfc773bace488cae4b3b0898a952c5614e56abe18f4c7de9c84edc89d"  # of rnnscope before it had them
    changed = [{"encoding_errors": "ignore"}, {"corpus": {"reader_version": 2}}, {"corpus": {"header": False, "column": "1"}}]
    assert len({digest, *(prepared(tmp_path, "some text\n" * 20, **keys).fingerprint["settings"] for keys in changed)}) == 4
