"""Configs and cleaned texts for tests, made by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnnscope.data.clean_text import CleanText
from rnnscope.data.config import CorpusConfig, DatasetConfig, SplitConfig


def clean_text(folder: Path, documents: list[str], labeled: dict[str, int] | None = None) -> CleanText:
    """The text of `documents` in a file of `folder`."""
    path = folder / "clean"
    path.write_bytes("".join(documents).encode())
    ends, characters = np.cumsum([len(d.encode()) for d in documents]), sum(map(len, documents))
    marks = np.array([[0, ends[-1]], [0, characters]])
    return CleanText(path, ends, marks, labeled or {"train": len(documents)}, len(documents))


def dataset_config(keys: Mapping[str, Any]) -> DatasetConfig:
    """The config in nested dicts."""
    corpus, split = CorpusConfig(**keys.get("corpus", {})), SplitConfig(**keys.get("split", {}))
    return DatasetConfig(**{**keys, "corpus": corpus, "split": split})
