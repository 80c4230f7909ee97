"""A file that one process at a time holds locked. The kernel drops the lock with the process, however that ends."""

from pathlib import Path

from filelock import FileLock, Timeout


class Lock:
    """Holds `path` locked from `acquire` to `release` or the end of the process. The file stays."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # flock or nothing: a lock of the other kind would outlive a process that was killed
        self._lock = FileLock(path, thread_local=False, fallback_to_soft=False)

    def acquire(self, wait: bool = True) -> bool:
        """Take the lock and return True; False where another process has it and `wait` is False."""
        try:
            self._lock.acquire(blocking=wait)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Let go of the lock; doing so twice changes nothing."""
        self._lock.release()
