"""Warnings about splits whose loss would mislead: they repeat train, or they are a different kind of text."""

import math
from collections.abc import Iterator

import numpy as np

from rnnscope.data.clean_text import CleanText
from rnnscope.data.sources import BLOCK
from rnnscope.data.splits import Ranges

PASSAGES = 20  # of a split, searched in train
PASSAGE = 100  # bytes: so many hardly ever occur twice in a text
DOCUMENTS = 1000  # of a split, searched in train if documents are shorter than a passage
REPEATED = 0.5  # the share of a split that may also be in train; source code with tables and licenses has up to 0.4
DIFFERENT = 0.1  # bits per byte; splits of one book differ by 0.01 to 0.05, those of two authors by more than 0.5


def split_warnings(text: CleanText, ranges: Ranges, *, mixed: bool) -> Iterator[str]:
    """Yield a line for each reason why the loss on val or test does not tell how well unseen text is predicted.

    `mixed`: the splits are shares of shuffled documents, and differ by chance alone.
    """
    train = ranges["train"]
    for name in ("val", "test"):
        if train[0] == train[1] or ranges[name][0] == ranges[name][1]:
            continue
        found, looked_for, what = _repeated(text, train, ranges[name])
        if found > REPEATED * looked_for:
            yield (
                f"warning: {found} of {looked_for} {what} of {name} are also in train, word for word: its loss says how well"
                " train is remembered; remove copies from the text"
            )
        bits, by_chance = _difference(text, train, ranges[name])
        if not mixed and bits > DIFFERENT + 5 * by_chance:
            yield (
                f"warning: {name} is a different kind of text than train (train's frequencies cost {bits:.2f} bits more for"
                f" each byte of {name} than its own): its loss says little about text like train; give it text of the same kind"
                " (dataset.corpus.shuffle=true where the text has many documents)"
            )


def _repeated(text: CleanText, train: tuple[int, int], split: tuple[int, int]) -> tuple[int, int, str]:
    """Return how many passages of a split are in train, how many were searched, and what they are."""
    if len(text.ends) > 1 and text.ends[-1] < PASSAGE * len(text.ends):
        return _repeated_documents(text, train, split)
    starts = np.linspace(split[0], split[1] - PASSAGE, min(PASSAGES, (split[1] - split[0]) // PASSAGE)).astype(int).tolist()
    wanted = {start: next(_bytes(text, start, start + PASSAGE)) for start in starts}
    missing, tail = set(wanted), b""
    for block in _bytes(text, *train):
        seen = tail + block
        missing = {start for start in missing if wanted[start] not in seen}
        tail = seen[1 - PASSAGE :]
    return len(wanted) - len(missing), len(wanted), f"passages ({PASSAGE} bytes each)"


def _repeated_documents(text: CleanText, train: tuple[int, int], split: tuple[int, int]) -> tuple[int, int, str]:
    begins = np.concatenate([[0], text.ends])
    until, first, last = np.searchsorted(begins, (train[1], *split)).tolist()
    places = np.linspace(first, last, min(DOCUMENTS, last - first), endpoint=False).astype(int).tolist()
    wanted = [next(_bytes(text, *begins[place : place + 2].tolist())).strip() for place in places]
    missing = set(wanted)
    with text.path.open("rb") as file:
        for place in range(until):
            missing.discard(file.read(int(begins[place + 1] - begins[place])).strip())
    return sum(document not in missing for document in wanted), len(wanted), "documents"


def _difference(text: CleanText, train: tuple[int, int], split: tuple[int, int]) -> tuple[float, float]:
    """Return how many bits a byte of a split costs more with train's frequencies than with its own, and how many by chance."""
    expected, found = (
        np.sum([np.bincount(np.frombuffer(block, np.uint8), minlength=256) for block in _bytes(text, *span)], axis=0)
        for span in (train, split)
    )
    own, by_train = found[found > 0] / found.sum(), (expected[found > 0] + 0.5) / (expected.sum() + 128)
    return float((own * np.log2(own / by_train)).sum()), np.count_nonzero(expected) / (2 * math.log(2) * int(found.sum()))


def _bytes(text: CleanText, start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes between two positions of a text, in blocks."""
    with text.path.open("rb") as file:
        file.seek(start)
        while start < end:
            yield file.read(min(BLOCK, end - start))
            start += BLOCK
