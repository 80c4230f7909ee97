"""Where rnnscope keeps what it makes."""

import os
from pathlib import Path


def outputs_folder() -> Path:
    """Return where runs, sweeps and the cache live: `RNNSCOPE_OUTPUTS`, else outputs/ under the current folder."""
    return Path(os.environ.get("RNNSCOPE_OUTPUTS") or "outputs")


def cache_folder() -> Path:
    """Return where downloaded and encoded texts live."""
    return outputs_folder() / "cache"
