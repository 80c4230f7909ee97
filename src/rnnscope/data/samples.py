"""Windows over samples: lines, sentences or documents, each from a zero state, grouped by length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnnscope.data.batches import Window, Windows, cut
from rnnscope.errors import UserError

SHAPES = 8  # distinct lengths of window: each new shape costs a set-up in the kernels, fewer waste more padding
SCAN = 1 << 22  # ids looked through at a time
POOL = 1 << 18  # samples shuffled and grouped together: a larger text takes one such pool after the other


@dataclass(frozen=True)
class _Plan:
    """Which samples the windows of one pool hold.

    `first`, `length`: (samples,) of the samples in the order in which they are used, `batch_size` of them a group;
    `group`, `step`: (windows,) which group a window belongs to and how many windows of it came before.
    """

    first: np.ndarray
    length: np.ndarray
    group: np.ndarray
    step: np.ndarray


class SampleWindows(Windows):
    """Windows of `batch_size` samples of about the same length, from START to END, padded at the end.

    `stream`: ids in which each sample begins with the id `start`, as the id files of lines, sentences or documents do.
    A sample of n tokens has n targets: all but START. Samples ^ a b c $, ^ d $ and ^ e f g h i $ (^ is START, $ is END),
    two at a time with `sequence_length` 4, not shuffled:

        inputs   window 0   window 1   window 2      targets   window 0   window 1   window 2
        row 0    ^ d . .    ^ e f g    h i           row 0     d $ . .    e f g h    i $
        row 1    ^ a b c    . . . .    . .           row 1     a b c $    . . . .    . .

    Samples longer than `sequence_length` go on in the next window with the state carried (`fresh` is False there): no
    token is lost. A window is as long as its longest sample, rounded up to one of at most 8 lengths chosen to waste
    little. With `shuffle` the order is drawn anew each epoch from `seed`: among all samples, or where there are more than
    262,144 of them among as many neighbours. Ranks share the rows of each window.
    """

    def __init__(
        self,
        stream: np.ndarray,
        batch_size: int,
        sequence_length: int,
        start: int,
        endless: bool = False,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        pool: int = POOL,
    ) -> None:
        super().__init__(batch_size, sequence_length, endless=endless, rank=rank, world_size=world_size)
        self._stream, self._start, self._seed, self._shuffle = np.asarray(stream), start, seed, shuffle
        self._pools = sample_starts(self._stream, start, pool)  # (pools + 1,)
        if len(self._pools) < 2:
            raise UserError("there is no sample to make windows of: give a longer text")
        self._measure()
        self._plan_of: tuple[int, int] | None = None

    def _measure(self) -> None:
        """The shapes of the windows, and how many windows each pool has: the same in all epochs."""
        pieces = np.zeros(self.sequence_length + 1, dtype=np.int64)
        self.samples = self.tokens_per_epoch = self.long_samples = 0
        for pool in range(len(self._pools) - 1):
            lengths = self._samples(pool)[1]
            pieces += np.bincount((lengths - 1) % self.sequence_length + 1, minlength=self.sequence_length + 1)
            self.samples, self.tokens_per_epoch = self.samples + len(lengths), self.tokens_per_epoch + int(lengths.sum())
            self.long_samples += int(np.count_nonzero(lengths > self.sequence_length))
        self._shapes = window_shapes(pieces)
        plans = (self._make_plan(pool, None) for pool in range(len(self._pools) - 1))
        sizes = [(len(plan.group), self._places(plan)) for plan in plans]
        self._pool_windows = np.array([windows for windows, _ in sizes])
        self.windows_per_epoch = int(self._pool_windows.sum())
        self.padding = 1 - self.tokens_per_epoch / sum(places for _, places in sizes)  # share of all targets

    def _layout(self) -> dict[str, int]:
        return {**super()._layout(), "seed": self._seed}

    def _samples(self, pool: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the samples of a pool begin, and how many targets they have: both (samples,)."""
        begin, end = int(self._pools[pool]), int(self._pools[pool + 1])
        starts = sample_starts(self._stream[begin:end], self._start)
        return starts[:-1] + begin, np.diff(starts) - 1

    def _make_plan(self, pool: int, random: np.random.Generator | None) -> _Plan:
        """Samples in random order, grouped by the shapes of the windows they need, groups in random order again."""
        first, length = self._samples(pool)
        order = np.arange(len(first)) if random is None else random.permutation(len(first))
        order = order[np.argsort(self._shape_class(length)[order], kind="stable")]
        first, length = first[order], length[order]
        steps = -(-np.maximum.reduceat(length, np.arange(0, len(length), self.batch_size)) // self.sequence_length)
        turns = np.arange(len(steps)) if random is None else random.permutation(len(steps))
        begins = np.cumsum(steps[turns]) - steps[turns]
        group = np.repeat(turns, steps[turns])
        return _Plan(first, length, group, np.arange(len(group)) - np.repeat(begins, steps[turns]))

    def _shape_class(self, length: np.ndarray) -> np.ndarray:
        """The same number for samples that need windows of the same shapes, larger for longer ones."""
        full, last = np.divmod(length - 1, self.sequence_length)
        return full * len(self._shapes) + np.searchsorted(self._shapes, last + 1)

    def _rounded(self, length: np.ndarray) -> np.ndarray:
        return self._shapes[np.searchsorted(self._shapes, length)]

    def _places(self, plan: _Plan) -> int:
        """How many targets, padding included, the windows of a pool have."""
        longest = np.maximum.reduceat(plan.length, np.arange(0, len(plan.length), self.batch_size))
        last = (longest - 1) % self.sequence_length + 1
        return int((longest - last + self._rounded(last)).sum()) * self.batch_size

    def _find(self, epoch: int, number: int) -> tuple[_Plan, int]:
        """The plan that holds window `number` of an epoch, and the window's number in it."""
        pools = np.arange(len(self._pool_windows))
        if self._shuffle:
            np.random.default_rng([self._seed, epoch]).shuffle(pools)
        ends = np.cumsum(self._pool_windows[pools])
        turn = int(np.searchsorted(ends, number, side="right"))
        pool = int(pools[turn])
        if self._plan_of != (epoch, pool):
            random = np.random.default_rng([self._seed, epoch, pool]) if self._shuffle else None
            self._plan, self._plan_of = self._make_plan(pool, random), (epoch, pool)
        return self._plan, number - int(ends[turn] - self._pool_windows[pool])

    def window(self, epoch: int, number: int) -> Window:
        plan, number = self._find(epoch, number)
        group, step = int(plan.group[number]), int(plan.step[number])
        rows = slice(group * self.batch_size, (group + 1) * self.batch_size)
        first, length = np.zeros((2, self.batch_size), dtype=np.int64)
        used = len(plan.first[rows])
        first[:used] = plan.first[rows] + step * self.sequence_length
        length[:used] = np.clip(plan.length[rows] - step * self.sequence_length, 0, self.sequence_length)
        time = int(self._rounded(length.max()))
        inputs, targets, counts = cut(self._stream, first, length, time, share=self._rows)
        return Window(inputs, targets, int(counts.sum()), step == 0, epoch)


def sample_starts(stream: np.ndarray, start: int, every: int = 1) -> np.ndarray:
    """Where each sample (or each `every`-th one) begins, and the end of the stream: (samples + 1,) int64."""
    found, seen = [np.zeros(0, dtype=np.int64)], 0
    for begin in range(0, len(stream), SCAN):
        starts = np.flatnonzero(stream[begin : begin + SCAN] == start)
        found.append(starts[-seen % every :: every] + begin)
        seen += len(starts)
    return np.concatenate([*found, [len(stream)]])


def window_shapes(pieces: np.ndarray, shapes: int = SHAPES) -> np.ndarray:
    """At most `shapes` lengths of window, the longest included, that need the least padding.

    `pieces[n]`: how many samples have n tokens in their last window, n = 0 ... sequence_length. waste[j] is the least
    padding of the pieces up to length j if the longest shape is j; with one shape more, the best next shorter shape
    i <= j is looked for, and the pieces between i and j are padded to j.
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
