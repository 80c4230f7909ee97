"""Random resets of the carried state of some columns, from which a model learns to start from a zero state as well."""

import numpy as np
import torch
from torch import Tensor

AHEAD = 256  # steps that are drawn at once: one by one, drawing takes 0.4 % of a step of 2 x 128 units


class StateResets:
    """Draws about `share` of the columns at every step, from the batch of all processes together.

    Only the seed and the number of the step decide: a checkpoint need not hold anything, and several processes draw what one
    would.
    """

    def __init__(self, share: float, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.share, self.seed, self.rank, self.world_size = share, seed, rank, world_size
        self._drawn = (-1, 0)  # block of steps, columns
        self._kept: tuple[Tensor, ...] = ()

    def kept(self, step: int, part: Tensor) -> Tensor:
        """Return the factors for a part of the state (1, columns, units) before a step: 0 resets a column, 1 keeps it.

        Their shape is (columns, 1), in the data type and on the device of the part.
        """
        block, index = divmod(step, AHEAD)
        if self._drawn != (block, part.shape[1]):
            self._drawn = block, part.shape[1]
            drawn = self._draw(block, part.shape[1]).to(part.dtype).unsqueeze(-1)
            # from pinned memory, so nothing waits for the copy
            drawn = drawn.pin_memory().to(part.device, non_blocking=True) if part.is_cuda else drawn
            self._kept = drawn.unbind()
        return self._kept[index]

    def _draw(self, block: int, columns: int) -> Tensor:
        """Return whether each column of this process is kept: (AHEAD, columns)."""
        draws = np.random.default_rng([self.seed, block]).random((AHEAD, columns * self.world_size))
        return torch.from_numpy(draws[:, self.rank * columns : (self.rank + 1) * columns] >= self.share)
