"""Windows over samples: lines, sentences or documents, each from a zero state, grouped by length."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from rnnscope.data.batches import Window, Windows, cut
from rnnscope.errors import UserError

SHAPES = 8  # distinct lengths of windows: more of them cost set-up in the kernels, fewer cost padding
SCAN = 1 << 22  # ids searched at a time
POOL = 1 << 18  # samples shuffled and grouped together; a larger text has several pools, one after the other


@dataclass(frozen=True)
class Pools:
    """The samples of a stream, pool by pool; windows of any size begin from these numbers.

    `begins`: (pools + 1,) where each pool begins, and the end of the stream. `lengths`: for each pool the distinct
    lengths of its samples, ascending, and how many samples have each; a length is the number of targets.
    """

    begins: np.ndarray
    lengths: list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class _Plan:
    """Which samples are in the windows of a pool.

    `first`, `length`: (samples,), of the samples in groups of `batch_size`; `group`: (groups,), the groups in the order of
    use; `end`: (groups,), how many windows the groups up to this one have, in that order.
    """

    first: np.ndarray
    length: np.ndarray
    group: np.ndarray
    end: np.ndarray


class SampleWindows(Windows):
    """Windows of `batch_size` samples of about the same length, from START to END, padded at the end.

    `stream`: ids in which each sample begins with the id `start`, as the id files of lines, sentences or documents do.
    A sample of n tokens has n targets: all but START. Samples ^ a b c $, ^ d $ and ^ e f g h i $ (^ is START, $ is END),
    two at a time with `sequence_length` 4, not shuffled:

        inputs   window 0   window 1   window 2      targets   window 0   window 1   window 2
        row 0    ^ d . .    ^ e f g    h i           row 0     d $ . .    e f g h    i $
        row 1    ^ a b c    . . . .    . .           row 1     a b c $    . . . .    . .

    A sample longer than `sequence_length` continues in the next window with the state carried (`fresh` is False there):
    no token is lost. A window is as long as its longest sample, rounded up to one of at most 8 lengths that waste little.
    Each epoch has a new random order drawn from `seed`; if that is None, samples come in order of length. If there are more
    than 262,144, each pool of so many neighbors is ordered by itself. Ranks share the rows of each window. `share`: the
    other arguments of `Windows`.
    """

    def __init__(
        self,
        stream: np.ndarray,
        batch_size: int,
        sequence_length: int,
        start: int,
        seed: int | None = 0,
        pools: Pools | None = None,
        **share: Any,
    ) -> None:
        super().__init__(batch_size, sequence_length, **share)
        self._stream, self._start, self._seed = np.asarray(stream), start, seed
        self._pools = find_pools(self._stream, start) if pools is None else pools
        if not self._pools.lengths:
            raise UserError("the text has no sample: give a longer text")
        self._measure()
        self._plan_of: tuple[int, int] | None = None

    def _measure(self) -> None:
        """Find the shapes of the windows, and how many windows each pool has: the same in all epochs."""
        pieces = np.zeros(self.sequence_length + 1, dtype=np.int64)
        self.samples = self.tokens_per_epoch = self.long_samples = 0
        for length, count in self._pools.lengths:
            np.add.at(pieces, (length - 1) % self.sequence_length + 1, count)
            self.samples, self.tokens_per_epoch = self.samples + int(count.sum()), self.tokens_per_epoch + int(length @ count)
            self.long_samples += int(count[length > self.sequence_length].sum())
        self._shapes = window_shapes(pieces)
        sizes = [self._windows_and_places(length, count) for length, count in self._pools.lengths]
        self._pool_windows = np.array([windows for windows, _ in sizes])
        self.windows_per_epoch = int(self._pool_windows.sum())
        self.padding = 1 - self.tokens_per_epoch / sum(places for _, places in sizes)  # share of all targets

    def _windows_and_places(self, length: np.ndarray, count: np.ndarray) -> tuple[int, int]:
        """Return how many windows a pool needs, and how many targets they have, padding included.

        Groups are formed in the order of the classes, so the last sample of a group decides how long its windows are.
        """
        ends = np.cumsum(count)
        last = np.minimum(np.arange(self.batch_size, ends[-1] + self.batch_size, self.batch_size), ends[-1]) - 1
        full, shape = np.divmod(self._shape_class(length)[np.searchsorted(ends, last, side="right")], len(self._shapes))
        steps = full * self.sequence_length + self._shapes[shape]
        return int((full + 1).sum()), int(steps.sum()) * self.batch_size

    @cached_property
    def _layout(self) -> dict[str, int]:
        return {**super()._layout, "seed": self._seed or 0}

    def _samples(self, pool: int) -> tuple[np.ndarray, np.ndarray]:
        """Return where the samples of a pool begin, and how many targets they have: both (samples,)."""
        begin, end = self._pools.begins[pool : pool + 2].tolist()
        starts = np.concatenate([*sample_starts(self._stream[begin:end], self._start), [end - begin]])
        return starts[:-1] + begin, np.diff(starts) - 1

    def _make_plan(self, pool: int, random: np.random.Generator | None) -> _Plan:
        """Put the samples in random order, group them by the shapes of their windows, and put the groups in random order."""
        first, length = self._samples(pool)
        order = np.arange(len(first)) if random is None else random.permutation(len(first))
        order = order[np.argsort(self._shape_class(length)[order], kind="stable")]
        first, length = first[order], length[order]
        steps = -(-np.maximum.reduceat(length, np.arange(0, len(length), self.batch_size)) // self.sequence_length)
        turns = np.arange(len(steps)) if random is None else random.permutation(len(steps))
        return _Plan(first, length, turns, np.cumsum(steps[turns]))

    def _shape_class(self, length: np.ndarray) -> np.ndarray:
        """Return a number that is equal for samples that need windows of the same shapes, and larger for longer ones."""
        full, last = np.divmod(length - 1, self.sequence_length)
        return full * len(self._shapes) + np.searchsorted(self._shapes, last + 1)

    def _find(self, epoch: int, number: int) -> tuple[_Plan, int]:
        """Return the plan that holds window `number` of an epoch, and the window's number in it."""
        pools = np.arange(len(self._pool_windows))
        if self._seed is not None:
            np.random.default_rng([self._seed, epoch]).shuffle(pools)
        ends = np.cumsum(self._pool_windows[pools])
        turn = int(np.searchsorted(ends, number, side="right"))
        pool = int(pools[turn])
        if self._plan_of != (epoch, pool):
            random = None if self._seed is None else np.random.default_rng([self._seed, epoch, pool])
            self._plan, self._plan_of = self._make_plan(pool, random), (epoch, pool)
        return self._plan, number - int(ends[turn] - self._pool_windows[pool])

    def window(self, epoch: int, number: int) -> Window:
        plan, number = self._find(epoch, number)
        turn = int(np.searchsorted(plan.end, number, side="right"))
        group, step = int(plan.group[turn]), number - (int(plan.end[turn - 1]) if turn else 0)
        rows = slice(group * self.batch_size, (group + 1) * self.batch_size)
        first, length = np.zeros((2, self.batch_size), dtype=np.int64)
        used = len(plan.first[rows])
        first[:used] = plan.first[rows] + step * self.sequence_length
        length[:used] = np.clip(plan.length[rows] - step * self.sequence_length, 0, self.sequence_length)
        time = int(self._shapes[np.searchsorted(self._shapes, length.max())])
        inputs, targets, counts = cut(self._stream, first, length, time, share=self._rows)
        return Window(self._place(inputs), self._place(targets), int(counts.sum()), step == 0, epoch)


def sample_starts(stream: np.ndarray, start: int) -> Iterator[np.ndarray]:
    """Yield where samples begin, block by block of the stream: each (samples,) int64."""
    for begin in range(0, len(stream), SCAN):
        yield np.flatnonzero(stream[begin : begin + SCAN] == start) + begin


def find_pools(stream: np.ndarray, start: int, size: int = POOL) -> Pools:
    """Find the samples of a stream, `size` per pool. The whole stream is read once."""
    begins, lengths = [], []
    for starts in _pool_starts(stream, start, size):
        begins.append(int(starts[0]))
        lengths.append(np.unique(np.diff(starts) - 1, return_counts=True))
    return Pools(np.array([*begins, len(stream)]), lengths)


def _pool_starts(stream: np.ndarray, start: int, size: int) -> Iterator[np.ndarray]:
    """Yield where the samples of each pool begin, and where the last of them ends: each (samples + 1,) int64."""
    rest = np.zeros(0, dtype=np.int64)
    for found in chain(sample_starts(stream, start), [[len(stream)]]):
        rest = np.concatenate([rest, found])
        while len(rest) > size:
            yield rest[: size + 1]
            rest = rest[size:]
    if len(rest) > 1:
        yield rest


def window_shapes(pieces: np.ndarray, shapes: int = SHAPES) -> np.ndarray:
    """Return at most `shapes` lengths of window, the longest included, that need the least padding.

    `pieces[n]`: how many samples have n tokens in their last window, n = 0 ... sequence_length. By dynamic programming,
    waste[j] is the least padding of the pieces up to length j if the longest shape is j; each further shape is the best
    shorter one i <= j, and the pieces between i and j are padded to j.
    """
    longest = np.arange(len(pieces))
    count, total = np.cumsum(pieces), np.cumsum(pieces * longest)
    waste = longest * count - total
    shorter = []
    for _ in range(shapes - 1):
        best = np.array([int(np.argmin(waste[: j + 1] - j * count[: j + 1] + total[: j + 1])) for j in longest])
        shorter.append(best)
        waste = waste[best] + longest * (count - count[best]) - (total - total[best])
    chosen = [len(pieces) - 1]
    for best in reversed(shorter):
        chosen.append(int(best[chosen[-1]]))
    return np.unique([length for length in chosen if length > 0])
