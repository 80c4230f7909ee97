"""Each command of docs/coming_from.md runs, for two steps of a small model, in the order of the page."""

import re
import shlex
from pathlib import Path

from conftest import TINY

from rnnscope.cli import main
from rnnscope.runs.find import find_run
from rnnscope.runs.record import Record

PAGE = (Path(__file__).parents[2] / "docs" / "coming_from.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line) for line in re.findall(r"^\$ rnnscope (.*)$", PAGE, re.M)]
FEW = [*TINY, "trainer.max_steps=2", "trainer.val_every=2", "dataset.batch_size=2", "monitor.sample_length=2"]


def small(words: list[str]) -> list[str]:
    """Return a command for two steps: what else it sets stays."""
    adopts = any(word.startswith("init_from=") for word in words)
    few = [word for word in FEW if not (adopts and word.startswith("model."))]
    first = [word for word in words if word.partition("=")[0] in ("experiment", "text")]
    return [*first, *[word for word in words if word not in first], *few, "trainer.max_epochs=null"]


def test_each_command_runs(story, tmp_path, monkeypatch, outputs, capsys):
    (tmp_path / "input.txt").write_text("The end.\n" * 20 + story.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for command, *words in COMMANDS:
        steps = small(words) if command == "train" else [*words, *(["length=5"] if command == "sample" else [])]
        assert main([command, *steps]) == 0, (command, words, capsys.readouterr().err)
        if command == "train":
            assert Record.read(find_run("latest").record).get("status", str) == "finished"
