"""The cleaned text of a corpus in one file on disk, and where its documents end.

All later passes (dividing, counting, encoding) read this file, so a source is read, decoded and cleaned only once and
no text has to fit in memory:

    document 0 | document 1 | ... | document n-1       UTF-8; `ends[i]` is the byte after document i
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rnnscope.data.cleaning import Cleaner, cut_blocks
from rnnscope.data.corpus import Corpus
from rnnscope.data.sources import Source
from rnnscope.errors import UserError

BLOCK = 1 << 20  # bytes read at a time


@dataclass(frozen=True)
class CleanText:
    """A cleaned text on disk.

    `ends`: the byte after each document, `characters`: how long each is, both (documents,) int64. `labelled`: how many
    documents come from the files of each split.
    """

    path: Path
    ends: np.ndarray
    characters: np.ndarray
    labelled: dict[str, int]
    files: int

    def blocks(self, start: int, end: int) -> Iterator[str]:
        """The text between two byte positions (both at the start of a character) in blocks of about a million bytes."""
        rest = b""
        with self.path.open("rb") as file:
            file.seek(start)
            while start < end:
                block = rest + file.read(min(BLOCK, end - start))
                start += len(block) - len(rest)
                whole = len(block) if start >= end else _whole_characters(block)
                yield block[:whole].decode("utf-8", "surrogatepass")
                rest = block[whole:]

    def documents(self, start: int, end: int) -> Iterator[Iterator[str]]:
        """The documents (or the parts of them) between two byte positions, each as blocks cut at safe places."""
        first = int(np.searchsorted(self.ends, start, side="right"))
        while start < end:
            document_end = min(int(self.ends[first]), end)
            yield cut_blocks(self.blocks(start, document_end))
            start, first = document_end, first + 1

    def count(self, start: int, end: int) -> int:
        """The number of characters between two byte positions."""
        if self.ends[-1] == self.characters.sum():
            return end - start
        return sum(map(len, self.blocks(start, end)))

    def byte_of_character(self, document: int, character: int) -> int:
        """The byte position of a character of a document."""
        position = int(self.ends[document - 1]) if document else 0
        end = int(self.ends[document])
        if end - position == self.characters[document]:
            return position + character
        for block in self.blocks(position, end):
            if character <= len(block):
                return position + len(block[:character].encode("utf-8", "surrogatepass"))
            character -= len(block)
            position += len(block.encode("utf-8", "surrogatepass"))
        return end

    def after_line(self, position: int) -> int:
        """The first byte position at or after `position` that begins a line, or the end of the text."""
        with self.path.open("rb") as file:
            file.seek(max(position - 1, 0))
            if position:
                while (line := file.readline(BLOCK)) and not line.endswith(b"\n"):
                    pass
            return file.tell()


def _whole_characters(block: bytes) -> int:
    """How many bytes of `block` are whole characters, leaving the last one for the next block unless it is ASCII."""
    if block[-1] < 0x80:
        return len(block)
    start = len(block) - 1
    while start > 0 and block[start] & 0xC0 == 0x80:
        start -= 1
    return start


def write_text(
    corpus: Corpus, found: dict[str, list[Source]], cleaner: Cleaner, *, encoding: str, separate: bool, path: Path
) -> CleanText:
    """Read, clean and write to `path` the documents of all sources. `separate`: put the corpus' separator between them.

    Documents that are empty after cleaning are left out and counted. Errors: `UserError` when nothing is left.
    """
    writer = _Writer(corpus.separator if separate else "")
    labelled = {}
    with path.open("wb") as file:
        for split, sources in found.items():
            before = len(writer.ends)
            for source in sources:
                for document in corpus.documents(source, encoding):
                    writer.write(file, cleaner.clean(document), new_split=len(writer.ends) == before)
            labelled[split] = len(writer.ends) - before
    cleaner.changes["empty documents left out"] += writer.empty
    files = sum(map(len, found.values()))
    if not writer.visible:
        first = next(iter(found.values()))[0].path
        raise UserError(f"{first}{' and the others' if files > 1 else ''}: no text, only white space: give another text")
    return CleanText(path, np.array(writer.ends, np.int64), np.array(writer.characters, np.int64), labelled, files)


class _Writer:
    def __init__(self, separator: str) -> None:
        self._separator = separator
        self.ends, self.characters = array("q"), array("q")
        self.empty, self.visible = 0, False

    def write(self, file: BinaryIO, blocks: Iterator[str], *, new_split: bool) -> None:
        """One document. The separator is the end of the document before, once it is known that another one comes."""
        characters = 0
        for block in blocks:
            if not block:
                continue
            if not characters and not new_split:
                self.characters[-1] += len(self._separator)
                self.ends[-1] += file.write(self._separator.encode("utf-8", "surrogatepass"))
            file.write(block.encode("utf-8", "surrogatepass"))
            characters += len(block)
            self.visible = self.visible or not block.isspace()
        if not characters:
            self.empty += 1
            return
        self.ends.append(file.tell())
        self.characters.append(characters)
