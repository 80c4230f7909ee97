"""docs/lightning.md: every block does what it says, in order, in one folder; only sizes are smaller here."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "lightning.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(Save as\s+`(\w+\.py)`:\s+)?```(python|console)\n(.*?)```", PAGE, re.DOTALL)
TINY = [
    "trainer=cpu",
    "trainer.threads=1",
    "model.hidden_size=16",
    "dataset.batch_size=4",
    "trainer.val_tokens=500",
    "dataset.corpus.packages=[email]",
    "dataset.split.val=0.2",
    "dataset.split.train=0.8",
    "dataset.split.test=0",
]
SHORT = ["trainer.max_steps=100", "trainer.val_every=50", "monitor.sample_length=10"]
SMALLER = f"""
import sys
import pytorch_lightning as pl
import rnnscope
for name in ("compose", "train"):
    plain = getattr(rnnscope, name)
    setattr(rnnscope, name, lambda words, plain=plain: plain([*words, *{TINY + SHORT[1:]!r}]))
"""


def test_every_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNNSCOPE_OUTPUTS", raising=False)
    script = [SMALLER]
    commands = []
    for _, file, kind, body in BLOCKS:
        if file:
            Path(file).write_text(body)
        elif kind == "python":
            script.append(body)
        else:
            commands += [line.removeprefix("$ rnnscope ").split() for line in body.splitlines()]
    assert len(script) == 4
    assert len(commands) == 6
    run([sys.executable, "-c", "\n".join(script)])
    for command, *words in commands:
        given = {word.partition("=")[0] for word in words}
        smaller = [*TINY, *(word for word in SHORT if word.partition("=")[0] not in given)] if command == "train" else []
        said = run([sys.executable, "-m", "rnnscope", command, *words, *smaller])
        if "callback_classes=[my_module.Longest]" in words:
            assert re.search(r"largest gradient: \d", said)


def run(words: list[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
