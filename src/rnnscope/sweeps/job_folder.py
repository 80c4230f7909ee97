"""The folder of a job and its status, which the files on disk alone decide, whichever process trains it.

outputs/sweeps/<sweep>/ contains sweep.yaml (the manifest), a run folder for each job, and .jobs/: locks, and notes on jobs
that failed before they had a run.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from rnnscope.errors import UserError
from rnnscope.lock import Lock
from rnnscope.runs.files import replace_text
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.lock import is_locked
from rnnscope.runs.record import Record, status_of

LOST = ("failed", "diverged")  # statuses of jobs that only `retry_failed` repeats
ENDED = ("finished", *LOST)
PATIENCE = 1.0  # seconds between two attempts to take a lock
# what a process leaves that was killed before the first step
UNBEGUN = {"config.yaml", "vocabulary.json", "environment.txt", "code.patch", "run.lock", "train.log"}


@dataclass(frozen=True)
class JobState:
    """The status of a job: waiting, running, killed (its process died), interrupted, finished, diverged or failed."""

    status: str
    reason: str | None = None
    record: Record | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def get(self, key: str) -> Any:
        """Return the value at a dotted key of run.json, or None if there is none."""
        return self.record.get(key, object) if self.record else None


@dataclass(frozen=True)
class JobFolder:
    """One job of the sweep in the folder `sweep`."""

    sweep: Path
    name: str

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.sweep / self.name)

    @property
    def lock(self) -> Lock:
        """The lock that the process holds that runs this job, even before there is a run."""
        return Lock(self._service(".lock"))

    def _service(self, ending: str) -> Path:
        return service_folder(self.sweep) / f"{self.name}{ending}"

    @contextmanager
    def being_done(self) -> Iterator[None]:
        """Keep a mark that remains only if this process dies; the job's lock must be held."""
        mark = self._service(".begun")
        mark.touch()
        try:
            yield
        finally:
            mark.unlink(missing_ok=True)

    def died(self) -> bool:
        """Whether the last process that ran this job died."""
        return self._service(".begun").exists() and not is_locked(self.lock.path)

    def state(self, alive: bool = True) -> JobState:
        """Return the status of the job.

        Args:
            alive: believe `running`; otherwise check the run's lock.
        """
        note = self._service(".json")
        noted = json.loads(note.read_text(encoding="utf-8"))["reason"] if note.exists() else None
        if not self.run.record.exists():
            return JobState("failed", noted) if noted else JobState("waiting")
        try:
            record = Record.read(self.run.record)
            status = status_of(record, alive)
        except UserError as error:
            return JobState("failed", str(error))
        if noted and status not in ENDED:
            return JobState("failed", noted, record)
        return JobState(status, record.values.get("reason"), record)

    def fail(self, reason: str, traceback: str = "") -> None:
        """Record why the job failed: in a note, and with the traceback in the log of the run, or in one of the job's own."""
        replace_text(self._service(".json"), json.dumps({"reason": reason}, ensure_ascii=False) + "\n")
        log = self.run.log if self.run.path.is_dir() else self._service(".log")
        with log.open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"failed: {reason}\n{traceback}")

    def make_ready(self) -> None:
        """Remove what prevents the job from being run or continued.

        That is what `fail` wrote, the mark of a dead process, and the folder of a run that was killed before its first step.

        Raises:
            UserError: if the folder has no run.json but contains other files.
        """
        for ending in (".json", ".log", *([".begun"] if self.died() else [])):
            self._service(ending).unlink(missing_ok=True)
        path = self.run.path
        if not path.exists() or self.run.record.exists():
            return
        strange = sorted(file.name for file in path.iterdir() if file.name[0] != "." and file.name not in UNBEGUN)
        if strange:
            raise UserError(f"{path} has no run.json but contains {', '.join(strange)}; move it elsewhere")
        shutil.rmtree(path)

    def move_aside(self, status: str) -> Path | None:
        """Append the status to the name of the job's folder and return the new path; None if the folder does not exist."""
        if not self.run.path.exists():
            return None
        names = (self.run.path.with_name(f"{self.name}.{status}-{number}") for number in count(1))
        return self.run.path.rename(next(path for path in names if not path.exists()))


def service_folder(sweep: Path) -> Path:
    """Return the folder of a sweep's locks and notes."""
    return sweep / ".jobs"


@contextmanager
def held(
    lock: Lock, waiting: Callable[[], object] = lambda: None, stopped: Callable[[], object] = lambda: None
) -> Iterator[bool]:
    """Hold a lock, waiting for it if necessary; yield False if `stopped` ended the wait.

    Args:
        waiting: called once if the lock is not free.
    """
    said = False
    while not lock.acquire(wait=False):
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


def sweep_held(sweep: Path, say: Callable[[str], object]) -> AbstractContextManager[bool]:
    """Hold the lock of a sweep's folder; `say` reports that a different process has it."""
    waiting = f"{sweep} is in use by a different process: waiting until it ends"
    return held(Lock(service_folder(sweep) / "sweep.lock"), waiting=lambda: say(waiting))
