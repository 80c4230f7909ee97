"""Writing the cleaned text of a corpus: read, clean, separate and order its documents."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rnnscope.data.clean_text import BLOCK, CleanText
from rnnscope.data.cleaning import Cleaner
from rnnscope.data.corpus import Corpus
from rnnscope.data.hashing_writer import Output
from rnnscope.data.sources import Source
from rnnscope.errors import UserError


def write_text(
    corpus: Corpus, found: dict[str, list[Source]], cleaner: Cleaner, *, encoding: str, separate: bool, path: Path
) -> CleanText:
    """Read, clean and write to `path` the documents of all sources. `separate`: put the corpus' separator between them.

    Documents that are empty after cleaning are left out and counted. Errors: `UserError` when nothing is left.
    """
    writer = _Writer(corpus.separator if separate else "")
    labelled = {}
    with Output(path, hashed=False) as file:
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
        where = f" in column {corpus.column!r}" if corpus.column else ""
        others = " and the others" if files > 1 else ""
        raise UserError(f"{first}{others}: no text{where}, only white space: give another text")
    return writer.text(path, labelled, files)


class _Writer:
    def __init__(self, separator: str) -> None:
        self._separator, self._tail = separator, separator.encode("utf-8", "surrogatepass")
        self.ends, self._marks = array("q"), array("q", (0, 0))  # 8 bytes a document: a text may have millions
        self._total = self.empty = 0
        self.visible = False

    def write(self, file: Output, blocks: Iterator[str], *, new_split: bool) -> None:
        """One document. The separator is the end of the document before, once it is known that another one comes."""
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

    def text(self, path: Path, labelled: dict[str, int], files: int) -> CleanText:
        size = self.ends[-1] if self.ends else 0
        if self._marks[-2] < size:
            self._marks.extend((size, self._total))
        ends, marks = np.frombuffer(self.ends, np.int64), np.array(self._marks).reshape(-1, 2).T
        return CleanText(path, ends, marks, labelled, files)


def shuffled(text: CleanText, separator: str, path: Path) -> CleanText:
    """The same documents, in `path`, in the order of a hash of what they hold; those of a split of its own stay together.

    `separator` stands after each document but the last of a split, before and after. The old file is removed.
    """
    writer, first = _Writer(separator), 0
    with text.path.open("rb") as old, Output(path, hashed=False) as new:
        for documents in text.labelled.values():
            last = first + documents - 1
            read = partial(_document, text, old, last, len(separator.encode("utf-8", "surrogatepass")))
            keys = (_key(read(i)) for i in range(first, last + 1))
            order = np.argsort(np.fromiter(keys, np.uint64, documents))  # whose memory is free again before the writing
            for place, i in enumerate(order):
                writer.write(new, iter((read(first + i).decode("utf-8", "surrogatepass"),)), new_split=place == 0)
            first = last + 1
    text.path.unlink()
    return writer.text(path, text.labelled, text.files)


def _document(text: CleanText, file: BinaryIO, last: int, tail: int, i: int) -> bytes:
    """Document `i` without the separator at its end, `tail` bytes, which all but the `last` of a split have."""
    start = int(text.ends[i - 1]) if i else 0
    file.seek(start)
    return file.read(int(text.ends[i]) - start - tail * (i < last))


def _key(document: bytes) -> int:
    """The first 8 bytes of its sha256."""
    return int.from_bytes(hashlib.sha256(document).digest()[:8], "big")
