"""Windows: the part of a stream that one training step sees; every token is a target exactly once per epoch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from rnnscope.errors import UserError

TOGETHER = 1 << 17  # tokens that are cut into windows at once: with 1 << 15, each window took twice as long
IGNORE = -100  # the target of padding: torch's cross_entropy leaves it out by default


@dataclass(slots=True)
class Window:
    """`inputs` and `targets`: (batch, time) int64, targets are IGNORE in padding.

    `count`: the real targets of the window, over all processes that share its rows. `fresh`: the state starts from zero.
    `position`: pass it to `load_state_dict` of the source to continue after this window.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    count: int
    fresh: bool
    epoch: int
    position: dict[str, int] = field(default_factory=dict)


def cut(
    stream: np.ndarray,
    first: np.ndarray,
    length: np.ndarray | None,
    time: int,
    given: int | None = None,
    share: slice = slice(None),
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Return rows of a stream as (inputs, targets, counts); inputs and targets: (rows, time), counts: (time,).

    Row r has the inputs stream[first[r] : first[r] + length[r]] and the targets one position later, then padding: input 0,
    target IGNORE. The token `given` (START) is an input but never a target. `first`, `length`: (rows,) int64; without
    `length`, all rows are full. Only the rows in `share` are returned; `counts` are the real targets of all rows at each
    step. In memory, time comes first, as the model reads it.
    """
    index = first + np.arange(time + 1)[:, None]
    block = stream.take(index, mode="clip").astype(np.int64)  # (time + 1, rows)
    inputs, targets = block[:-1], block[1:]  # views of the same ids, unless something has to be masked
    masked = None if given is None else targets == given
    if length is not None and int(length.min()) < time:
        padding = np.arange(time)[:, None] >= length
        inputs = np.where(padding, 0, inputs)
        masked = padding if masked is None else padding | masked
    counts = np.full(time, len(first))
    if masked is not None and masked.any():
        targets = np.where(masked, IGNORE, targets)
        counts -= np.count_nonzero(masked, axis=1)
    return torch.from_numpy(inputs[:, share]).t(), torch.from_numpy(targets[:, share]).t(), counts


class Windows:
    """Base class of the sources of windows: the rows of this process, positions, epochs.

    A position is the epoch and the number of the next window, with the numbers that fix the layout. Iterating yields one
    epoch from its first window, or from where `load_state_dict` put it. An `endless` source never stops, continues where it
    was when iterated again, and must share its rows equally among processes. In other sources, shares may differ by one row
    or be empty. Raises `UserError` for a batch size that does not divide, and for a position in a different layout.
    """

    def __init__(
        self, batch_size: int, sequence_length: int, endless: bool = False, rank: int = 0, world_size: int = 1
    ) -> None:
        if batch_size < 1 or sequence_length < 1:
            raise UserError(f"batch_size={batch_size} and sequence_length={sequence_length} must be at least 1")
        if endless and batch_size % world_size:
            raise UserError(f"dataset.batch_size={batch_size} does not divide among {world_size} processes: use a multiple")
        self.batch_size, self.sequence_length, self.endless = batch_size, sequence_length, endless
        self._rows = slice(rank * batch_size // world_size, (rank + 1) * batch_size // world_size)
        self._epoch = self._next = 0
        self._loaded = False
        self.device: torch.device | None = None  # where the ids are copied to; None keeps them on the CPU

    windows_per_epoch: int
    tokens_per_epoch: int

    @cached_property
    def _layout(self) -> dict[str, int]:
        """The numbers that a position depends on."""
        layout = {"batch_size": self.batch_size, "sequence_length": self.sequence_length}
        return {**layout, "tokens": self.tokens_per_epoch}

    def window(self, epoch: int, number: int) -> Window:
        """Return the window `number` of an epoch, without its position."""
        raise NotImplementedError

    def __len__(self) -> int:
        return self.windows_per_epoch

    def _place(self, ids: torch.Tensor) -> torch.Tensor:
        """Copy ids to `device`, without waiting for the copy."""
        if self.device is None or self.device.type == "cpu":
            return ids
        return ids.pin_memory().to(self.device, non_blocking=True)

    def __iter__(self) -> Iterator[Window]:
        if not self.endless and not self._loaded:
            self._next = 0
        self._loaded = False
        while True:
            epoch, number = self._epoch, self._next
            last = number + 1 >= self.windows_per_epoch
            self._epoch, self._next = (epoch + 1, 0) if last else (epoch, number + 1)
            window = self.window(epoch, number)
            window.position = self.state_dict()
            yield window
            if last and not self.endless:
                return

    def state_dict(self) -> dict[str, int]:
        """Return where the next window is."""
        return {"epoch": self._epoch, "window": self._next, **self._layout}

    def load_state_dict(self, position: Mapping[str, Any]) -> None:
        """Continue at a position from `state_dict` or from a window."""
        layout = {key: position.get(key) for key in self._layout}
        if layout != self._layout:
            raise UserError(f"the position in the data was saved with {layout}, and the data now has {self._layout}")
        self._epoch, self._next = int(position["epoch"]), int(position["window"])
        self._loaded = True


class StreamWindows(Windows):
    """Windows over a stream, cut into `batch_size` contiguous columns whose state can be carried from window to window.

    `stream`: (N + 1,) ids, START and then N tokens, each a target once per epoch; its input is the id before it. The
    columns' lengths differ by at most one, the longer ones come first. 11 tokens a to k after START (^), three columns,
    windows of three:

        inputs     window 0   window 1      targets    window 0   window 1
        column 0   ^ a b      c . .         column 0   a b c      d . .
        column 1   d e f      g . .         column 1   e f g      h . .
        column 2   h i j      . . .         column 2   i j k      . . .

    A dot is padding, in the last window of an epoch only. Each process gets an equal share of neighboring columns. `given`:
    the id that is an input but never a target (START between documents). `share`: the other arguments of `Windows`.
    """

    def __init__(
        self, stream: np.ndarray, batch_size: int, sequence_length: int, given: int | None = None, **share: Any
    ) -> None:
        super().__init__(batch_size, sequence_length, **share)
        self._stream, self._given = np.asarray(stream), given
        tokens = len(stream) - 1
        if tokens < 1:
            raise UserError("the text has no token: give a longer text")
        short, longer = divmod(tokens, batch_size)
        lengths = np.full(batch_size, short, dtype=np.int64)
        lengths[:longer] += 1
        self._first = np.cumsum(lengths) - lengths
        self._length, self._shortest = lengths, short
        self.windows_per_epoch = -(-int(lengths[0]) // sequence_length)
        self.tokens_per_epoch = tokens - count_given(stream, given)
        self._cut = range(0)  # the windows in `_ids`
        self._ids: list[tuple[torch.Tensor, torch.Tensor, int]]

    def window(self, epoch: int, number: int) -> Window:
        if number not in self._cut:
            self._cut, self._ids = self._cut_from(number)
        return Window(*self._ids[number - self._cut.start], number == 0, epoch)

    def _cut_from(self, number: int) -> tuple[range, list[tuple[torch.Tensor, torch.Tensor, int]]]:
        """Cut window `number` and, while the columns are full, those after it: dozens at once cost little more than one."""
        begin = number * self.sequence_length
        full = (self._shortest - begin) // self.sequence_length
        length = None if full > 0 else np.clip(self._length - begin, 0, self.sequence_length)
        windows = max(1, min(full, TOGETHER // (self.batch_size * self.sequence_length)))
        time = windows * self.sequence_length
        inputs, targets, counts = cut(self._stream, self._first + begin, length, time, self._given, self._rows)
        sums = counts.reshape(windows, self.sequence_length).sum(1).tolist()
        parts = (self._place(ids).split(self.sequence_length, dim=1) for ids in (inputs, targets))
        return range(number, number + windows), list(zip(*parts, sums, strict=True))


class ZeroStateWindows(Windows):
    """Independent windows from a zero state that tile a stream: `sequence_length` targets each, `batch_size` at a time.

    Each token is a target exactly once; only the last window is padded. `stream`, `given`: see `StreamWindows`. Windows
    longer than `most` are divided into parts of that length, between which the state is carried.
    """

    def __init__(
        self, stream: np.ndarray, batch_size: int, sequence_length: int, given: int | None = None, most: int | None = None
    ) -> None:
        super().__init__(batch_size, sequence_length)
        self._stream, self._given = np.asarray(stream), given
        self._tokens = len(stream) - 1
        self._time = min(most or sequence_length, sequence_length)
        self._parts = -(-sequence_length // self._time)
        self.windows_per_epoch = -(-self._tokens // (batch_size * sequence_length)) * self._parts
        self.tokens_per_epoch = self._tokens - count_given(stream, given)

    def window(self, epoch: int, number: int) -> Window:
        group, part = divmod(number, self._parts)
        begin = part * self._time
        first = (group * self.batch_size + np.arange(self.batch_size)) * self.sequence_length + begin
        length = np.clip(self._tokens - first, 0, min(self._time, self.sequence_length - begin))
        inputs, targets, counts = cut(self._stream, first, length, self._time, self._given)
        return Window(inputs, targets, int(counts.sum()), part == 0, epoch)


def count_given(stream: np.ndarray, given: int | None) -> int:
    """Return how many ids of a stream, after the first, are `given`."""
    if given is None:
        return 0
    blocks = range(1, len(stream), 1 << 22)
    return sum(int(np.count_nonzero(stream[begin : begin + (1 << 22)] == given)) for begin in blocks)
