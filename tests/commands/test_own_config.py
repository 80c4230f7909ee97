"""A person's own config files, outside the package; and the folder that a command is started in."""

import os
from pathlib import Path

import pytest
import yaml
from conftest import TINY
from messages import assert_says, error_line

from rnnscope.cli import main

EXPERIMENT = """\
# @package _global_
defaults:
  - override /model: small
trainer: {max_steps: 3}
seed: 7
"""


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    folder = tmp_path / "my conf"
    for name, text in {
        "experiment/mine": EXPERIMENT,
        "model/small": "defaults: [gru, _self_]\nhidden_size: 9\n",
        "model/broken": "hidden_size: [\n",
        "model/mistyped": "defaults: [gru, _self_]\nhiden_size: 9\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


SIZES = [word for word in TINY if not word.startswith(("model.", "trainer.max_steps"))]


@pytest.mark.parametrize("sweep", [[], ["-m", "optimizer.lr=1e-3,2e-3"]], ids=["run", "sweep"])
def test_an_experiment_of_one_s_own(sweep: list[str], conf: Path, story: Path, outputs: Path) -> None:
    assert main(["train", f"--config-dir={conf}", "experiment=mine", f"text={story}", *SIZES, *sweep]) == 0
    found = sorted(outputs.glob("*/mine/*/config.yaml"))
    assert len(found) == len(sweep) or len(found) == 1
    for path in found:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert (config["model"]["cell"], config["model"]["hidden_size"]) == ("gru", 9)
        assert (config["trainer"]["max_steps"], config["seed"]) == (3, 7)
    assert main(["resume", f"run={found[0].parent}", "trainer.max_steps=4"]) == 0  # needs none of these files


def test_mistakes_in_one_s_own_files(conf: Path, story: Path, outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for model, parts in {
        "broken": ["YAML", conf / "model" / "broken.yaml", "line 2"],
        "mistyped": ["model.hiden_size", "model.hidden_size"],
        "smal": ["model", "smal", "small", "small"],
    }.items():
        assert main(["train", "--config-dir", str(conf), f"model={model}", f"text={story}"]) == 1
        assert_says(error_line(capsys.readouterr().err), *parts)
    assert not outputs.exists()


def test_files_that_cannot_be_composed(conf: Path, story: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (conf / "experiment/coded.yaml").write_bytes("seed: 1 # é".encode("utf-16"))
    for name, text in {
        "loop": "# @package _global_\ndefaults: [/experiment: loop]\n",
        "scalar": "# @package _global_\nmonitor: ${trainer}\ntrainer: ${model}\n",
        "elsewhere": "seed: 4\n",
        "bare": "",
    }.items():
        (conf / f"experiment/{name}.yaml").write_text(text, encoding="utf-8")
    for name in ("coded", "loop", "scalar"):
        assert main(["train", f"--config-dir={conf}", f"experiment={name}", f"text={story}"]) == 1
        error_line(capsys.readouterr().err)
    for name in ("elsewhere", "bare"):
        assert main(["train", f"--config-dir={conf}", f"experiment={name}", f"text={story}"]) == 1
        assert_says(error_line(capsys.readouterr().err), "experiment", "# @package _global_")


@pytest.mark.parametrize("command", ["train", "evaluate", "compare"])
def test_a_folder_that_was_deleted_is_named(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setenv("PWD", str(gone))
    os.rmdir(gone)
    assert main([command]) == 1
    assert_says(error_line(capsys.readouterr().err), gone, "deleted")
