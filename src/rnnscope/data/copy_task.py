"""The copy task: a text generated from a seed, in which a letter has to be remembered for a given number of steps."""

import hashlib
from pathlib import Path

import numpy as np

from rnnscope.data.cache import cached_file
from rnnscope.data.config import CorpusConfig
from rnnscope.errors import UserError

LETTERS = 8
LARGEST = 1 << 28  # bytes


def copy_task_file(config: CorpusConfig, cache_dir: Path) -> Path:
    """Return the file in the cache with the text that `copy_lag`, `copies` and `copy_seed` define; write it if need be."""
    lag, copies, seed = config.copy_lag or 0, config.copies, config.copy_seed
    if lag < 1 or copies < 1 or copies * (lag + 2) > LARGEST:
        raise UserError(
            f"dataset.corpus.copy_lag={config.copy_lag} and dataset.corpus.copies={copies} must be at least 1, and together"
            f" make at most {LARGEST:,} characters"
        )
    place = cache_dir / "made" / f"copy_lag-{lag}_copies-{copies}_seed-{seed}.txt"
    return cached_file(place, copy_task(lag, copies, seed))


def copy_task(lag: int, copies: int, seed: int) -> bytes:
    """Return `copies` lines: a random capital letter, `lag` - 1 random small ones, and the capital again (Hc...aH).

    The letters come from a hash, so they do not depend on the version of any library.
    """
    drawn = hashlib.shake_256(str(seed).encode()).digest(copies * lag)
    lines = np.frombuffer(drawn, np.uint8).reshape(copies, lag) % LETTERS + ord("a")
    lines[:, 0] -= ord("a") - ord("A")
    return np.column_stack([lines, lines[:, 0], np.full(copies, ord("\n"), np.uint8)]).tobytes()
