"""How far a run is, read from its folder while it trains: the tails of its two journals."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnscope.errors import UserError
from rnnscope.format import clock
from rnnscope.runs.journal import newest_rows
from rnnscope.sweeps.job_folder import Place, State


@dataclass(frozen=True)
class Progress:
    """Where a run stands now; None for what is not known yet."""

    step: int
    total: int | None
    loss: float | None
    val_loss: float | None
    left: float | None  # seconds

    def line(self) -> str:
        """Return it in a few words."""
        of = "" if self.total is None else f"/{self.total}"
        parts = [f"step {self.step}{of}"]
        parts += [f"loss {self.loss:.4f}"] if self.loss is not None else []
        parts += [f"val/loss {self.val_loss:.4f}"] if self.val_loss is not None else []
        parts += [f"{clock(self.left)} left"] if self.left is not None else []
        return "  ".join(parts)


def progress_of(place: Place, state: State) -> Progress:
    """Return how far a job is that is running."""
    metrics, timings = last_values(place.run.metrics), last_values(place.run.timings)
    step = max(int(metrics.get("step", 0)), int(state.get("progress.step") or 0))
    total = state.get("progress.total")
    seconds, at = timings.get("throughput/seconds"), timings.get("step")
    left = seconds_left(step, total, state.config("trainer.max_minutes"), seconds, at)
    return Progress(step, total, metrics.get("train/loss"), metrics.get("val/loss", state.get("progress.val/loss")), left)


def seconds_left(step: int, total: Any, minutes: Any, seconds: float | None, at: float | None) -> float | None:
    """Return how long a run will take from `step` on, having taken `seconds` up to step `at`; None before one knows."""
    if not seconds or not at:
        return None
    by_steps = seconds / at * max(0, total - step) if isinstance(total, int) else None
    by_clock = max(0.0, 60 * minutes - seconds) if isinstance(minutes, (int, float)) else None
    known = [found for found in (by_steps, by_clock) if found is not None]
    return min(known) if known else None


def last_values(path: Path) -> dict[str, float]:
    """Return the newest value of each column in the last rows of a journal; nothing where there is none yet."""
    found: dict[str, float] = {}
    with contextlib.suppress(UserError, ValueError):
        for row in newest_rows(path)[0]:
            found = {column: float(cell) for column, cell in row.items() if cell} | found
    return found
