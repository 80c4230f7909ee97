"""One process at a time in a run folder. The kernel drops the lock with the process, however that ends."""

from pathlib import Path
from typing import IO, Self

from rnnscope.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has no flock: two processes in one run are then not caught
    fcntl = None  # type: ignore[assignment]


class RunLock:
    """Holds `path` locked from `acquire` to `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            UserError: when another process holds it.
        """
        self._file = self.path.open("a")
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise UserError(f"{self.path.parent} is being trained by another process; wait for it, or stop it first") from None

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def is_locked(path: Path) -> bool:
    """Whether some process is at work in the run whose lock file is `path`."""
    if not path.exists():
        return False
    lock = RunLock(path)
    try:
        lock.acquire()
    except UserError:
        return True
    lock.release()
    return False
