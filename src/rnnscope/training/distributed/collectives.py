"""Communication between the processes of a training: gradients at every step, other values now and then."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed
from torch import Tensor

LONGEST_WAIT = timedelta(days=7)  # while rank 0 samples, say; a process that ends is noticed at once


class ProcessLost(RuntimeError):
    """Another process of the training has ended."""


class Collectives:
    """Exchanges values between processes. All call the same methods in the same order; each may raise `ProcessLost`."""

    def __init__(self, rank: int, world_size: int) -> None:
        self.rank, self.world_size = rank, world_size
        self._messages: Any = None

    def connect(self) -> None:
        """Form a second group for values: in that of the gradients, on a GPU, they would wait for all queued work."""
        with reaching():
            self._messages = torch.distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)

    def all_reduce(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in one go.

        torch's DistributedDataParallel would sum during the backward pass, but it rearranges its buckets after the first
        step: three or more processes then add in a different order, and a resumed run is not bit-identical.
        """
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with reaching():
            torch.distributed.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def sums(self, values: list[float]) -> list[float]:
        """Return the sum of each value over all processes, in float64; it is bit-identical in all of them."""
        total = torch.tensor(values, dtype=torch.float64)
        with reaching():
            torch.distributed.all_reduce(total, group=self._messages)
        return total.tolist()

    def broadcast(self, value: Any) -> Any:
        """Return the value of rank 0, plain or with tensors (elsewhere they arrive on the CPU); other values are ignored."""
        box = [packed(value) if self.rank == 0 else None]
        with reaching():
            torch.distributed.broadcast_object_list(box, src=0, group=self._messages)
        return value if self.rank == 0 else unpacked(box[0])

    def gather(self, part: Any) -> list[Any]:
        """Return the parts of all processes in order of rank; an empty list except in rank 0."""
        box: list[Any] | None = [None] * self.world_size if self.rank == 0 else None
        with reaching():
            torch.distributed.gather_object(packed(part), box, dst=0, group=self._messages)
        return [unpacked(part) for part in box or []]


@contextmanager
def reaching() -> Iterator[None]:
    """Turn a `RuntimeError` in the block into `ProcessLost`."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessLost(str(error).splitlines()[0][:200]) from error


def packed(value: Any) -> bytes:
    """Return plain values and tensors as bytes."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def unpacked(value: Any) -> Any:
    """Return what `packed` was given; it unpickles nothing but plain values and tensors."""
    return torch.load(io.BytesIO(value), map_location="cpu", weights_only=True)
