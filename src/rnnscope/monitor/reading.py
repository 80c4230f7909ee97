"""Numbers on their way from the device: training goes on while they are copied."""

import torch
from torch import Tensor


class Reading:
    """The values of `tensor`, (n,), as they are now. On a CPU they are there at once.

    Waiting for a GPU at every point of the curves would leave it idle until the host has caught up.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.waits = tensor.is_cuda
        self._values = tensor
        if self.waits:
            self._values = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._values.copy_(tensor, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def numbers(self) -> list[float]:
        """Wait for the values, and return them."""
        if self.waits:
            self._arrived.synchronize()
        return self._values.tolist()
