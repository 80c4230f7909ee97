"""Windows over samples: lines, sentences or documents, each from a zero state, grouped by length."""

from __future__ import annotations

import numpy as np

from rnnscope.data.batches import Window, Windows, cut
from rnnscope.errors import UserError

SHAPES = 8  # distinct lengths of window: each new shape costs a set-up in the kernels, fewer waste more padding
SCAN = 1 << 22  # ids looked through at a time


class SampleWindows(Windows):
    """Windows of `batch_size` samples of about the same length, from START to END, padded at the end.

    `stream`: ids in which each sample begins with the id `start`, as the id files of lines, sentences or documents do.
    A sample of n tokens has n targets: all but START. Samples of START a b c END, START d END and START e f g h i END,
    two at a time with `sequence_length` 4:

        inputs   window 0   window 1   window 2      targets   window 0   window 1   window 2
        row 0    ^ d . .    ^ e f g    h i .         row 0     d $ . .    e f g h    i $ .
        row 1    ^ a b c    . . . .    . . .         row 1     a b c $    . . . .    . . .

    Samples longer than `sequence_length` go on in the next window with the state carried (`fresh` is False there): no
    token is lost. A window is as long as its longest sample, rounded up to one of at most 8 lengths chosen to waste
    little. With `shuffle` the order is drawn anew each epoch from `seed`. Ranks share the rows of each window.
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
    ) -> None:
        super().__init__(batch_size, sequence_length, endless=endless, rank=rank, world_size=world_size)
        self._stream, self._seed, self._shuffle = np.asarray(stream), seed, shuffle
        self._starts = sample_starts(self._stream, start)
        if len(self._starts) < 2:
            raise UserError("there is no sample to make windows of: give a longer text")
        lengths = np.diff(self._starts) - 1
        self.tokens_per_epoch = int(lengths.sum())
        self._shapes = window_shapes(lengths, sequence_length)
        self._planned = -1
        self._plan(0)

    def _layout(self) -> dict[str, int]:
        return {**super()._layout(), "seed": self._seed}

    @property
    def padding(self) -> float:
        """The share of the targets of an epoch that are padding."""
        return 1 - self.tokens_per_epoch / self._places

    def _plan(self, epoch: int) -> None:
        """Which samples each window of an epoch holds."""
        if epoch == self._planned:
            return
        samples = len(self._starts) - 1
        order = np.arange(samples, dtype=np.uint32 if samples < 1 << 32 else np.uint64)
        random = np.random.default_rng([self._seed, epoch])
        if self._shuffle:
            random.shuffle(order)
        self._order = self._grouped(order)
        groups = -(-samples // self.batch_size)
        longest = self._longest(groups)
        steps = -(-longest // self.sequence_length)
        turns = random.permutation(groups) if self._shuffle else np.arange(groups)
        self._window_group = np.repeat(turns, steps[turns])
        ends = np.cumsum(steps[turns])
        self._window_step = np.arange(len(self._window_group)) - np.repeat(ends - steps[turns], steps[turns])
        self.windows_per_epoch = len(self._window_group)
        last = longest - (steps - 1) * self.sequence_length
        self._places = int(((steps - 1) * self.sequence_length + self._rounded(last)).sum()) * self.batch_size
        self._planned = epoch

    def _grouped(self, order: np.ndarray) -> np.ndarray:
        """`order` by length of the samples, but unchanged among those that need windows of the same shapes."""
        lengths = np.diff(self._starts) - 1
        full, rest = np.divmod(lengths - 1, self.sequence_length)
        shape = full * len(self._shapes) + np.searchsorted(self._shapes, rest + 1)
        return order[np.argsort(shape[order], kind="stable")]

    def _longest(self, groups: int) -> np.ndarray:
        """The length of the longest sample of each group: (groups,)."""
        lengths = np.zeros(groups * self.batch_size, dtype=np.int64)
        lengths[: len(self._order)] = (np.diff(self._starts) - 1)[self._order]
        return lengths.reshape(groups, self.batch_size).max(axis=1)

    def _rounded(self, length: np.ndarray) -> np.ndarray:
        return self._shapes[np.searchsorted(self._shapes, length)]

    def window(self, epoch: int, number: int) -> Window:
        self._plan(epoch)
        group, step = int(self._window_group[number]), int(self._window_step[number])
        rows = group * self.batch_size + np.arange(self.batch_size)
        samples = self._order[rows[rows < len(self._order)]]
        first = np.zeros(self.batch_size, dtype=np.int64)
        length = np.zeros(self.batch_size, dtype=np.int64)
        first[: len(samples)] = self._starts[samples] + step * self.sequence_length
        length[: len(samples)] = self._starts[samples + 1] - self._starts[samples] - 1 - step * self.sequence_length
        time = int(self._rounded(np.minimum(length.max(), self.sequence_length)))
        length = np.clip(length, 0, time)
        inputs, targets, count = cut(self._stream, first[self._rows], length[self._rows], time)
        return Window(inputs, targets, count, step == 0, epoch)


def sample_starts(stream: np.ndarray, start: int) -> np.ndarray:
    """Where each sample begins, and the end of the stream: (samples + 1,) int64."""
    found = [np.flatnonzero(stream[begin : begin + SCAN] == start) + begin for begin in range(0, len(stream), SCAN)]
    return np.concatenate([*found, [len(stream)]]).astype(np.int64)


def window_shapes(lengths: np.ndarray, sequence_length: int, shapes: int = SHAPES) -> np.ndarray:
    """At most `shapes` lengths of window, the last one `sequence_length`, that need the least padding for these samples.

    waste(k, j): the least padding of the last pieces no longer than j with k shapes of which j is the longest; each
    step tries all next shorter shapes i < j, whose pieces between i and j are padded to j.
    """
    pieces = np.bincount((lengths - 1) % sequence_length + 1, minlength=sequence_length + 1)
    count, total = np.cumsum(pieces), np.cumsum(pieces * np.arange(sequence_length + 1))
    longest = np.arange(sequence_length + 1)
    waste = longest * count - total  # one shape
    shorter = []
    for _ in range(shapes - 1):
        previous = np.array([int(np.argmin(waste[: j + 1] - j * count[: j + 1] + total[: j + 1])) for j in longest])
        shorter.append(previous)
        waste = waste[previous] + longest * (count - count[previous]) - (total - total[previous])
    chosen = [sequence_length]
    for previous in reversed(shorter):
        chosen.append(int(previous[chosen[-1]]))
    return np.unique([length for length in chosen if length > 0])
