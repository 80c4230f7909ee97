"""The cleaned text of a corpus in one file on disk, and where its documents end.

All later passes (dividing, counting, encoding) read this file, so a source is read, decoded and cleaned only once and
no text has to fit in memory:

    document 0 | document 1 | ... | document n-1       UTF-8; `ends[i]` is the byte after document i
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rnnscope.data.cleaning import cut_blocks

BLOCK = 1 << 18  # bytes read at a time: with all that becomes of them they stay in the cache of a core


@dataclass(frozen=True)
class CleanText:
    """A cleaned text on disk.

    `ends`: (documents,) int64, the byte after each document. `marks`: (2, n) int64, places where it is known how many
    characters (row 1) lie before a byte (row 0): the beginning, the end, and some every `BLOCK` bytes or so between them.
    `labelled`: how many documents come from the files of each split.
    """

    path: Path
    ends: np.ndarray
    marks: np.ndarray
    labelled: dict[str, int]
    files: int

    @property
    def characters(self) -> int:
        """How many characters the whole text has."""
        return int(self.marks[1, -1])

    def blocks(self, start: int, end: int) -> Iterator[str]:
        """The text between two byte positions (both at the start of a character) in blocks of `BLOCK` bytes."""
        with self.path.open("rb") as file:
            yield from _read(file, start, end)

    def documents(self, start: int, end: int) -> Iterator[Iterator[str]]:
        """The documents (or the parts of them) between two byte positions, each as blocks cut at safe places.

        Consume each document before the next.
        """
        first = int(np.searchsorted(self.ends, start, side="right"))
        with self.path.open("rb") as file:
            while start < end:
                document_end = min(int(self.ends[first]), end)
                yield cut_blocks(_read(file, start, document_end))
                start, first = document_end, first + 1

    def count(self, start: int, end: int) -> int:
        """The number of characters between two byte positions."""
        return self._characters_before(end) - self._characters_before(start)

    def _characters_before(self, position: int) -> int:
        byte, character = self.marks[:, np.searchsorted(self.marks[0], position, side="right") - 1].tolist()
        return character + sum(map(len, self.blocks(byte, position)))

    def byte_of_character(self, character: int) -> int:
        """The byte position of a character of the text."""
        mark = int(np.searchsorted(self.marks[1], character, side="right")) - 1
        byte, before = self.marks[:, mark].tolist()
        if before == character:
            return byte
        block = "".join(self.blocks(byte, int(self.marks[0, mark + 1])))
        return byte + len(block[: character - before].encode("utf-8", "surrogatepass"))

    def after_line(self, position: int) -> int:
        """The first byte position at or after `position` that begins a line, or the end of the text."""
        with self.path.open("rb") as file:
            file.seek(max(position - 1, 0))
            if position:
                while (line := file.readline(BLOCK)) and not line.endswith(b"\n"):
                    pass
            return file.tell()


def _read(file: BinaryIO, start: int, end: int) -> Iterator[str]:
    rest = b""
    file.seek(start)
    while start < end:
        read = file.read(min(BLOCK, end - start))
        start += len(read)
        block = rest + read
        whole = len(block) if start >= end else _whole_characters(block)
        yield block[:whole].decode("utf-8", "surrogatepass")
        rest = block[whole:]


def _whole_characters(block: bytes) -> int:
    """How many bytes of `block` are whole characters, leaving the last one for the next block unless it is ASCII."""
    if block[-1] < 0x80:
        return len(block)
    start = len(block) - 1
    while start > 0 and block[start] & 0xC0 == 0x80:
        start -= 1
    return start
