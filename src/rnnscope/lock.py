"""A lock file that one process at a time can hold. The kernel releases it when the process ends, however it ends."""

from pathlib import Path

from filelock import FileLock, Timeout


class Lock:
    """Holds `path` locked from `acquire` to `release` or the end of the process. The file stays."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # flock only: filelock's soft lock would outlive a process that was killed
        self._lock = FileLock(path, thread_local=False, fallback_to_soft=False)

    def acquire(self, wait: bool = True) -> bool:
        """Take the lock and return True; return False if another process has it and `wait` is False."""
        try:
            self._lock.acquire(blocking=wait)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Release the lock; a second call does nothing."""
        self._lock.release()
