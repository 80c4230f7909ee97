"""Where a job of a sweep lives on disk, and how it stands: the disk alone says, whoever trained it, wherever, and whenever.

In outputs/sweeps/<sweep>/ lie sweep.yaml (the manifest), a run folder for each job, and .jobs/: locks, and notes on jobs that
failed where no run could say so.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnscope.errors import UserError
from rnnscope.runs.files import replace_text
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.lock import RunLock, is_locked
from rnnscope.runs.record import Record

ENDED = ("finished", "failed", "diverged")
LOST = ("failed", "diverged")
PATIENCE = 1.0  # seconds between two tries of a lock
UNBEGUN = {"config.yaml", "vocabulary.json", "code.patch", "run.lock", "train.log"}  # what a start that was killed leaves


@dataclass(frozen=True)
class JobState:
    """How a job stands: waiting, running, killed (running, but nobody does), interrupted, finished, diverged or failed."""

    status: str
    reason: str | None = None
    values: dict[str, Any] | None = None  # its run.json

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def get(self, key: str) -> Any:
        """Return the value at a dotted key of run.json, None where there is none."""
        value: Any = self.values
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def config(self, key: str) -> Any:
        """Return the value that a dotted key of the run's config has, None where there is no run."""
        config = self.get("config")
        return config.get(key) if isinstance(config, dict) else None


@dataclass(frozen=True)
class JobFolder:
    """One job of the sweep in the folder `sweep`."""

    sweep: Path
    name: str

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.sweep / self.name)

    @property
    def lock(self) -> RunLock:
        """Held by the process that does this job, from before it has a folder."""
        return RunLock(service_folder(self.sweep) / f"{self.name}.lock")

    @property
    def note(self) -> Path:
        return service_folder(self.sweep) / f"{self.name}.json"

    @contextmanager
    def being_done(self) -> Iterator[None]:
        """Leave a mark that only the death of this process leaves behind; the job's lock is held."""
        self._mark.touch()
        try:
            yield
        finally:
            self._mark.unlink(missing_ok=True)

    def died(self) -> bool:
        """Whether the process that last did this job died on the way."""
        return self._mark.exists() and not is_locked(self.lock.path)

    def forget_death(self) -> None:
        if self.died():
            self._mark.unlink(missing_ok=True)

    @property
    def _mark(self) -> Path:
        return service_folder(self.sweep) / f"{self.name}.begun"

    def state(self, alive: bool = True) -> JobState:
        """Return how the job stands.

        Args:
            alive: take `running` for true; else ask the run's lock.
        """
        note = self._noted()
        try:
            values = Record.read(self.run.record).values
        except UserError as error:
            if self.run.record.exists():
                return JobState("failed", str(error))
            return JobState("failed", note) if note else JobState("waiting")
        status = str(values.get("status"))
        if status == "running" and not alive and not is_locked(self.run.lock):
            status = "killed"
        if note and status not in ENDED:
            return JobState("failed", note, values)
        return JobState(status, values.get("reason"), values)

    def _noted(self) -> str | None:
        try:
            return str(json.loads(self.note.read_text(encoding="utf-8"))["reason"])
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def fail(self, reason: str, traceback: str = "") -> None:
        """Write down why the job failed: in a note, and with all lines where the run's log is, or would be."""
        replace_text(self.note, json.dumps({"reason": reason}, ensure_ascii=False) + "\n")
        log = self.run.log if self.run.path.is_dir() else self.note.with_suffix(".log")
        with log.open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"failed: {reason}\n{traceback}")

    def forget_failure(self) -> None:
        """Remove what `fail` wrote: the job is tried again."""
        self.note.unlink(missing_ok=True)
        self.note.with_suffix(".log").unlink(missing_ok=True)

    def remove_stump(self) -> None:
        """Remove a folder without a run.json, which a start that was killed left: not a step was trained in it.

        Raises:
            UserError: when the folder holds anything else; it is not ours to remove.
        """
        path = self.run.path
        if not path.exists() or self.run.record.exists():
            return
        strange = sorted(file.name for file in path.iterdir() if file.name[0] != "." and file.name not in UNBEGUN)
        if strange:
            raise UserError(f"{path} is in the way: it has no run.json, but {', '.join(strange)}; move it elsewhere")
        shutil.rmtree(path)

    def move_aside(self, status: str) -> Path | None:
        """Give the job's folder a name that says what became of it, and return that; None where there is no folder."""
        if not self.run.path.exists():
            return None
        for number in range(1, 10_000):
            aside = self.run.path.with_name(f"{self.name}.{status}-{number}")
            if not aside.exists():
                return self.run.path.rename(aside)
        raise UserError(f"{self.run.path}: ten thousand earlier tries lie beside it; remove some")


def service_folder(sweep: Path) -> Path:
    """Return where a sweep keeps its locks and notes."""
    return sweep / ".jobs"


@contextmanager
def held(
    lock: RunLock, waiting: Callable[[], object] = lambda: None, stopped: Callable[[], object] = lambda: None
) -> Iterator[bool]:
    """Hold a lock that another process may have: wait for it, and yield whether it was had before `stopped` said so.

    Args:
        waiting: called once if there is something to wait for.
    """
    said = False
    while not _taken(lock):
        if not said:
            said = True
            waiting()
        if stopped():
            yield False
            return
        time.sleep(PATIENCE)
    try:
        yield True
    finally:
        lock.release()


def _taken(lock: RunLock) -> bool:
    try:
        lock.acquire()
    except UserError:
        return False
    return True
