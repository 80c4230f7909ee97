"""A split as ids: encoded from the text, stored in a file, read back as a memory map.

file      START id id id ... id        N + 1 ids for N targets: the input of a target is the id before it
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnscope.data.clean_text import CleanText
from rnnscope.data.cleaning import cut_blocks, slices
from rnnscope.data.hashing_writer import HashingWriter
from rnnscope.data.units import Units, units, units_of
from rnnscope.data.vocabulary import Vocabulary


@dataclass(frozen=True)
class SplitInfo:
    """The size of a split.

    `tokens`: its targets; START is an input but never predicted. `ids`: the length of its file. `units`: the number of START
    in it (1 if only the whole split begins with one). `sha256`: of its file; `text_sha256`: of its cleaned text, of val and
    test only, since losses compare on the same text.
    """

    tokens: int
    characters: int
    unknown: int
    ids: int
    units: int
    sha256: str
    text_sha256: str | None = None


def encode_text(vocabulary: Vocabulary, text: str, start_end: str | None = None) -> np.ndarray:
    """Return the ids of any text with START in front: (tokens + 1,), as windows need them. At byte level START is a line feed.

    With `start_end`, START and END surround each document, paragraph, line or sentence, as in a dataset. The text is encoded
    block by block.
    """
    if start_end is not None:
        return np.concatenate([_between(some, vocabulary)[0] for some in units_of(text, start_end)])
    return np.insert(encode_blocks(vocabulary, text), 0, vocabulary.start)


def encode_blocks(vocabulary: Vocabulary, text: str) -> np.ndarray:
    """Return the ids of any text, (tokens,) in the smallest integer type, encoded block by block."""
    blocks = [vocabulary.encode_block(block) for block in cut_blocks(slices(text))]
    return np.concatenate([np.zeros(0, vocabulary.dtype), *blocks])


def encode_split(text: CleanText, start: int, end: int, kind: str | None, vocabulary: Vocabulary, path: Path) -> SplitInfo:
    """Write the ids of the text between two byte positions to `path`. `kind`: what START and END surround."""
    unknown = opened = 0
    with HashingWriter(path) as file:
        for block, opens in _encoded(text, start, end, kind, vocabulary):
            file.write(block.data)
            opened += opens
            unknown += 0 if vocabulary.unk is None else block.size - int(np.count_nonzero(block))  # UNK is 0
    ids = file.size // vocabulary.dtype.itemsize
    return SplitInfo(max(ids - opened, 0), text.count(start, end), unknown, ids, opened, file.sha256)


def _encoded(
    text: CleanText, start: int, end: int, kind: str | None, vocabulary: Vocabulary
) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the ids of a part of the text, block by block, and the number of START in each block."""
    if kind is None and start < end:
        yield np.array([vocabulary.start], dtype=vocabulary.dtype), 1
    for some in units(text, start, end, kind, words=vocabulary.level == "word"):
        yield (vocabulary.encode_block(some.texts[0]), 0) if kind is None else _between(some, vocabulary)


def _between(some: Units, vocabulary: Vocabulary) -> tuple[np.ndarray, int]:
    """Return the ids of some units, with START and END where they open and close, and the number of START."""
    ids = vocabulary.encode_units(some.texts)
    first, last = int(not some.opens), len(ids) - int(not some.closes)
    return ids[first:last], len(some.texts) - first


def open_stream(path: Path, info: SplitInfo, dtype: np.dtype) -> np.ndarray:
    """Return the ids of a split as a read-only memory map, (ids,); an empty array for an empty split."""
    if not info.ids:
        return np.zeros(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", shape=(info.ids,))
