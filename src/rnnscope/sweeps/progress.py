"""How far a run is, read from its folder while it trains: the tails of its two journals."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnscope.sweeps.job_folder import Place, State

TAIL = 32_768  # bytes from the end of a journal: a row has a few hundred to a few thousand


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
    try:
        with path.open("rb") as file:
            columns = next(csv.reader([file.readline().decode("utf-8", "replace")]), [])
            top = file.tell()
            start = file.seek(max(top, file.seek(0, 2) - TAIL))
            rows = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return found
    for row in csv.reader(rows[0 if start == top else 1 : -1]):  # whole rows: the first and last may be parts of some
        if len(row) == len(columns):
            numbers = zip(columns, map(_number, row), strict=True)
            found |= {column: number for column, number in numbers if number is not None}
    return found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def clock(seconds: float) -> str:
    """Return seconds as people say them: 0:42, 3:05, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
