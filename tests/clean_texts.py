"""Cleaned texts for tests, made by hand."""

from pathlib import Path

import numpy as np

from rnnscope.data.clean_text import CleanText


def clean_text(folder: Path, documents: list[str], labeled: dict[str, int] | None = None) -> CleanText:
    """The text of `documents` in a file of `folder`."""
    path = folder / "clean"
    path.write_bytes("".join(documents).encode())
    ends, characters = np.cumsum([len(d.encode()) for d in documents]), sum(map(len, documents))
    marks = np.array([[0, ends[-1]], [0, characters]])
    return CleanText(path, ends, marks, labeled or {"train": len(documents)}, len(documents))
