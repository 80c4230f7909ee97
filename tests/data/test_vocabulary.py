import json
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import user_error

from rnnscope.data.config import DatasetConfig
from rnnscope.data.vocabulary import BYTES, Vocabulary, check_size, token_counts

TEXT = st.text(st.sampled_from("ab <unk>\n'’é\u0301日👩\u200d") | st.characters(exclude_categories=["Cs"]), max_size=60)


def built(texts: list[str], level: str, **options) -> Vocabulary:
    tally = token_counts(level, options.get("words", "lossless"))
    tally.add(texts)
    return Vocabulary.build(tally.counts(), DatasetConfig(level=level, **options))


@given(TEXT, st.sampled_from(["char", "byte", "word"]))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_text_to_ids_to_text_is_exact_where_nothing_is_unknown(text, level):
    vocabulary = built([text], level)
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int64
    assert vocabulary.decode(ids) == vocabulary.decode(ids, specials=True) == text
    assert vocabulary.unknown(text) == []
    if level != "byte":
        assert not np.isin(ids, [vocabulary.unk, vocabulary.start, vocabulary.end]).any()


@given(TEXT, TEXT, st.sampled_from(["char", "word"]))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_what_is_not_known_is_unk_and_is_named(known, text, level):
    vocabulary = built([known], level)
    ids = vocabulary.encode(text)
    split = token_counts(level)
    split.add([text])
    unknown = [token for token in split.counts() if token not in vocabulary.tokens[3:]]
    assert sorted(vocabulary.unknown(text)) == sorted(unknown)
    assert np.count_nonzero(ids == 0) == sum(split.counts()[token] for token in unknown)


@given(st.text(max_size=40))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_bytes_are_utf8(text):
    vocabulary = built([], "byte")
    assert vocabulary.encode(text).tolist() == list(text.encode())
    assert (len(vocabulary), vocabulary.unk, vocabulary.start, vocabulary.end) == (256, None, 10, None)


def test_lone_surrogates_from_a_command_line_do_no_harm():
    for level in ("char", "byte", "word"):
        assert len(built(["abc"], level).encode("a\udcff")) >= 2


def test_the_most_frequent_come_first_and_ties_by_spelling():
    vocabulary = Vocabulary.build(Counter("cbbaac d"), DatasetConfig(level="char"))
    assert vocabulary.tokens == ["<unk>", "<s>", "</s>", "a", "b", "c", " ", "d"]
    assert vocabulary.encode("abz").tolist() == [3, 4, 0]


def test_cap_counts_the_special_tokens_and_minimum_count_drops_the_rare():
    counts = Counter("aaabbbccd")
    assert Vocabulary.build(counts, DatasetConfig(level="char", vocabulary_size=5)).tokens[3:] == ["a", "b"]
    assert Vocabulary.build(counts, DatasetConfig(level="char", minimum_count=2)).tokens[3:] == ["a", "b", "c"]


def test_special_spellings_in_the_text_are_text():
    text = "<unk> <s> </s> UNK"
    for level in ("char", "word"):
        vocabulary = built([text], level, unk="UNK")
        assert 0 not in vocabulary.encode(text)
        assert vocabulary.decode(vocabulary.encode(text)) == text
    spaced = built([text], "word", words="space", unk="UNK")
    assert spaced.encode("UNK <s>").tolist() == [spaced.tokens.index("UNK", 3), spaced.tokens.index("<s>", 3)]


def test_unless_the_dataset_says_so():
    for words in ("space", "lossless"):
        vocabulary = Vocabulary.build(
            Counter({"a": 2, "<unk>": 3, " <unk>": 3}), DatasetConfig(level="word", words=words, unk_in_text=True)
        )
        assert vocabulary.tokens == ["<unk>", "<s>", "</s>", "a"]
        assert vocabulary.encode("<unk> <unk>").tolist() == [0, 0]


def test_special_tokens_are_spelled_as_configured():
    vocabulary = Vocabulary.build(Counter("ab"), DatasetConfig(level="char", unk="?", start="^", end="$"))
    assert vocabulary.decode([1, 3, 0, 4, 2]) == "a?b"
    assert vocabulary.decode([1, 3, 0, 4, 2], specials=True) == "^a?b$"


def test_units_stand_between_start_and_end():
    vocabulary = Vocabulary.build(Counter("ab"), DatasetConfig(level="char"))
    assert vocabulary.encode_units(["ab", "", "b"]).tolist() == [1, 3, 4, 2, 1, 2, 1, 4, 2]
    assert vocabulary.encode_units([]).tolist() == []


def test_prompts_are_treated_as_the_training_text_was():
    vocabulary = Vocabulary.build(Counter("abé"), DatasetConfig(level="char", lower_case=True, normalise="NFC"))
    assert vocabulary.encode("AE\u0301B").tolist() == vocabulary.encode("aéb").tolist()
    assert vocabulary.unknown("ABC") == ["c"]


@given(TEXT, st.sampled_from(["char", "byte", "word"]))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_decoding_one_at_a_time_is_decoding_all(text, level):
    vocabulary = built([text[::2]], level)
    ids = vocabulary.encode(text)
    decoder = vocabulary.decoder()
    assert "".join(decoder.feed(int(id)) for id in ids) + decoder.finish() == vocabulary.decode(ids)


def test_generated_bytes_are_always_valid_text():
    vocabulary = built([], "byte")
    text = vocabulary.decode(np.random.default_rng(0).integers(0, 256, 1000))
    assert text.encode("utf-8").decode("utf-8") == text


@pytest.mark.parametrize("words", ["penn", "space"])
def test_words_that_lose_their_spaces_still_read_well(words):
    vocabulary = built(["the dog , said she ."], "word", words=words)
    text = "the dog, said she." if words == "penn" else "the dog , said she ."
    assert vocabulary.decode(vocabulary.encode("the dog , said she .")) == text


@given(TEXT, st.sampled_from(["char", "byte", "word"]))
@settings(max_examples=40, derandomize=True, deadline=None)
def test_through_json_and_back(text, level):
    vocabulary = built([text, "ab"], level, lower_case=True, normalise="NFKC")
    again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert again.to_json() == vocabulary.to_json()
    assert again.encode(text).tolist() == vocabulary.encode(text).tolist()


GOOD = Vocabulary.build(Counter("ab"), DatasetConfig(level="char")).to_json()


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ([], ["version 1"]),
        ({"version": 2}, ["version 1"]),
        ({"level": "pixel"}, ["level"]),
        ({"words": "os.system"}, ["words"]),
        ({"normalise": "rot13"}, ["normal form"]),
        ({"lower_case": 1}, ["lower_case", "true", "false"]),
        ({"tokens": "abcdef"}, ["tokens", "list"]),
        ({"tokens": ["a", "b", "c", 4]}, ["tokens", "list"]),
        ({"tokens": ["a", "b", "c"]}, [3, "tokens", 4, 1000000]),
        ({"tokens": ["x"] * 1_000_001}, [1000001, "tokens", 4, 1000000]),
        ({"tokens": ["a", "b", "c", "d", "d"]}, ["token", "twice"]),
        ({"tokens": ["a", "b", "c", "de"]}, ["token", "one character"]),
        ({"level": "byte"}, [256, "bytes"]),
    ],
)
def test_files_that_are_no_vocabulary(change, parts):
    data = GOOD | change if isinstance(change, dict) else change
    if isinstance(data, dict) and data["level"] == "byte":
        data["tokens"] = BYTES[::-1]
    with user_error(*parts, "vocabulary.json"):
        Vocabulary.from_json(data)


@pytest.mark.parametrize("key", ["level", "tokens", "words", "lower_case", "normalise", "unk_in_text"])
def test_a_vocabulary_that_lacks_a_key(key):
    with user_error(key, "vocabulary.json"):
        Vocabulary.from_json({name: value for name, value in GOOD.items() if name != key})


@pytest.mark.parametrize(
    ("level", "cap", "parts"),
    [
        ("char", 0, ["dataset.vocabulary_size", 0, 4, "UNK", "START", "END", "null"]),
        ("word", 3, ["dataset.vocabulary_size", 3, 4, "UNK", "START", "END", "null"]),
        ("pixel", None, ["dataset.level", "pixel", "char", "byte", "word"]),
    ],
)
def test_bad_sizes(level, cap, parts):
    with user_error(*parts):
        check_size(level, cap)
    check_size("byte", cap)  # the 256 bytes are there whatever the size, and a warning says so


def test_characters_need_no_tokenizer_library():
    import subprocess

    code = (
        "import sys; from rnnscope.data.config import DatasetConfig; from rnnscope.data.vocabulary import Vocabulary; "
        "v = Vocabulary.build({'a': 1}, DatasetConfig(level='char')); v.encode('a'); "
        "sys.exit(any(name in sys.modules for name in ('tokenizers', 'nltk', 'nupunkt', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
