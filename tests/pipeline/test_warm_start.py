"""A run that starts from another one's vocabulary and weights, and what goes on with it or does it again."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from messages import assert_says, line_with, user_error
from torture import SMALL, Kill, rnnscope, said

from rnnscope import load
from rnnscope.config.validate import from_plain
from rnnscope.model.config import ModelConfig
from rnnscope.pipeline.warm_start import copy_weights, starting_run
from rnnscope.runs.snapshot import build_model

WORDS = [*SMALL[:3], *SMALL[5:], "trainer.max_steps=4", "trainer.checkpoint_every=2", "trainer.val_every=2"]
TEXTS = {"old": "abcd efg\n" * 60, "new": "abcz efg\n" * 60}


def runs(folder: Path) -> list[Path]:
    return sorted((path.parent for path in (folder / "runs").glob("*/*/run.json")), key=lambda run: record_of(run)["name"])


def record_of(run: Path) -> dict:
    return json.loads((run / "run.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parent")
    for name, text in TEXTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    status = rnnscope(folder, "train", f"text={folder / 'old'}", "name=parent", "model.hidden_size=16", *WORDS)
    assert status == 0, said(folder)
    return runs(folder)[0]


@pytest.fixture(scope="module")
def child(parent: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("child")
    words = [f"text={parent.parents[2] / 'new'}", f"init_from={parent}", "name=child", *WORDS]
    assert rnnscope(folder, "train", *words) == 0, said(folder)
    return runs(folder)[0]


def test_vocabulary_model_and_weights_are_the_old_ones(parent: Path, child: Path) -> None:
    assert (child / "vocabulary.json").read_bytes() == (parent / "vocabulary.json").read_bytes()
    record, log = record_of(child), (child / "train.log").read_text(encoding="utf-8")
    assert record["parent"]["path"] == str(parent)
    assert record["parent"]["init_from"] is True
    assert record["config"]["init_from"] == str(parent)
    assert record["config"]["model.hidden_size"] == 16
    assert record["data"]["splits"]["train"]["unknown"] == 54  # each z of the nine tenths that are train
    line_with(said(child.parents[2]), "vocabulary", 12, "frozen", "char")
    line_with(log, "train", "unknown", 54, "11.1 %")
    start = starting_run(from_plain(load(str(child)).config))
    assert start is not None
    model = build_model(ModelConfig(**start.config["model"]), len(start.vocabulary))
    copy_weights(model, start, record["initial_sha256"])
    weights = zip(model.parameters(), load(str(parent)).model.parameters(), strict=True)
    assert all(torch.equal(own, old) for own, old in weights)


def test_it_is_reproduced_and_resumed_without_the_weights_it_started_from(child: Path, parent: Path, tmp_path: Path) -> None:
    assert rnnscope(tmp_path, "reproduce", f"run={child}") == 0, said(tmp_path)
    assert "verdict: bit-identical" in said(tmp_path)
    gone = Path(shutil.copytree(child, tmp_path / "gone"))
    text = (gone / "config.yaml").read_text(encoding="utf-8")
    (gone / "config.yaml").write_text(text.replace(str(parent), "/nowhere"), encoding="utf-8")
    assert rnnscope(tmp_path, "resume", f"run={gone}", "trainer.max_steps=6") == 0, said(tmp_path)
    assert record_of(gone)["progress"]["step"] == 6
    assert rnnscope(tmp_path, "reproduce", f"run={gone}") == 1
    assert_says(said(tmp_path).splitlines()[-1], "init_from", "/nowhere", "weights")


def test_a_parent_without_best_weights_is_refused(parent: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(parent, tmp_path / "bare"))
    for path in (bare / "model.safetensors", bare / "checkpoints/best.ckpt"):
        path.unlink()
    assert rnnscope(tmp_path, "train", f"text={parent.parents[2] / 'new'}", f"init_from={bare}", *WORDS) == 1
    line = said(tmp_path).splitlines()[-1]
    assert_says(line, "init_from", bare, "best weights")
    assert "checkpoint=" not in line  # a key of sample


def test_killed_and_resumed_it_is_the_same(child: Path, parent: Path, tmp_path: Path) -> None:
    words = [f"text={parent.parents[2] / 'new'}", f"init_from={parent}", "name=child", *WORDS]
    assert rnnscope(tmp_path, "train", *words, kill=Kill("in a step", 3)) == -9
    assert rnnscope(tmp_path, "resume") == 0, said(tmp_path)
    assert record_of(runs(tmp_path)[0])["weights_sha256"] == record_of(child)["weights_sha256"]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["model.hidden_size=32"], ["model.hidden_size", 32, "model.hidden_size", 16, "init_from", "model.hidden_size"]),
        (["model=gru", "model.hidden_size=16"], ["model.cell", "gru", "model.cell", "lstm", "init_from", "model.cell"]),
        (["dataset.level=word"], ["dataset.level", "word", "vocabulary", "char", "char"]),
        (["dataset.lower_case=true"], ["dataset.lower_case", "true", "vocabulary", "false", "false"]),
    ],
)
def test_what_does_not_fit_is_refused(parent: Path, tmp_path: Path, words: list[str], parts: list[object]) -> None:
    status = rnnscope(tmp_path, "train", f"text={parent.parents[2] / 'new'}", f"init_from={parent}", *WORDS, *words)
    assert status == 1
    assert_says(said(tmp_path).splitlines()[-1], "rnnscope: error", *parts)
    assert not runs(tmp_path)


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    assert rnnscope(tmp_path, "train", "init_from=a (1)") == 1
    assert_says(said(tmp_path).splitlines()[-1], "init_from", "a (1)", "rnnscope train")


def test_weights_that_changed_are_refused(parent: Path) -> None:
    start = load(str(parent))
    model = build_model(ModelConfig(**start.config["model"]), len(start.vocabulary))
    with user_error("init_from", parent, "weights"):
        copy_weights(model, start, "0" * 64)
