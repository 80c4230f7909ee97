"""One process at a time in a run folder."""

from pathlib import Path
from typing import Self

from rnnscope.errors import UserError
from rnnscope.lock import Lock


class RunLock:
    """Holds the lock file of a run in a `with` block."""

    def __init__(self, path: Path) -> None:
        self._lock = Lock(path)

    def __enter__(self) -> Self:
        if not self._lock.acquire(wait=False):
            folder = self._lock.path.parent
            raise UserError(f"{folder} is being trained by another process; wait for it, or stop it first")
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.release()


def is_locked(path: Path) -> bool:
    """Whether a process is working in the run whose lock file is `path`."""
    if not path.exists():
        return False
    lock = Lock(path)
    free = lock.acquire(wait=False)
    lock.release()
    return not free
