"""A suffix array: all substrings of a stream of ids, sorted, to count and find many at once."""

from bisect import bisect_left, bisect_right

import numpy as np


class SuffixArray:
    """The positions of a stream, sorted by the ids that follow. A string of ids is then a range of positions.

        ids     a b r a b r         order   3 0 4 1 5 2        "ab" is the range [0, 2): it begins at 3 and at 0

    Ids are stored plus 1, with 0 for the end of the stream, which sorts first.

    Args:
        ids: (n,) of any integer type.
        depth: positions that share so many ids may be in any order; None sorts by all ids that follow.
    """

    def __init__(self, ids: np.ndarray, depth: int | None = None) -> None:
        self.ids = np.zeros(len(ids) + 1, np.min_scalar_type(int(ids.max()) + 1))
        np.add(ids, 1, out=self.ids[:-1], casting="unsafe")
        order = sort_suffixes(self.ids, len(ids) if depth is None else depth)
        self.order = order.astype(np.uint32) if len(ids) < 2**32 else order

    def __len__(self) -> int:
        return len(self.order)

    def narrow(self, low: np.ndarray, high: np.ndarray, depth: int, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the ranges of strings of `depth` ids, each extended by one of `ids`; all (strings,)."""
        wanted = ids.astype(np.int64) + 1  # ids may be larger than any in the stream
        return self._bound(low, high, depth, wanted, np.less), self._bound(low, high, depth, wanted, np.less_equal)

    def narrow_one(self, low: int, high: int, depth: int, id: int) -> tuple[int, int]:
        """Return the result of `narrow` for one range."""
        place = {"lo": low, "hi": high, "key": lambda position: self.ids[int(position) + depth]}
        return bisect_left(self.order, id + 1, **place), bisect_right(self.order, id + 1, **place)

    def _bound(self, low: np.ndarray, high: np.ndarray, depth: int, wanted: np.ndarray, goes_before: np.ufunc) -> np.ndarray:
        low, high = low.copy(), high.copy()
        while (open := np.flatnonzero(low < high)).size:
            middle = (low[open] + high[open]) // 2
            before = goes_before(self.ids[self.order[middle] + np.int64(depth)], wanted[open])
            low[open[before]] = middle[before] + 1
            high[open[~before]] = middle[~before]
        return low

    def shared(self, most: int) -> np.ndarray:
        """Return how many ids, up to `most`, each position shares with the one sorted before it: (n,)."""
        shared = np.zeros(len(self), np.min_scalar_type(most))
        agree = np.arange(1, len(self))
        for depth in range(most):
            later = self.order[agree] + np.int64(depth), self.order[agree - 1] + np.int64(depth)
            agree = agree[self.ids[later[0]] == self.ids[later[1]]]
            shared[agree] += 1
        return shared


def sort_suffixes(ids: np.ndarray, depth: int) -> np.ndarray:
    """Return the positions of `ids`, sorted by the first `depth` ids; the last id, a 0 that is nowhere else, is left out.

    As many ids as fit are packed into a 64-bit number and sorted; then twice as many by the ranks of both halves, and so on,
    one sort per round (Manber & Myers 1993).
    """
    n, bits = len(ids) - 1, int(ids.max()).bit_length()
    covered, key = 63 // bits, np.zeros(n, np.int64)
    for ahead in range(covered):
        key <<= bits
        key[: max(n - ahead, 0)] |= ids[ahead:n]
    while True:
        order = np.argsort(key)
        key = key[order]
        rank = np.zeros(n, np.int64)
        np.cumsum(key[1:] != key[:-1], out=rank[1:])
        if covered >= depth or rank[-1] == n - 1:
            return order
        key[order] = rank
        rank, key = key, key * (n + 1)
        key[: max(n - covered, 0)] += rank[covered:] + 1
        covered *= 2
