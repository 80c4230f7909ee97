"""docs/extending.md to the letter: each section by itself in a copy of the source, and its commands run there."""

from pathlib import Path

import pytest
from test_extending import SECTIONS, apply, copied

SHOWN = {"A metric": "train/perplexity", "A monitor": "weight_norm/all", "A command": "'"}


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section(section: str, tmp_path: Path, story: Path) -> None:
    printed = apply(section, copied(tmp_path), story, running=True)
    assert printed
    assert SHOWN.get(section, "") in printed
