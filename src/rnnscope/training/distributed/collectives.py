"""What the processes of one training send each other: gradients at every step, messages now and then."""

import atexit
import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed
from torch import Tensor

LONGEST_WAIT = timedelta(days=7)  # while process 0 validates; a process that is gone is noticed at once


def _disconnect() -> None:
    """Join the threads behind the groups: one that outlives Python can abort the process at its very end."""
    with suppress(Exception):
        torch.distributed.destroy_process_group()


class ProcessLost(RuntimeError):
    """Another process of the training is gone."""


class Collectives:
    """What processes send each other. All call the same methods in the same order; each raises `ProcessLost`."""

    def __init__(self, rank: int, world_size: int) -> None:
        self.rank, self.world_size = rank, world_size
        self._messages: Any = None

    def connect(self) -> None:
        """Open a way for messages beside the gradients' own: on a GPU they would wait there for all work queued before."""
        with _reaching():
            self._messages = torch.distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)
        atexit.register(_disconnect)

    def all_reduce(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in one go.

        torch's DistributedDataParallel would sum while the backward pass still runs, but lays its buckets out anew after the
        first step: three and more processes then add in another order, and a resumed run gets other last bits.
        """
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _reaching():
            torch.distributed.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def broadcast(self, message: Any) -> None:
        """Send plain values and tensors to all others: process 0 sends, the others `receive`."""
        with _reaching():
            torch.distributed.broadcast_object_list([_packed(message)], src=0, group=self._messages)

    def receive(self) -> Any:
        """Wait for what process 0 sends, and return it."""
        box: list[Any] = [None]
        with _reaching():
            torch.distributed.broadcast_object_list(box, src=0, group=self._messages)
        return _unpacked(box[0])

    def gather(self, part: Any) -> list[Any]:
        """Return the parts of all processes in the order of their ranks; an empty list except in process 0."""
        box: list[Any] | None = [None] * self.world_size if self.rank == 0 else None
        with _reaching():
            torch.distributed.gather_object(_packed(part), box, dst=0, group=self._messages)
        return [_unpacked(packed) for packed in box or []]


@contextmanager
def _reaching() -> Iterator[None]:
    """Call what fails in here by its name."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessLost(str(error).splitlines()[0][:200]) from error


def _packed(message: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(message, buffer)
    return buffer.getvalue()


def _unpacked(packed: bytes) -> Any:
    return torch.load(io.BytesIO(packed), map_location="cpu", weights_only=True)
