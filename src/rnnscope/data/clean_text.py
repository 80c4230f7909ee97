"""The cleaned text of a corpus, in one file on disk, and where its documents end.

All later passes (dividing, counting, encoding) read this file, so a source is read, decoded and cleaned only once, and no
text has to fit in memory:

    document 0 | document 1 | ... | document n-1       UTF-8; `ends[i]` is the byte after document i
"""

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rnnscope.data.archives import Archives
from rnnscope.data.cleaning import Cleaner, cut_blocks, separator_of
from rnnscope.data.config import DatasetConfig
from rnnscope.data.corpus import Corpus
from rnnscope.data.hashing_writer import HashingWriter
from rnnscope.data.sources import BLOCK, Source, documents
from rnnscope.errors import UserError


@dataclass(frozen=True)
class CleanText:
    """A cleaned text on disk.

    `ends`: (documents,) int64, the byte after each document. `marks`: (2, n) int64, the number of characters (row 1)
    before a byte (row 0): at the beginning, at the end, and about every `BLOCK` bytes in between.
    `labeled`: how many documents each split's own files have.
    """

    path: Path
    ends: np.ndarray
    marks: np.ndarray
    labeled: dict[str, int]
    files: int

    @property
    def characters(self) -> int:
        """The number of characters in the text."""
        return int(self.marks[1, -1])

    def blocks(self, start: int, end: int) -> Iterator[str]:
        """Yield the text between two byte positions, both at the start of a character, in blocks of `BLOCK` bytes."""
        with self.path.open("rb") as file:
            yield from _blocks(file, start, end)

    def documents(self, start: int, end: int) -> Iterator[Iterator[str]]:
        """Yield the documents (or parts of them) between two byte positions, each as blocks cut at safe places.

        Consume each document before the next.
        """
        first = int(np.searchsorted(self.ends, start, side="right"))
        with self.path.open("rb") as file:
            while start < end:
                document_end = min(int(self.ends[first]), end)
                yield cut_blocks(_blocks(file, start, document_end))
                start, first = document_end, first + 1

    def count(self, start: int, end: int) -> int:
        """Return the number of characters between two byte positions."""
        return self._characters_before(end) - self._characters_before(start)

    def sha256(self, start: int, end: int) -> str:
        """Return the SHA-256 of the text between two byte positions, as UTF-8."""
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            file.seek(start)
            for at in range(start, end, BLOCK):
                digest.update(file.read(min(BLOCK, end - at)))
        return digest.hexdigest()

    def _characters_before(self, position: int) -> int:
        byte, character = self.marks[:, np.searchsorted(self.marks[0], position, side="right") - 1].tolist()
        return character + sum(map(len, self.blocks(byte, position)))

    def byte_of_character(self, character: int) -> int:
        """Return the byte position of a character of the text."""
        mark = int(np.searchsorted(self.marks[1], character, side="right")) - 1
        byte, before = self.marks[:, mark].tolist()
        if before == character:
            return byte
        block = "".join(self.blocks(byte, int(self.marks[0, mark + 1])))
        return byte + len(block[: character - before].encode("utf-8", "surrogatepass"))

    def after_line(self, position: int) -> int:
        """Return the first byte position at or after `position` that begins a line, or the end of the text."""
        with self.path.open("rb") as file:
            file.seek(max(position - 1, 0))
            if position:
                while (line := file.readline(BLOCK)) and not line.endswith(b"\n"):
                    pass
            return file.tell()


def _blocks(file: BinaryIO, start: int, end: int) -> Iterator[str]:
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
    """Return how many bytes of `block` are whole characters; the last one is left to the next block unless it is ASCII."""
    if block[-1] < 0x80:
        return len(block)
    start = len(block) - 1
    while start > 0 and block[start] & 0xC0 == 0x80:
        start -= 1
    return start


def write_text(
    config: DatasetConfig, corpus: Corpus, found: dict[str, list[Source]], cleaner: Cleaner, path: Path
) -> CleanText:
    """Read and clean the documents of all sources, and write them to `path`, separated unless START and END do that.

    Documents that are empty after cleaning are left out and counted; from reader_version 2 on, so are lines and rows of
    white space. Raises `UserError` if nothing is left.
    """
    writer = _DocumentWriter(separator_of(config))
    drop = config.corpus.reader_version > 1 and (config.corpus.lines or config.corpus.column is not None)
    labeled = {}
    with HashingWriter(path, hashed=False) as file, closing(Archives(path.parent)) as archives:
        for split, sources in found.items():
            before = len(writer.ends)
            for source in sources:
                for document in documents(source, config, corpus.changes, archives):
                    blocks = cleaner.clean(document)
                    writer.write(file, _unless_blank(blocks) if drop else blocks, new_split=len(writer.ends) == before)
            labeled[split] = len(writer.ends) - before
    blank = " and documents of white space" if drop else ""
    cleaner.changes[f"empty documents{blank} left out"] += writer.empty
    files = sum(map(len, found.values()))
    if not writer.visible:
        first = next(iter(found.values()))[0]
        blank = f"no text in column {config.corpus.column!r}" if config.corpus.column else "only white space"
        others = f" and {files - 1} more" if files > 1 else ""
        if cleaner.removed:
            raise UserError(f"{first}{others}: nothing is left after dataset.remove={config.remove}: correct the patterns")
        raise UserError(f"{first}{others}: {blank}: give a different {'column' if config.corpus.column else 'text'}")
    return writer.text(path, labeled, files)


def _unless_blank(blocks: Iterator[str]) -> Iterator[str]:
    """Yield the blocks of a document, none if they are all white space."""
    held: list[str] = []
    for block in blocks:
        held.append(block)
        if block and not block.isspace():
            yield from held
            yield from blocks


class _DocumentWriter:
    def __init__(self, separator: str) -> None:
        self._separator, self._tail = separator, separator.encode("utf-8", "surrogatepass")
        self.ends, self._marks = array("q"), array("q", (0, 0))  # 8 bytes per document, of which there may be millions
        self._total = self.empty = 0
        self.visible = False

    def write(self, file: HashingWriter, blocks: Iterator[str], *, new_split: bool) -> None:
        """Write a document. The separator is added to the previous document, once there is text to follow it."""
        begin = self._total
        for block in blocks:
            if not block:
                continue
            if self._total == begin and not new_split:
                self.ends[-1] += file.write(self._tail)
                self._total += len(self._separator)
                begin = self._total
            file.write(block.encode("utf-8", "surrogatepass"))
            self._total += len(block)
            if file.size - self._marks[-2] >= BLOCK:
                self._marks.extend((file.size, self._total))
            self.visible = self.visible or not block.isspace()
        if self._total == begin:
            self.empty += 1
            return
        self.ends.append(file.size)

    def text(self, path: Path, labeled: dict[str, int], files: int) -> CleanText:
        size = self.ends[-1] if self.ends else 0
        if self._marks[-2] < size:
            self._marks.extend((size, self._total))
        ends, marks = np.frombuffer(self.ends, np.int64), np.array(self._marks).reshape(-1, 2).T
        return CleanText(path, ends, marks, labeled, files)


def shuffled(text: CleanText, separator: str, path: Path) -> CleanText:
    """Return the same documents, in `path`, ordered by a hash of their content within each split that has its own files.

    In both files `separator` follows each document but the last of a split. The old file is removed.
    """
    writer, first = _DocumentWriter(separator), 0
    with text.path.open("rb") as old, HashingWriter(path, hashed=False) as new:
        for documents in text.labeled.values():
            last = first + documents - 1
            read = partial(_document, text, old, last, len(separator.encode("utf-8", "surrogatepass")))
            keys = (_key(read(i)) for i in range(first, last + 1))
            order = np.argsort(np.fromiter(keys, np.uint64, documents))  # the keys are freed before anything is written
            for place, i in enumerate(order):
                writer.write(new, iter((read(first + i).decode("utf-8", "surrogatepass"),)), new_split=place == 0)
            first = last + 1
    text.path.unlink()
    return writer.text(path, text.labeled, text.files)


def rearranged(text: CleanText, spans: Iterable[tuple[int, int]], path: Path) -> CleanText:
    """Return the given byte ranges of a text, in this order, as one document in `path`. The old file is removed."""
    writer = _DocumentWriter("")
    with HashingWriter(path, hashed=False) as file:
        writer.write(file, (block for span in spans for block in text.blocks(*span)), new_split=True)
    text.path.unlink()
    return writer.text(path, {"train": 1}, text.files)


def _document(text: CleanText, file: BinaryIO, last: int, tail: int, i: int) -> bytes:
    """Return document `i` without the separator, of `tail` bytes, that ends all but the `last` document of a split."""
    start = int(text.ends[i - 1]) if i else 0
    file.seek(start)
    return file.read(int(text.ends[i]) - start - tail * (i < last))


def _key(document: bytes) -> int:
    """Return the first 8 bytes of its SHA-256."""
    return int.from_bytes(hashlib.sha256(document).digest()[:8], "big")
