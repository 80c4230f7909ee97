"""A text made from a seed instead of read: how far back must a network remember?"""

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np

from rnnscope.data.config import CorpusConfig
from rnnscope.errors import UserError

LETTERS = 8
LARGEST = 1 << 28  # bytes


def copy_task_file(config: CorpusConfig, cache_dir: Path) -> Path:
    """The file in the cache with the text that `copy_lag`, `copies` and `copy_seed` ask for, written if it is not there."""
    lag, copies, seed = config.copy_lag or 0, config.copies, config.copy_seed
    if lag < 1 or copies < 1 or copies * (lag + 2) > LARGEST:
        raise UserError(
            f"dataset.corpus.copy_lag={config.copy_lag} and dataset.corpus.copies={copies} must be at least 1, and make no more"
            f" than {LARGEST:,} characters together"
        )
    text, place = copy_task(lag, copies, seed), cache_dir / "made" / f"copy_lag-{lag}_copies-{copies}_seed-{seed}.txt"
    try:
        if not place.exists() or place.read_bytes() != text:
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as file:
                file.write(text)
            os.replace(file.name, place)
    except OSError as error:
        raise UserError(f"{place}: cannot be written ({error.strerror}): free some space, or allow writing there") from None
    return place


def copy_task(lag: int, copies: int, seed: int) -> bytes:
    """Return `copies` lines: a random capital letter, `lag` - 1 random small ones, and the capital again (Hc...aH).

    The letters are those of a hash, which are the same with every version of everything.
    """
    drawn = hashlib.shake_256(str(seed).encode()).digest(copies * lag)
    lines = np.frombuffer(drawn, np.uint8).reshape(copies, lag) % LETTERS + ord("a")
    lines[:, 0] -= ord("a") - ord("A")
    return np.column_stack([lines, lines[:, 0], np.full(copies, ord("\n"), np.uint8)]).tobytes()
