"""A file that a second thread writes, and hashes if asked to, while the first one makes the next block."""

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

BLOCK = 1 << 18  # bytes that are collected for the second thread


class HashingWriter:
    """A write-only file for a `with` block. `size`: bytes so far. With `hashed`, `sha256` is set when the block ends.

    If writing fails (the disk is full, say), a later `write` or the end of the block raises the `OSError`.
    """

    def __init__(self, path: Path, *, hashed: bool = True) -> None:
        self.size, self.sha256 = 0, ""
        self._parts: list[bytes | memoryview] = []
        self._waiting = 0
        self._digest = hashlib.sha256() if hashed else None
        self._file = path.open("wb", buffering=0)
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._task: Future[None] | None = None

    def write(self, data: bytes | memoryview) -> int:
        """Add `data`, which must not change afterwards, and return its size in bytes."""
        size = data.nbytes if isinstance(data, memoryview) else len(data)
        self._parts.append(data)
        self.size, self._waiting = self.size + size, self._waiting + size
        if self._waiting >= BLOCK:
            self._hand_over()
        return size

    def _hand_over(self) -> None:
        if self._task:
            self._task.result()
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts, self._waiting = [], 0
        self._task = self._thread.submit(self._write, data)

    def _write(self, data: bytes | memoryview) -> None:
        if self._digest:
            self._digest.update(data)
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self._file.write(rest) :]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._hand_over()
                assert self._task
                self._task.result()
                self.sha256 = self._digest.hexdigest() if self._digest else ""
        finally:
            self._thread.shutdown()
            self._file.close()
