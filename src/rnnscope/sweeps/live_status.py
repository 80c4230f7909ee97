"""The output of a sweep: lines on running and ended jobs, and a table at the end."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from rnnscope.comparison.curves import finite
from rnnscope.comparison.groups import group_tables, make_groups
from rnnscope.comparison.run_summary import Summary, summarize
from rnnscope.comparison.select import BEST, sort_runs
from rnnscope.comparison.table import tables
from rnnscope.errors import UserError
from rnnscope.format import clock, shell, watching
from rnnscope.runs.journal import newest_rows
from rnnscope.sweeps.job_folder import JobFolder, JobState
from rnnscope.sweeps.means import write_means

EVERY = 1.0  # seconds between two checks of the jobs
REASON = 100  # characters of a reason that are printed; sweep.yaml has all of it


class LiveStatus:
    """Watches jobs from a separate thread, and prints their status.

    Args:
        changed: called with each job and its state whenever that may have changed.
        seconds: between two lines on a running job.
    """

    def __init__(self, changed: Callable[[JobFolder, JobState], object], seconds: float) -> None:
        self._changed, self._seconds = changed, seconds
        self._jobs: dict[JobFolder, JobState] = {}
        self._said: dict[JobFolder, tuple[float, str]] = {}  # when a job's last line was printed, and the line
        self.lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)

    def open(self) -> None:
        """Start to watch."""
        self._thread.start()

    def close(self) -> None:
        """Check the jobs one last time and stop; a second call does nothing."""
        if not self._over.is_set():
            self._over.set()
            self._thread.join()
            self.look()

    def follow(self, jobs: Iterable[JobFolder]) -> None:
        """Watch these jobs as well, from their current status on."""
        with self.lock:
            self._jobs |= {job: job.state(alive=False) for job in jobs}

    def say(self, line: str) -> None:
        """Print a line, unless the output is gone: a sweep outlives its terminal."""
        with self.lock, suppress(OSError):
            print(line, flush=True)

    def _keep_looking(self) -> None:
        with suppress(Exception):  # such as a full disk; `close` looks again, where an error is reported
            while not self._over.wait(EVERY):
                self.look()

    def look(self) -> None:
        """Check every job that has not ended, and print what is new."""
        with self.lock:
            for job, before in self._jobs.items():
                if before.ended:
                    continue
                state = self._jobs[job] = job.state()
                self._changed(job, state)
                if state.ended or (state.status == "interrupted" and before.status == "running"):
                    self.say(f"{job.name}  {ending(state)}")
                elif state.status == "running":
                    self._say_progress(job, state)

    def _say_progress(self, job: JobFolder, state: JobState) -> None:
        then, before = self._said.get(job, (0.0, ""))
        if time.monotonic() - then < self._seconds:
            return
        line = progress(job, state)
        if line != before:
            self._said[job] = (time.monotonic(), line)
            self.say(f"{job.name}  {line}")


def progress(job: JobFolder, state: JobState) -> str:
    """Return the progress of a running job in a few words, read from the ends of its two journals."""
    metrics, timings = newest_values(job.run.metrics), newest_values(job.run.timings)
    step, total = int(max(metrics.get("step", 0), state.get("progress.step") or 0)), state.get("progress.total")
    loss, val_loss = metrics.get("train/loss"), metrics.get("val/loss", state.get("progress.val/loss"))
    left = seconds_left(step, total, (state.get("config") or {}).get("trainer.max_minutes"), timings)
    parts = [f"step {step}" if total is None else f"step {step}/{total}"]
    parts += [f"loss {loss:.4f}"] if loss is not None else []
    parts += [f"val/loss {val_loss:.4f}"] if val_loss is not None else []
    parts += [f"{clock(left)} left"] if left is not None else []
    return "  ".join(parts)


def newest_values(path: Path) -> dict[str, float]:
    """Return the newest value of each column in the last rows of a journal; empty if there are none yet."""
    found: dict[str, float] = {}
    try:
        for row in newest_rows(path)[0]:
            numbers = ((column, finite(cell)) for column, cell in row.items())
            found = {column: value for column, value in numbers if value is not None} | found
    except (UserError, OSError):
        pass
    return found


def seconds_left(step: int, total: int | None, minutes: float | None, timings: Mapping[str, float]) -> float | None:
    """Return how long a run will still take at its speed so far; None if that is not known yet."""
    seconds, at = timings.get("throughput/seconds"), timings.get("step")
    if not seconds or not at:
        return None
    known = [seconds / at * max(0, total - step)] if total is not None else []
    known += [max(0.0, 60 * minutes - seconds)] if minutes is not None else []
    return min(known, default=None)


def ending(state: JobState) -> str:
    """Return in one line how a job ended."""
    seconds, best = state.get("progress.seconds"), state.get("best.loss")
    text = state.status
    text += f" at step {state.get('progress.step')}" if state.record is not None else ""
    text += f" after {clock(seconds)}" if seconds is not None else ""
    if best is not None:
        text += f"; best val/loss {best:{'.4f' if best < 1e6 else '.4g'}} at step {state.get('best.step')}"
    return text + (f" ({shortened(state.reason)})" if state.reason else "")


def shortened(text: str) -> str:
    """Return a reason on one line, of limited length."""
    line = " ".join(text.split())
    return line if len(line) <= REASON else f"{line[: REASON - 3]}..."


def closing_lines(folder: Path, states: dict[str, JobState], width: int, seeds: bool = False) -> list[str]:
    """Return the table of a sweep's runs as in `compare`, the jobs that did not finish, and the next commands.

    Args:
        seeds: also show the groups of runs that differ in the seed alone, and write their means for TensorBoard.
    """
    found = list(_summaries(folder, states))
    runs = sort_runs(found, BEST) if found else []
    lines = tables(runs, None, width)
    if seeds and runs:
        groups, keys = make_groups(runs, "seed")
        heading = "groups of seeds: * lowest mean, ~ 95 % interval overlaps that of the lowest mean"
        lines += ["", heading, *group_tables(groups, keys)]
        write_means(folder, groups, keys)
    unfinished = {name: state for name, state in states.items() if state.status != "finished"}
    if unfinished:
        longest = max(map(len, unfinished))
        lines += ["", *(f"  {name:<{longest}}  {ending(state)}" for name, state in unfinished.items())]
    lines += ["", f"  sweep folder {folder}", f"  watch        {watching(folder)}"]
    best = [run.name for run in runs if run.value("status") == "finished" and run.value(BEST) is not None]
    return [*lines, f"  sample       {shell('rnnscope', 'sample', f'run={best[0]}')}"] if best else lines


def _summaries(folder: Path, jobs: Iterable[str]) -> Iterable[Summary]:
    """Yield the summary of each job that has a readable run; the status of any other job says why it failed."""
    for name in jobs:
        run = JobFolder(folder, name).run
        if run.record.exists():
            try:
                yield summarize(run, f"{folder.name}/{name}")
            except UserError:
                continue
