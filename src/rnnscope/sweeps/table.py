"""What a sweep says at its end: every job with its status, its best and last metrics, and its time; the best first."""

import math
from pathlib import Path

from rnnscope.format import clock, table_lines
from rnnscope.sweeps.job_folder import State

HEAD = ("job", "status", "best val/loss", "bits/char", "at step", "last train/loss", "val/loss", "steps", "time", "")
REASON = 100  # characters of a reason; all of it stands in sweep.yaml


def table(states: dict[str, State]) -> list[str]:
    """Return the lines of the table."""
    names = sorted(states, key=lambda name: (_best(states[name]), name))
    rows = [HEAD, *(row(name, states[name]) for name in names)]
    return table_lines(rows, left={0, 1, len(HEAD) - 1})  # names, statuses and reasons; numbers stand to the right


def row(name: str, state: State) -> tuple[str, ...]:
    """Return the cells of a job."""
    seconds, step = state.get("progress.seconds"), state.get("progress.step")
    return (
        name,
        "stopped early" if state.get("stopped_early") else state.status,
        number(state.get("best.loss")),
        number(state.get("best.bits_per_character")),
        _text(state.get("best.step")) if state.get("best.loss") is not None else "",
        number(state.get("last.train/loss")),
        number(state.get("last.val/loss")),
        _text(step),
        clock(seconds) if isinstance(seconds, (int, float)) else "",
        shortened(state.reason or ""),
    )


def number(value: object) -> str:
    """Return a loss for people; nothing where there is none."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return ""
    return f"{value:.4f}" if abs(value) < 1e6 else f"{value:.4g}"


def shortened(text: str) -> str:
    """Return a reason in one line."""
    line = " ".join(text.split())
    return line if len(line) <= REASON else f"{line[: REASON - 3]}..."


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _best(state: State) -> float:
    loss = state.get("best.loss")
    return loss if isinstance(loss, (int, float)) and state.status == "finished" else math.inf


def next_steps(folder: Path, states: dict[str, State]) -> list[str]:
    """Return where all is, and the exact next commands."""
    finished = [name for name in states if states[name].status == "finished" and _best(states[name]) < math.inf]
    watch = f"tensorboard --logdir {folder} --samples_per_plugin text=1000,scalars=10000"
    lines = [f"  sweep folder {folder}", f"  watch        {watch}"]
    if finished:
        best = min(finished, key=lambda name: (_best(states[name]), name))
        lines.append(f"  sample       rnnscope sample run={folder.name}/{best}")
    return lines
