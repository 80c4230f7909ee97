"""One row a step: monitors put values in, and what they put goes to metrics.csv, timings.csv and TensorBoard together."""

from typing import Any, Protocol

from rnnscope.monitor.board import Board
from rnnscope.monitor.monitors import Monitor
from rnnscope.monitor.saved_state import SavedState
from rnnscope.training.task import LanguageModelTask


class Rows(Protocol):
    """An open CSV."""

    def append(self, values: dict[str, Any]) -> None: ...


class Recorder(Monitor):
    """Stands after all monitors that measure and before the one that saves.

    `values` is what only config, data and seed determine; `clock` is what the clock says.
    """

    name = "Recorder"

    def __init__(self, metrics: Rows, timings: Rows, board: Board) -> None:
        self.metrics, self.timings, self.board = metrics, timings, board
        self.values: dict[str, float] = {}
        self.clock: dict[str, float] = {}
        self.row: dict[str, float] = {}  # what this step wrote
        self.latest: dict[str, float] = {}  # the newest value of each tag, for the progress bar and the end of a run

    def after_step(self, task: LanguageModelTask) -> None:
        if self.values:
            self.metrics.append({"step": task.step, "epoch": task.epoch, "tokens": task.tokens_seen, **self.values})
        if self.clock:
            self.timings.append({"step": task.step, **self.clock})
        self.row = {**self.values, **self.clock}
        if self.row:
            self.board.scalars(task.step, self.row)
            self.latest |= self.row
            self.values, self.clock = {}, {}

    def state(self) -> dict[str, Any]:
        return {"latest": dict(self.latest)}

    def restore(self, state: SavedState) -> None:
        self.latest = state.numbers("latest")


def metric_columns(parameters: list[str], words: bool) -> list[str]:
    """Return the columns of metrics.csv: fixed for a run, whatever it measures when."""
    curves = ["loss", "bits_per_character", "accuracy"]
    return [
        "step",
        "epoch",
        "tokens",
        *(f"train/{name}" for name in curves),
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
