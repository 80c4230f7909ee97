"""Where a job of a sweep lives on disk, and how it stands: the disk alone says, whoever trains it, wherever, and whenever.

In outputs/sweeps/<sweep>/ lie sweep.yaml (the manifest), a run folder for each job, and .jobs/: locks, and notes on jobs that
failed where no run could say so.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

LOST = ("failed", "diverged")
ENDED = ("finished", *LOST)
PATIENCE = 1.0  # seconds between two tries of a lock
UNBEGUN = {  # what a start that was killed leaves
    *("config.yaml", "vocabulary.json", "environment.txt", "code.patch", "run.lock", "train.log"),
}


@dataclass(frozen=True)
class JobState:
    """How a job stands: waiting, running, killed (its process died), interrupted, finished, diverged or failed."""

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
        """Held by the process that does this job, from before it has a run."""
        return Lock(self._service(".lock"))

    def _service(self, ending: str) -> Path:
        return service_folder(self.sweep) / f"{self.name}{ending}"

    @contextmanager
    def being_done(self) -> Iterator[None]:
        """Leave a mark that only the death of this process leaves behind; the job's lock is held."""
        mark = self._service(".begun")
        mark.touch()
        try:
            yield
        finally:
            mark.unlink(missing_ok=True)

    def died(self) -> bool:
        """Whether the process that last did this job died on the way."""
        return self._service(".begun").exists() and not is_locked(self.lock.path)

    def state(self, alive: bool = True) -> JobState:
        """Return how the job stands.

        Args:
            alive: take `running` for true; else ask the run's lock.
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
        """Write down why the job failed: in a note, and with all lines where the run's log is, or would be."""
        replace_text(self._service(".json"), json.dumps({"reason": reason}, ensure_ascii=False) + "\n")
        log = self.run.log if self.run.path.is_dir() else self._service(".log")
        with log.open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"failed: {reason}\n{traceback}")

    def make_ready(self) -> None:
        """Remove what stands in the way of doing the job, or of going on with it.

        That is what `fail` wrote, the mark of a death, and a folder that a start left which was killed before the first step.

        Raises:
            UserError: if the folder has no run.json and holds anything else; it is not ours to remove.
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
        """Rename the job's folder after its status and return the new path; None if the folder does not exist."""
        if not self.run.path.exists():
            return None
        names = (self.run.path.with_name(f"{self.name}.{status}-{number}") for number in count(1))
        return self.run.path.rename(next(path for path in names if not path.exists()))


def service_folder(sweep: Path) -> Path:
    """Return where a sweep keeps its locks and notes."""
    return sweep / ".jobs"


@contextmanager
def held(
    lock: Lock, waiting: Callable[[], object] = lambda: None, stopped: Callable[[], object] = lambda: None
) -> Iterator[bool]:
    """Hold a lock that another process may have: wait for it, and yield whether it was had before `stopped` said so.

    Args:
        waiting: called once if there is something to wait for.
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
