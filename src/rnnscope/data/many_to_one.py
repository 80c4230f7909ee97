"""Windows with one target each, as in the text-generation examples of Keras and Lasagne."""

from functools import cached_property
from typing import Any

import numpy as np
import torch

from rnnscope.data.batches import IGNORE, Window, Windows
from rnnscope.errors import UserError
from rnnscope.format import plural


class ManyToOneWindows(Windows):
    """Windows of `sequence_length` tokens from a zero state, each with the token after it as its only target.

    `stream`: START and then N tokens; a window begins every `step` tokens. The tokens a to i after START (which is in no
    window), a step of 2, windows of three, two at a time, not shuffled:

        inputs   window 0   window 1      targets   window 0   window 1
        row 0    a b c      e f g         row 0     . . d      . . h
        row 1    c d e      . . .         row 1     . . f      . . .

    A dot is padding, or a position without a target. Each epoch has a new random order drawn from `seed`; if that is None,
    windows follow the stream. Ranks share the rows of each window. `share`: the other arguments of `Windows`.
    """

    def __init__(
        self, stream: np.ndarray, batch_size: int, sequence_length: int, step: int, seed: int | None = None, **share: Any
    ) -> None:
        super().__init__(batch_size, sequence_length, **share)
        self._stream, self._step, self._seed = np.asarray(stream), step, seed
        self.tokens_per_epoch = len(target_ids(stream, sequence_length, step))
        if not self.tokens_per_epoch:
            raise UserError(
                f"a split of {plural(max(len(stream) - 1, 0), 'token')} is too short for a window of"
                f" dataset.sequence_length={sequence_length} and its target: give more text, or train with a smaller one"
            )
        self.windows_per_epoch = -(-self.tokens_per_epoch // batch_size)
        self._order_of = -1  # the epoch of `_order`

    @cached_property
    def _layout(self) -> dict[str, int]:
        return {**super()._layout, "step": self._step, "seed": self._seed or 0}

    def _numbers(self, epoch: int, begin: int) -> np.ndarray:
        """Return the numbers of the rows of a window, in steps from the start of the stream: (batch_size or fewer,)."""
        if self._seed is None:
            return np.arange(begin, min(begin + self.batch_size, self.tokens_per_epoch))
        if self._order_of != epoch:
            places = np.arange(self.tokens_per_epoch, dtype=np.uint32)
            self._order, self._order_of = np.random.default_rng([self._seed, epoch]).permutation(places), epoch
        return self._order[begin : begin + self.batch_size].astype(np.int64)

    def window(self, epoch: int, number: int) -> Window:
        found = self._numbers(epoch, number * self.batch_size)
        block = np.zeros((self.sequence_length + 1, self.batch_size), dtype=np.int64)  # time first, as the model reads it
        block[:, : len(found)] = self._stream[1 + found * self._step + np.arange(self.sequence_length + 1)[:, None]]
        targets = np.full_like(block[1:], IGNORE)
        targets[-1, : len(found)] = block[-1, : len(found)]
        inputs, targets = (torch.from_numpy(ids[:, self._rows]).t() for ids in (block[:-1], targets))
        return Window(self._place(inputs), self._place(targets), len(found), True, epoch)


def target_ids(stream: np.ndarray, sequence_length: int, step: int) -> np.ndarray:
    """Return the ids of a stream that are targets, in order: a view of it."""
    return stream[1 + sequence_length :: step]
