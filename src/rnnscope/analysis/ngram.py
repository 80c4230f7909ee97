"""n-gram baselines of all orders at once: interpolated Kneser-Ney smoothing (Chen & Goodman 1999).

    p(w | context) = (c(context w) - D(c(context w)) + m(context) p(w | shorter context)) / c(context)

For the longest context, c is the count in the training text; for shorter ones, it is the number of different preceding
ids. If each sample is a text of its own, strings that begin with START are counted as they are, since nothing precedes it.
D is 0 for c = 0 and has one value each for c = 1, 2 and more, estimated for each order from the numbers of strings that
occur 1 to 4 times; m(context) is the sum of what D takes away. A context that never occurred is skipped, and below the
empty context the distribution is uniform.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rnnscope.analysis.suffix_array import SuffixArray

LONGEST = 255  # largest order
FALLBACK = (0.0, 0.5, 1.0, 1.5)  # D if too few strings are rare, as in KenLM


@dataclass(frozen=True)
class Level:
    """The counts of strings of one length, as cumulative sums over the suffix array: a range is a difference.

    `counts`, `taken`: (n + 1,), the sums of c and of D over all strings before a place. `discounts`: (4,).
    """

    counts: np.ndarray
    taken: np.ndarray
    discounts: np.ndarray

    def mix(self, context: "Ranges", string: "Ranges", lower: np.ndarray) -> np.ndarray:
        """Return the probability of the last id of each string, with `lower` from shorter contexts."""
        total, count = context.sum(self.counts), string.sum(self.counts)
        found = count - self.discounts[np.minimum(count, 3)] + context.sum(self.taken) * lower
        return np.where(total > 0, found / np.maximum(total, 1), lower)


@dataclass(frozen=True)
class Ranges:
    """The ranges of strings in the suffix array, (strings,)."""

    low: np.ndarray
    high: np.ndarray

    def sum(self, sums: np.ndarray) -> np.ndarray:
        return sums[self.high] - sums[self.low]


class NGram:
    """Predicts each id from the `order` - 1 before it.

    Args:
        strings: of the training text, sorted by at least `order` ids.
        size: V, the number of ids.
        order: length of the longest strings that are counted, at most `LONGEST` or the length of the text.
    """

    def __init__(self, strings: SuffixArray, size: int, order: int) -> None:
        assert 1 <= order <= min(len(strings), LONGEST)
        self.strings, self.size, self.order = strings, size, order
        self._shared = strings.shared(order)
        # shared ids at the position one id earlier: two occurrences of a string have the same preceding id if they share more
        # than the string's length there, so each different preceding id is counted at its first place only
        places = np.empty_like(strings.order)
        places[strings.order] = np.arange(len(strings), dtype=places.dtype)
        self._shared_before = self._shared[places[np.maximum(strings.order, 1) - 1]]
        self._shared_before[places[0]] = 0  # the beginning of the text counts as a preceding id

    def level(self, length: int, longest: bool, cut: int | None = None) -> Level:
        """Return the counts of strings of `length`, either as the `longest` of a model or as shorter ones.

        Args:
            cut: as for `probabilities`.
        """
        strings, n = self.strings, len(self.strings)
        counted = np.ones(n, bool) if longest else self._shared_before <= length
        if cut is not None and length > 1:
            counted |= strings.ids[strings.order] == cut + 1
        counts = np.zeros(n + 1, np.int64)
        np.cumsum(counted, out=counts[1:])
        begins = np.flatnonzero(self._shared < length)  # the first place of each string
        each = np.diff(counts[np.append(begins, n)])
        whole = strings.order[begins] + np.int64(length) <= n
        begins, each = begins[whole], each[whole]
        found = discounts(each)
        taken = np.zeros(n + 1)
        taken[begins + 1] = found[np.minimum(each, 3)]
        return Level(counts, np.cumsum(taken, out=taken), found)

    def probabilities(self, stream: np.ndarray, cut: int | None = None) -> Iterator[np.ndarray]:
        """Yield the probabilities of all ids of a stream except the first, (ids - 1,), for orders 1, 2, up to `order`.

        Args:
            cut: contexts do not extend beyond this id: START, if each sample is a text of its own.
        """
        lower = np.full(len(stream), 1 / self.size)
        string = Ranges(np.zeros(len(stream), np.int64), np.full(len(stream), len(self.strings)))
        for length in range(1, self.order + 1):  # of the string that begins at each position
            string = Ranges(string.low[: len(lower) - length + 1], string.high[: len(lower) - length + 1])
            context, last = self._going_on(string, length - 1), stream[length - 1 :]
            string = Ranges(*self.strings.narrow(context.low, context.high, length - 1, last))
            longest = lower.copy()
            longest[length - 1 :] = self.level(length, True).mix(context, string, lower[length - 1 :])
            yield longest[1:]
            lower[length - 1 :] = self.level(length, False, cut).mix(context, string, lower[length - 1 :])
            if cut is not None and length > 1:
                string.high[last == cut] = string.low[last == cut]

    def _going_on(self, strings: Ranges, length: int) -> Ranges:
        """Return the ranges without the end of the text, after which nothing follows."""
        first = self.strings.order[np.minimum(strings.low, len(self.strings) - 1)]
        ends = (strings.low < strings.high) & (first + np.int64(length) == len(self.strings))
        return Ranges(strings.low + ends, strings.high)

    def losses(self, stream: np.ndarray, scored: slice | np.ndarray = slice(None), cut: int | None = None) -> list[float]:
        """Return the mean nats for orders 1, 2, up to `order` over the `scored` ids of a stream without its first."""
        return [float(-np.log(found[scored]).mean()) for found in self.probabilities(stream, cut)]

    def sample(self, begin: Sequence[int], length: int, seed: int, never: Sequence[int] = ()) -> Iterator[int]:
        """Yield `length` ids after `begin`: each follows a random occurrence of the longest possible context (Goldberg 2015).

        Smoothed draws would mix in shorter contexts.

        Args:
            never: ids that are not drawn; the context is shortened instead.
        """
        random, ranges = np.random.default_rng(seed), [(0, len(self.strings))]
        allowed = [id for id in range(self.size) if id not in never]
        for id in begin:
            ranges = self._advance(ranges, id)
        for _ in range(length):
            drawn = (self._draw(*ranges[context], context, random) for context in reversed(range(len(ranges))))
            id = next((id for id in drawn if id is not None and id not in never), None)
            id = int(random.choice(allowed)) if id is None else id
            yield id
            ranges = self._advance(ranges, id)

    def _advance(self, ranges: list[tuple[int, int]], id: int) -> list[tuple[int, int]]:
        """Return the ranges of the contexts of 0, 1, up to `order` - 1 ids, after one more id."""
        longer = [self.strings.narrow_one(*found, length, id) for length, found in enumerate(ranges[: self.order - 1])]
        return [(0, len(self.strings)), *longer]

    def _draw(self, low: int, high: int, length: int, random: np.random.Generator) -> int | None:
        """Return what follows a random occurrence of a context of `length`, or None if there is none."""
        low += low < high and int(self.strings.order[low]) + length == len(self.strings)  # nothing follows the end
        return None if low >= high else int(self.strings.ids[int(self.strings.order[random.integers(low, high)]) + length]) - 1


def discounts(counts: np.ndarray) -> np.ndarray:
    """Return D for counts of 0, 1, 2, and 3 or more, (4,), given the counts of all strings of one length."""
    n = [np.count_nonzero(counts == count) for count in range(5)]
    if not all(n[1:]):
        return np.array(FALLBACK)
    y = n[1] / (n[1] + 2 * n[2])
    found = [c - (c + 1) * y * n[c + 1] / n[c] for c in (1, 2, 3)]
    # with D = 0, unseen ids would be impossible
    return np.array([0.0, *found]) if all(0 < each <= c for c, each in enumerate(found, 1)) else np.array(FALLBACK)
