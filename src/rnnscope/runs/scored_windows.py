"""The windows in which a whole text is scored, of a size that fits into memory."""

import numpy as np

from rnnscope.data.batches import StreamWindows, ZeroStateWindows

LONGEST = 1024  # tokens of a text scored at once
LOGITS = 1 << 24  # computed at once, 64 MB: fewer tokens if the vocabulary is large
ROWS = 32  # independent windows scored at once


def carried_windows(stream: np.ndarray, size: int, given: int | None) -> StreamWindows:
    """Return windows that score a stream as one text, with the state carried through.

    Args:
        stream: ids, (time,).
        size: of the vocabulary.
        given: the id of START if the stream contains it; it is not predicted.
    """
    return StreamWindows(stream, 1, min(longest(size, 1), len(stream) - 1), given=given)


def zero_state_windows(stream: np.ndarray, window: int, size: int, given: int | None) -> ZeroStateWindows:
    """Return windows that score each `window` tokens of a stream from a zero state; otherwise as `carried_windows`."""
    window = min(window, len(stream) - 1)
    rows = min(ROWS, -(-(len(stream) - 1) // window))
    return ZeroStateWindows(stream, rows, window, given, longest(size, rows))


def longest(size: int, rows: int) -> int:
    """Return how many tokens of each of `rows` texts to score at once, with a vocabulary of `size`."""
    return max(1, min(LONGEST, LOGITS // (rows * size)))
