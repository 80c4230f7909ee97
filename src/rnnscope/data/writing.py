"""Writing the cleaned text of a corpus: read, clean, separate and order its documents."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rnnscope.data.cleaning import Cleaner
from rnnscope.data.corpus import Corpus
from rnnscope.data.output import Output
from rnnscope.data.sources import Source
from rnnscope.data.text import CleanText
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
        raise UserError(f"{first}{' and the others' if files > 1 else ''}: no text, only white space: give another text")
    return writer.text(path, labelled, files)


class _Writer:
    def __init__(self, separator: str) -> None:
        self._separator, self._tail = separator, separator.encode("utf-8", "surrogatepass")
        self.ends, self._characters, self._marks = array("q"), array("q"), array("q", (0, 0))
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
                self._characters[-1] += len(self._separator)
                begin = self._add(file.size, len(self._separator))
            file.write(block.encode("utf-8", "surrogatepass"))
            self._add(file.size, len(block))
            self.visible = self.visible or not block.isspace()
        if self._total == begin:
            self.empty += 1
            return
        self.ends.append(file.size)
        self._characters.append(self._total - begin)

    def _add(self, size: int, characters: int) -> int:
        self._total += characters
        self._marks.extend((size, self._total))
        return self._total

    def text(self, path: Path, labelled: dict[str, int], files: int) -> CleanText:
        ends, characters, marks = (np.array(values, np.int64) for values in (self.ends, self._characters, self._marks))
        return CleanText(path, ends, characters, marks.reshape(-1, 2).T.copy(), labelled, files)


def shuffled(text: CleanText, separator: str, path: Path) -> CleanText:
    """The same documents, in `path`, in the order of a hash of what they hold; those of a split of its own stay together.

    `separator` stands after each document but the last of a split, before and after. The old file is removed.
    """
    tail = separator.encode("utf-8", "surrogatepass")
    starts = np.concatenate([[0], text.ends[:-1]])
    lasts = np.cumsum(list(text.labelled.values())) - 1
    tails = np.ones(len(starts), dtype=np.int64)
    tails[lasts[lasts >= 0]] = 0
    ends = text.ends - tails * len(tail)
    order = array("q")
    with text.path.open("rb") as old, path.open("wb") as new:
        for first, last in pairwise([-1, *lasts.tolist()]):
            some = range(first + 1, last + 1)
            order.extend(sorted(some, key=lambda i: hashlib.sha256(_bytes(old, starts[i], ends[i])).digest()))
        for place, i in enumerate(order):
            new.write(_bytes(old, starts[i], ends[i]) + tail * int(tails[place]))
    text.path.unlink()
    characters = (text.characters - tails * len(separator))[order] + tails * len(separator)
    ends = np.cumsum((ends - starts)[order] + tails * len(tail))
    marks = np.concatenate([[[0], [0]], np.stack([ends, np.cumsum(characters)])], axis=1)
    return CleanText(path, ends, characters, marks, text.labelled, text.files)


def _bytes(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)
