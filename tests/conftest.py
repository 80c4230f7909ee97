"""What several tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def shared_data() -> Path:
    """The folder of real texts, or a skip where there is none."""
    folder = Path(os.environ.get("RNNSCOPE_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (folder / "tiny_shakespeare.txt").is_file():
        pytest.skip("no real texts here: set RNNSCOPE_DATA")
    return folder
