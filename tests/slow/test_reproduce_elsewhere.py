"""A run is reproduced from a checkout whose conf/ or code has changed since."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from messages import line_with
from torture import SMALL, only_run, write_text

ROOT = Path(__file__).parents[2]
TRAINED_IN_A_MOMENT = [*SMALL, "trainer.max_steps=3", "trainer.val_every=3"]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    write_text(path, 1500)
    return path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this checkout's src/ and conf/, to be edited."""
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "checkout"


def edit_conf(checkout: Path, name: str, **values: object) -> None:
    path = checkout / "conf" / name
    text = path.read_text(encoding="utf-8")
    for key, value in values.items():
        text, found = re.subn(rf"^( *{key}:) *[^ \n]+", rf"\1 {value}", text, flags=re.MULTILINE)
        assert found == 1, (name, key)
    path.write_text(text, encoding="utf-8")


def command(checkout: Path, *words: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "RNNSCOPE_OUTPUTS": str(checkout / "outputs")}
    words = (sys.executable, "-m", "rnnscope", *words)
    return subprocess.run(words, env=environment, cwd=checkout, capture_output=True, text=True, timeout=120, check=False)


def test_conf_may_have_changed_since(checkout: Path, text: Path) -> None:
    edit_conf(checkout, "model/lstm.yaml", hidden_size=24, forget_bias=0.5)
    edit_conf(checkout, "dataset/text_files.yaml", batch_size=4, sequence_length=12)
    edit_conf(checkout, "trainer/auto.yaml", max_steps=20, val_every=10)
    words = ["trainer=cpu", "trainer.threads=1", "trainer.precision=float32", "monitor.scalars_every=2"]
    done = command(checkout, "train", f"text={text}", *words)
    assert done.returncode == 0, done.stderr
    run = only_run(checkout / "outputs")
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["config"]["model.hidden_size"] == 24

    edit_conf(checkout, "model/lstm.yaml", hidden_size=8, forget_bias=3.0, num_layers=2)
    edit_conf(checkout, "dataset/text_files.yaml", batch_size=2, sequence_length=5, lower_case="true")
    edit_conf(checkout, "optimizer/adamw.yaml", lr=7.0, weight_decay=0.9)
    edit_conf(checkout, "train.yaml", seed=9, sample_length=3)
    (checkout / "conf/schedule/cosine.yaml").unlink()
    (checkout / "conf/trainer/cpu.yaml").write_text("nonsense: [", encoding="utf-8")
    moved = run.rename(checkout / "moved run")
    done = command(checkout, "reproduce", f"run={moved}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verdict: bit-identical\n" in done.stdout
    line_with(done.stdout, "10 of 10 rows", "step 20")


def git(checkout: Path, *words: str) -> str:
    who = ["-c", "user.name=me", "-c", "user.email=me@example.com"]
    return subprocess.run(["git", *who, *words], cwd=checkout, capture_output=True, text=True, check=True).stdout


def test_other_code_is_said_and_the_way_back_leads_back(checkout: Path, text: Path) -> None:
    changed, added = checkout / "src/rnnscope/errors.py", checkout / "src/rnnscope/my idea.py"
    (checkout / ".gitignore").write_text("outputs/\n__pycache__/\n", encoding="utf-8")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        git(checkout, *words)
    changed.write_text(changed.read_text(encoding="utf-8") + "\n# changed, ünd not committed\n", encoding="utf-8")
    added.write_text("IDEA = 1\n", encoding="utf-8")
    sizes = [*TRAINED_IN_A_MOMENT, "monitor.scalars_every=1", f"text={text}"]
    assert command(checkout, "train", *sizes).returncode == 0
    run, then = only_run(checkout / "outputs"), changed.read_bytes()

    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "two")
    changed.write_bytes(then + b"# and more\n")
    done = command(checkout, "reproduce", f"run={run}", "until=2")
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    begin = said.index(line_with(done.stdout, "code", "git stash"))
    commands = [line for line in said[begin + 1 :] if line.startswith("  git ")]
    assert len(commands) == 3
    subprocess.run(" && ".join(commands), shell=True, check=True, capture_output=True)
    assert (changed.read_bytes(), added.read_text(encoding="utf-8")) == (then, "IDEA = 1\n")
    assert "git stash" not in command(checkout, "reproduce", f"run={run}", "until=2").stdout
