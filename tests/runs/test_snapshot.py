"""What a run folder records of a run: all that it takes to train it again, and how it went."""

import json
import os
import platform
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torture import SMALL, only_run, rnnscope, said, write_text

from rnnscope import load
from rnnscope.runs.environment import git_commit
from rnnscope.runs.files import sha256_of
from rnnscope.runs.journal import read_rows
from rnnscope.runs.segments import flatten
from rnnscope.runs.weights import hash_weights

WORDS = [*SMALL, "seed=7", "trainer.max_steps=6", "trainer.val_every=2", "monitor.scalars_every=1", "optimizer.lr=0.1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("snapshot")
    write_text(folder / "text.txt", 1500)
    assert rnnscope(folder, "train", f"text={folder / 'text.txt'}", *WORDS) == 0, said(folder)
    return only_run(folder)


@pytest.fixture
def record(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text(encoding="utf-8"))


def test_the_folder_holds_every_file(run: Path) -> None:
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    files = {"events.out" if name.startswith("events.out") else name for name in files} - {"code.patch", "run.lock"}
    checkpoints = {f"checkpoints/{name}.ckpt" for name in ("last", "previous", "best")}
    assert files == checkpoints | {
        "config.yaml",
        "run.json",
        "vocabulary.json",
        "model.safetensors",
        "metrics.csv",
        "timings.csv",
        "samples.jsonl",
        "train.log",
        "environment.txt",
        "events.out",
        ".hydra/overrides.yaml",
        ".hydra/choices.yaml",
    }


def test_it_says_what_was_asked_for_and_with_what(run: Path, record: dict[str, Any]) -> None:
    text = run.parents[2] / "text.txt"
    assert record["command"][1:] == ["train", f"text={text}", *WORDS]
    overrides = yaml.safe_load((run / ".hydra/overrides.yaml").read_text(encoding="utf-8"))
    assert overrides == ["dataset=text_files", f"dataset.corpus.path='{text}'", *WORDS]
    assert record["config"] == json.loads(json.dumps(flatten(yaml.safe_load((run / "config.yaml").read_text()))))
    assert record["seed"] == record["config"]["seed"] == 7
    assert record["resolved"] == {
        "device": "cpu",
        "precision": "float32",
        "threads": 1,
        "world_size": 1,
        "step_version": 3,
        "total_steps": 6,
        "horizon": 6,
    }
    assert record["git_commit"] == git_commit()
    assert record["python"] == platform.python_version()
    assert record["packages"]["torch"] == torch.__version__
    assert {"rnnscope", "numpy", "pytorch-lightning", "hydra-core", "tokenizers"} <= set(record["packages"])
    assert record["hardware"]["cores"] == os.cpu_count()
    assert record["hardware"]["cpu"]
    assert record["parent"] is None


def test_it_has_the_fingerprints_of_text_and_streams(run: Path, record: dict[str, Any]) -> None:
    cached = {sha256_of(path) for path in (run.parents[2] / "cache").rglob("*.ids")}
    fingerprint = record["data"]["fingerprint"]
    assert set(fingerprint["streams"].values()) == cached
    assert {key: len(fingerprint[key]) for key in ("text", "settings", "vocabulary")} == dict.fromkeys(
        ("text", "settings", "vocabulary"), 64
    )


def test_it_says_how_it_went(run: Path, record: dict[str, Any]) -> None:
    assert (record["status"], record["progress"]["step"]) == ("finished", 6)
    assert record["progress"]["seconds"] > 0
    assert record["started"] <= record["ended"]
    rows = list(read_rows(run / "metrics.csv"))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert float(rows[-1]["val/loss"]) == record["last"]["val/loss"]  # to the bit
    assert (
        float(rows[-1]["best/loss"]) == record["best"]["loss"] == min(float(row["val/loss"]) for row in rows if row["val/loss"])
    )
    assert record["weights_sha256"] == hash_weights(load(str(run), "last").model)
    exported = dict(load(str(run)).model.named_parameters())
    best = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    assert best["task"]["step"] == record["best"]["step"]
    assert all(torch.equal(value, best["state_dict"][name]) for name, value in exported.items())
