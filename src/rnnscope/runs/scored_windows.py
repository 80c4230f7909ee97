"""The windows in which a whole text is scored, of a size that fits into memory."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnscope.data.batches import StreamWindows, Windows, ZeroStateWindows
from rnnscope.data.many_to_one import ManyToOneWindows, target_ids
from rnnscope.data.sample_windows import SampleWindows

LONGEST = 1024  # tokens of a text scored at once
LOGITS = 1 << 24  # computed at once, 64 MB: fewer tokens if the vocabulary is large
ROWS = 32  # independent windows scored at once


def text_windows(
    dataset: Mapping[str, Any], stream: np.ndarray, start: int, size: int, carried: bool, window: int
) -> tuple[Windows, np.ndarray]:
    """Return the windows in which a text is scored as a run was trained, and the ids in them that are targets (or START).

    Args:
        dataset: the keys of the run's dataset.
        stream: ids of the text, START first.
        start: the id of START.
        size: of the vocabulary.
        carried, window: as for `LoadedRun.score`.
    """
    if dataset.get("windows") == "samples":
        return SampleWindows(stream, ROWS, longest(size, ROWS), start, seed=None), stream[1:]
    if dataset.get("windows") == "many_to_one":
        length = dataset["sequence_length"]
        step = dataset.get("window_step") or length + 1
        return ManyToOneWindows(stream, ROWS, length, step), target_ids(stream, length, step)
    given = None if dataset.get("start_end") is None else start
    if carried:
        return carried_windows(stream, size, given), stream[1:]
    return zero_state_windows(stream, window, size, given), stream[1:]


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
