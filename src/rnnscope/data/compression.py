"""Compressed files as their contents."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

BLOCK = 1 << 16  # bytes read at a time


class Streams(io.RawIOBase):
    """The contents of the compressed streams in a file, one after another.

    As for gzip files, and unlike lzma.open and bz2.open, what follows a stream must be another one or zeros, not be ignored.
    """

    def __init__(self, file: IO[bytes], decompressor: Callable[[], Any]) -> None:
        self._file, self._new, self._stream = file, decompressor, decompressor()

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` as far as the next bytes go; return their number, 0 at the end.

        Raises:
            EOFError: if the file ends within a stream.
            OSError, lzma.LZMAError: if it is damaged.
        """
        content = b""
        while not content:
            block = b""
            if self._stream.eof:
                if not (block := self._next_stream()):
                    return 0
                self._stream = self._new()
            elif self._stream.needs_input and not (block := self._file.read(BLOCK)):
                raise EOFError("Compressed file ended before the end-of-stream marker was reached")
            content = self._stream.decompress(block, len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def _next_stream(self) -> bytes:
        """Return the first bytes of the next stream; none at the end."""
        found = self._stream.unused_data.lstrip(b"\0")
        while not found and (block := self._file.read(BLOCK)):
            found = block.lstrip(b"\0")
        return found


DECOMPRESSORS = {".xz": lzma.LZMADecompressor, ".lzma": lzma.LZMADecompressor, ".bz2": bz2.BZ2Decompressor}
SUFFIXES = (".gz", *DECOMPRESSORS)  # of files that are decompressed


def open_decompressed(source: Path | IO[bytes], suffix: str) -> IO[bytes]:
    """Open a file, or take an open one, decompressed if `suffix` is that of a compressed file."""
    if suffix.lower() == ".gz":
        return cast("IO[bytes]", gzip.open(source))
    file = source.open("rb") if isinstance(source, Path) else source
    kind = DECOMPRESSORS.get(suffix.lower())
    return cast("IO[bytes]", io.BufferedReader(Streams(file, kind))) if kind else file
