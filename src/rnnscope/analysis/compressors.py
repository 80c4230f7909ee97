"""A general-purpose compressor as a baseline: the bytes that it needs for a text after the training text."""

import lzma
import math

import numpy as np

WINDOW = 64 << 20  # bytes that xz -9 looks back


def xz_nats(stream: np.ndarray, training: np.ndarray, given: int | None = None) -> float:
    """Return the nats per id that `xz -9` needs for a stream after the training text, without its first id and `given`."""
    before, ids = training[-WINDOW:].astype(stream.dtype).tobytes(), stream[1:]
    grown = len(lzma.compress(before + ids.tobytes(), preset=9)) - len(lzma.compress(before, preset=9))
    return 8 * math.log(2) * grown / np.count_nonzero(ids != given)
