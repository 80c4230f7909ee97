"""What is new in a text, and what was copied, where the answer is known."""

import numpy as np
import pytest

from rnnscope.analysis.novelty import Matches, Passage, new_lines, novel_texts, repeated, text_of
from rnnscope.analysis.structure import Share
from rnnscope.analysis.suffix_array import SuffixArray
from rnnscope.data.vocabulary import Vocabulary

TRAINING = "to be or not to be, that is the question"


def ids_of(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


@pytest.fixture
def training() -> SuffixArray:
    return SuffixArray(ids_of(TRAINING))


@pytest.mark.parametrize("text", ["that is not the question", "zz", "or not to be, that", "t"])
def test_new_n_grams_are_those_that_a_search_does_not_find(training, text):
    matches = Matches(training, ids_of(text))
    for n in (1, 3, 5):
        grams = [text[at : at + n] for at in range(len(text) - n + 1)]
        assert matches.new(n) == Share(sum(gram not in TRAINING for gram in grams), len(grams))


def test_the_longest_passage_and_where_it_is(training):
    assert Matches(training, ids_of("xx not to be, thus")).longest() == Passage(2, 14, TRAINING.index(" not to be, th"))
    assert Matches(training, ids_of("")).longest() == Passage(0, 0, 0)
    assert Matches(training, ids_of(TRAINING)).longest() == Passage(0, len(TRAINING), 0)


def test_a_loop_repeats_itself():
    assert repeated(ids_of("ab" * 20), 10) == Share(29, 31)
    assert repeated(ids_of("abcdefghij"), 10) == Share(0, 1)
    assert repeated(ids_of("abc"), 10) == Share(0, 0)


def test_new_lines():
    assert new_lines("a\nb\n\n---\nc d\na", {"a", "c"}) == Share(2, 4)


def test_samples_stand_on_lines_of_their_own():
    vocabulary = Vocabulary("char", ["?", "<s>", "</s>", "a", "b", "\n"])
    assert text_of(vocabulary, np.array([1, 3, 4, 2, 1, 2, 1, 4, 2])) == "ab\nb"
    assert text_of(vocabulary, np.array([1, 3, 5, 4])) == "a\nb"


def test_texts_without_a_new_line_are_drawn_again():
    rounds = {0: ["old\nnew\n", "old\n", "--\n"], 1: ["newer\nold"]}
    assert list(novel_texts(lambda round: rounds.get(round, []), 3, {"old"})) == ["new\n", "newer\n"]
    assert list(novel_texts(lambda round: ["old"], 1, {"old"})) == []
    assert list(novel_texts(lambda round: ["old\r\nnew\u2028old"], 1, {"old"})) == ["new\u2028"]  # whatever ends a line
