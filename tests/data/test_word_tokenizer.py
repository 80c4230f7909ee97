import re
import unicodedata
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import user_error

from rnnscope.data.word_tokenizer import SpacedDecoder, WordCodec, WordCounts, splitter

MIXED = st.text(st.sampled_from("ab  \n\n\t'’-.,1²½é\u0301_<>日") | st.characters(exclude_categories=["Cs"]), max_size=80)


@given(MIXED)
@settings(max_examples=200, derandomize=True, deadline=None)
def test_lossless_words_join_to_the_text(text):
    assert "".join(splitter("lossless")(text)) == text


def test_lossless_words_read_well():
    assert splitter("lossless")("Don't pay $3.50, Mr. O’Neil-Smith!\n  x = y_1") == (
        ["Don't", " pay", " $", "3.50", ",", " Mr", ".", " O’Neil-Smith", "!", "\n  ", "x", " =", " y", "_", "1"]
    )


@given(st.lists(MIXED, max_size=5), st.sampled_from(["lossless", "penn", "space"]))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_ids_are_looked_up_word_by_word(texts, words):
    split = splitter(words)
    tokens = sorted({word for text in texts for word in split(text)})[::2]
    plain = {token: i + 3 for i, token in enumerate(tokens)}
    codec = WordCodec(tokens, 3, words, None)
    ids, lengths = codec.batch(texts)
    assert ids.tolist() == [plain.get(word, 0) for text in texts for word in split(text)]
    assert lengths.tolist() == [len(split(text)) for text in texts]


SPACES = "".join(chr(i) for i in range(0x3001) if chr(i).isspace() or unicodedata.category(chr(i))[0] in "ZC")


@given(st.text(st.sampled_from(SPACES + " a1.\ue000") | st.characters(exclude_categories=["Cs"]), max_size=60))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_stretches_are_split_as_the_whole_is(text):
    words = splitter("lossless")(text)
    tokens = sorted(set(words))
    assert [tokens[id - 3] for id in WordCodec(tokens, 3, "lossless", None).ids(text)] == words
    counts = WordCounts("lossless")
    counts.add([text])
    assert counts.counts() == Counter(words)


def test_every_kind_of_white_space_between_words():
    text = "".join(f"a{space}b  {space}1{space}." for space in SPACES)
    words = splitter("lossless")(text)
    tokens = sorted(set(words))
    assert [tokens[id - 3] for id in WordCodec(tokens, 3, "lossless", None).ids(text)] == words


def test_what_is_kept_is_limited(monkeypatch):
    monkeypatch.setattr("rnnscope.data.word_tokenizer.KEPT", 3)
    monkeypatch.setattr("rnnscope.data.word_tokenizer.REMEMBERED", 3)
    codec, counts = WordCodec(["a", " b"], 3, "lossless", None), WordCounts("lossless")
    for text in ("a b", "c d e f", "a b", "g h", "a a b"):
        counts.add([text])
        assert codec.ids(text).tolist() == [{"a": 3, " b": 4}.get(word, 0) for word in splitter("lossless")(text)]
    assert counts.counts()[" b"] == 3


def test_lone_surrogates_do_no_harm():
    assert WordCodec(["a"], 3, "lossless", None).ids("a\ud800").tolist() == [3, 0]


def test_unknown_in_the_text_is_one_word():
    assert splitter("lossless", "<unk>")("a <unk><unk> b") == ["a", " <unk>", "<unk>", " b"]
    assert splitter("lossless")("a <unk>") == ["a", " <", "unk", ">"]


def test_counts():
    counts = WordCounts("space")
    counts.add(["a b a", "b c"])
    counts.add([])
    assert counts.counts() == {"a": 2, "b": 2, "c": 1}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("Do n't pay $ 3.50 , Mr. Smith !", "Don't pay $3.50, Mr. Smith!"),
        ("`` Well ( so ) , '' she said .", '"Well (so)," she said.'),
        ("It 's ; they 're", "It's; they're"),
    ],
)
def test_treebank_words_read_well(words, text):
    decoder = SpacedDecoder(plain=False)
    assert "".join(map(decoder.feed, words.split())) == text


def test_treebank_words_of_real_sentences_come_back(shared_data):
    text = (shared_data / "war_and_peace.txt").read_text("utf-8")[:20_000]
    lines = [line for line in text.split("\n") if line and not re.search(r"['\"`]|--|  |\.\.\.", line)]
    split = splitter("penn")
    exact = sum("".join(map(SpacedDecoder(plain=False).feed, split(line))) == line for line in lines)
    assert len(lines) > 100
    assert exact / len(lines) > 0.98


def test_unknown_splitter():
    with user_error("dataset.words", "moses", "lossless", "penn", "space"):
        splitter("moses")
