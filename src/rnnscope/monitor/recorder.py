"""One row per step: callbacks add values, which are written to metrics.csv, timings.csv and TensorBoard together."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from rnnscope.monitor.tensorboard import TensorBoardWriter
from rnnscope.training.callback import Callback
from rnnscope.training.saved_state import SavedState
from rnnscope.training.task import LanguageModelTask

Finish = Callable[[list[float]], dict[str, float]]


class Journal(Protocol):
    """An open file of rows, CSV or JSON."""

    def append(self, values: dict[str, Any]) -> None: ...


class Reading:
    """The values of `tensor`, (n,), as they are now, to be read later.

    Waiting for a GPU at every point of the curves would leave it idle until the host has caught up. On a CPU nothing waits.
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


@dataclass(frozen=True)
class Row:
    """What callbacks found in one step; `Finish` turns the numbers of a reading into values when they have arrived."""

    step: int
    epoch: int
    tokens: int
    values: dict[str, float]
    clock: dict[str, float]
    readings: list[tuple[Reading, Finish]]

    @property
    def waits(self) -> bool:
        """Whether all values are still on their way from a GPU."""
        return not self.values and any(reading.waits for reading, _ in self.readings)


class Recorder(Callback):
    """Writes what callbacks found; it comes after all callbacks that measure and before the one that saves.

    `values` depend only on config, data and seed; `clock` holds timings. On a GPU the row of a step is written when the next
    one is due or `settle` is called, so that nothing waits for the device.
    """

    name = "Recorder"

    def __init__(self, metrics: Journal, timings: Journal, board: TensorBoardWriter) -> None:
        self.metrics, self.timings, self.board = metrics, timings, board
        self.row: dict[str, float] = {}  # the row that was written in this step
        self.latest: dict[str, float] = {}  # the newest value of each tag, for the progress bar and the summary
        self.values: dict[str, float] = {}
        self.clock: dict[str, float] = {}
        self._readings: list[tuple[Reading, Finish]] = []
        self._rows: deque[Row] = deque()  # not written yet, the oldest first

    def read(self, numbers: Tensor, finish: Finish) -> None:
        """Read `numbers`, (n,), from their device; `finish` turns them into values."""
        self._readings.append((Reading(numbers), finish))

    def after_step(self, task: LanguageModelTask) -> None:
        self.row = {}
        if not (self.values or self.clock or self._readings):
            return
        self.settle()
        row = Row(task.step, task.epoch, task.tokens_seen, self.values, self.clock, self._readings)
        self.values, self.clock, self._readings = {}, {}, []
        self._rows.append(row)
        if task.ending or not row.waits:
            self.settle()

    def settle(self) -> None:
        """Write all rows that are not written yet, waiting for the device."""
        while self._rows:
            self._write(self._rows.popleft())

    def _write(self, row: Row) -> None:
        values = found_values(row.values, row.readings)
        if values:
            self.metrics.append({"step": row.step, "epoch": row.epoch, "tokens": row.tokens, **values})
        if row.clock:
            self.timings.append({"step": row.step, **row.clock})
        self.row = {**values, **row.clock}
        self.board.scalars(row.step, self.row)
        self.latest |= self.row

    def state(self) -> dict[str, Any]:
        pending = found_values(self.values, self._readings)  # empty unless a callback was interrupted in this step
        return {"latest": dict(self.latest)} | ({"pending": pending} if pending else {})

    def restore(self, state: SavedState) -> None:
        self.latest = state.numbers("latest")
        self.values = state.numbers("pending") if state.has("pending") else {}


def found_values(values: dict[str, float], readings: list[tuple[Reading, Finish]]) -> dict[str, float]:
    """Return `values` and those of the readings, waiting for the device."""
    found = dict(values)
    for reading, finish in readings:
        found |= finish(reading.numbers())
    return found


def metric_columns(parameters: list[str], words: bool, penalties: bool) -> list[str]:
    """Return the columns of metrics.csv, which are fixed for a run."""
    curves = ["loss", "bits_per_character", "accuracy"]
    return [
        "step",
        "epoch",
        "tokens",
        *(f"train/{name}" for name in curves),
        *(["train/penalty"] if penalties else []),
        "learning_rate",
        "gradient_norm/all",
        "gradient_norm/clipped_fraction",
        *(f"val/{name}" for name in curves),
        *(["val/perplexity"] if words else []),
        "best/loss",
        "best/bits_per_character",
        "update_size/all",
        *(f"update_size/{name}" for name in parameters),
    ]


TIMING_COLUMNS = ["step", "throughput/tokens_per_second", "throughput/seconds", "throughput/memory_gigabytes"]
