"""The n-gram's probabilities are those of other implementations, sum to one, and its samples follow them."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from nltk.lm.models import KneserNeyInterpolated
from nltk.util import everygrams

from rnnscope.analysis import ngram
from rnnscope.analysis.ngram import NGram, discounts
from rnnscope.analysis.suffix_array import SuffixArray

V = 4


@pytest.fixture
def text() -> np.ndarray:
    return np.random.default_rng(0).choice(V, 120, p=[0.5, 0.3, 0.15, 0.05]).astype(np.uint8)


def positions_by_hand(ids: np.ndarray) -> list[int]:
    return sorted(range(len(ids)), key=lambda at: ids[at:].tolist())


@pytest.mark.parametrize("ids", [[2, 0, 1, 2, 0, 1], [0] * 40, [300, 5, 300, 5, 300], [70_000, 0, 70_000]], ids=str)
def test_suffixes_are_sorted(ids):
    ids = np.array(ids)
    suffixes = SuffixArray(ids)
    assert suffixes.order.tolist() == positions_by_hand(ids)
    pairs = pairwise(ids[at:].tolist() for at in suffixes.order)
    alike = [next((n for n, (a, b) in enumerate(zip(x, y, strict=False)) if a != b), len(x)) for x, y in pairs]
    assert suffixes.shared(5).tolist() == [0, *(min(count, 5) for count in alike)]


def test_a_string_is_found_wherever_it_occurs(text):
    suffixes = SuffixArray(text)
    low, high = np.array([0]), np.array([len(text)])
    for depth, id in enumerate([0, 1, 0]):
        low, high = suffixes.narrow(low, high, depth, np.array([id]))
    assert (low[0], high[0]) == suffixes.narrow_one(*suffixes.narrow_one(*suffixes.narrow_one(0, 120, 0, 0), 1, 1), 2, 0)
    assert sorted(suffixes.order[low[0] : high[0]]) == [at for at in range(118) if text[at : at + 3].tolist() == [0, 1, 0]]


@pytest.mark.parametrize("order", [2, 3, 5])
def test_probabilities_are_those_of_nltk(text, order, monkeypatch):
    monkeypatch.setattr(ngram, "discounts", lambda counts: np.array([0, 0.75, 0.75, 0.75]))
    front = ["front", *map(str, text)]  # the text's own beginning is an id in front too
    model = KneserNeyInterpolated(order, discount=0.75)
    model.fit([list(everygrams(front, max_len=order))], vocabulary_text=front)
    held_out = np.array([0, 1, 3, 3, 3, 2, 0, 0, 1, 0, 2, 1, 3])
    (*_, found) = NGram(SuffixArray(text, order), V, order).probabilities(held_out)
    words = list(map(str, held_out))
    wanted = [model.unmasked_score(words[at], tuple(words[at - order + 1 : at])) for at in range(order - 1, len(words))]
    assert found[order - 2 :] == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("cut", [None, 1])
def test_probabilities_sum_to_one(text, cut):
    model = NGram(SuffixArray(text), V, 6)
    for context in ([0], [3, 3], [0, 1, 0, 2, 0], text[-5:].tolist()):
        each = [[found[-1] for found in model.probabilities(np.array([*context, id]), cut)] for id in range(V)]
        assert np.sum(each, axis=0) == pytest.approx(np.ones(6))


def test_contexts_end_where_a_sample_does(text):
    model = NGram(SuffixArray(text), V, 6)
    before, after = np.array([0, 2, 1, 3, 0, 0]), np.array([1, 3, 0, 0])
    cut = np.array(list(model.probabilities(before, cut=1)))[:, -3:]
    assert cut == pytest.approx(np.array(list(model.probabilities(after, cut=1))))


def test_how_often_a_sample_begins_so_counts_although_nothing_precedes_it(monkeypatch):
    """The second of three letters by hand: the strings START a and START b begin 3 and 1 of 4 samples."""
    monkeypatch.setattr(ngram, "discounts", lambda counts: np.array([0, 0.5, 0.5, 0.5]))
    start, end, a, b = range(V)
    samples = [[start, a, b, end], [start, a, a, end], [start, a, b, end], [start, b, a, end]]
    model = NGram(SuffixArray(np.concatenate(samples)), V, 3)
    (*_, found) = model.probabilities(np.array([start, a]), cut=start)
    pairs = set(pairwise(["front", *np.concatenate(samples).tolist()]))  # the text's own beginning is an id in front too
    before = {letter: len({first for first, second in pairs if second == letter}) for letter in range(V)}
    alone = (before[a] - 0.5 + 0.5 * V / V) / sum(before.values())
    assert found == pytest.approx([(3 - 0.5 + 2 * 0.5 * alone) / 4])


def test_an_id_larger_than_any_in_the_text_was_never_seen(text):
    model = NGram(SuffixArray(text), 300, 2)
    (found, _) = model.probabilities(np.array([0, 256, 299]))
    assert found[0] == found[1] < 1e-3


def test_discounts_are_those_of_chen_and_goodman():
    counts = np.repeat([1, 2, 3, 4, 9], [8, 4, 2, 1, 5])  # Y = 8 / (8 + 2 * 4) = 1/2
    assert discounts(counts) == pytest.approx([0, 1 - 2 / 2 * 4 / 8, 2 - 3 / 2 * 2 / 4, 3 - 4 / 2 * 1 / 2])
    assert discounts(np.array([1, 1, 5])).tolist() == [0, 0.5, 1, 1.5]


def test_samples_follow_the_longest_context(text):
    model = NGram(SuffixArray(text, 3), V, 3)
    drawn = list(model.sample([0], 4000, seed=1))
    for context in ((0, 0), (1, 0)):
        found, wanted = (
            Counter(int(ids[at + 2]) for at in range(len(ids) - 2) if tuple(ids[at : at + 2]) == context)
            for ids in (drawn, text.tolist())
        )
        shares = {id: count / found.total() for id, count in found.items()}
        assert shares == pytest.approx({id: count / wanted.total() for id, count in wanted.items()}, abs=0.05)
    assert list(model.sample([0], 50, seed=1)) == drawn[:50]
    assert 0 not in list(model.sample([0], 200, seed=2, never=[0]))
    assert list(NGram(SuffixArray(text), V, 100).sample(text[:99].tolist(), 20, seed=1)) == text[99:119].tolist()
