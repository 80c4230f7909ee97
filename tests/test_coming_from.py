"""docs/coming_from.md: each key exists, and the lines of Python do what they say (tests/slow/ runs each command)."""

import re
from pathlib import Path
from typing import Any

from conftest import TINY

from rnnscope.cli import main
from rnnscope.config import schema
from rnnscope.config.hydra_errors import keys_of
from rnnscope.config.overrides import VERBATIM

PAGE = (Path(__file__).parents[1] / "docs" / "coming_from.md").read_text(encoding="utf-8")


def test_each_key_exists():
    known = {key for kind in schema.COMMANDS.values() for key in keys_of(kind)} | set(schema.GROUPS) | {"experiment"}
    known |= {key for keys in VERBATIM.values() for key in keys}
    cells = [cell for line in PAGE.splitlines() if line.startswith("| ") for cell in line.split("|")[2:3]]
    typed = [word for cell in cells for code in re.findall(r"`([^`]*)`", cell) for word in re.findall(r"[\w.]+(?==)", code)]
    assert len(typed) > 50
    assert set(typed) <= known


def test_the_lines_of_python(story, tmp_path, monkeypatch, outputs):
    (tmp_path / "input.txt").write_text("The end.\n" + story.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["train", "text=input.txt", *TINY, "trainer.max_steps=2"]) == 0
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    found: dict[str, Any] = {}
    exec(code, found)
    assert found["logits"].shape == (1, 4, len(found["run"].vocabulary))
    assert found["hidden"].shape == (3, 1, 16)
