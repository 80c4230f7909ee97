"""What the tests of sweeps share: starting one, in this process or another, and looking at what it left."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from conftest import TINY
from processes import Command

from rnnscope.runs.files import sha256_of

JOBS = ("model=lstm,gru", "optimizer.lr=1e-3,3e-3")
NAMES = ["model-gru_lr-0.001", "model-gru_lr-0.003", "model-lstm_lr-0.001", "model-lstm_lr-0.003"]


def sweep(text: Path, *words: str) -> int:
    """Do `rnnscope train -m` in this process and return its exit status."""
    from rnnscope.cli import main

    return main(["train", "-m", f"text={text}", *TINY, *words])


def start(outputs: Path, text: Path, *words: str) -> "Command | subprocess.Popen[bytes]":
    """Start `rnnscope train -m` as a process of its own, what it says going to a file beside `outputs`."""
    words, printed = ("train", "-m", f"text={text}", *TINY, *words), outputs.with_name(f"{outputs.name}.txt")
    if "hydra/launcher=joblib" not in words:
        return Command(words, printed, RNNSCOPE_OUTPUTS=str(outputs))
    environment = {**os.environ, "RNNSCOPE_OUTPUTS": str(outputs)}
    with printed.open("a") as file:  # not a fork: joblib's workers end when an interpreter does
        return subprocess.Popen([sys.executable, "-m", "rnnscope", *words], env=environment, stdout=file, stderr=file)


def said(outputs: Path) -> str:
    return outputs.with_name(f"{outputs.name}.txt").read_text(encoding="utf-8")


def folder_of(outputs: Path) -> Path:
    """Return the folder of the only sweep."""
    (found,) = (outputs / "sweeps").iterdir()
    return found


def record(job: Path) -> dict[str, Any]:
    return json.loads((job / "run.json").read_text(encoding="utf-8"))


def records(sweep: Path) -> dict[str, dict[str, Any]]:
    """Return run.json of each job, by its folder's name."""
    return {path.parent.name: record(path.parent) for path in sorted(sweep.glob("*/run.json"))}


def weights(sweep: Path) -> dict[str, str | None]:
    return {name: values["weights_sha256"] for name, values in records(sweep).items()}


def manifest(sweep: Path) -> dict[str, Any]:
    return yaml.safe_load((sweep / "sweep.yaml").read_text(encoding="utf-8"))


def statuses(sweep: Path) -> dict[str, str]:
    return {name: job["status"] for name, job in manifest(sweep)["jobs"].items()}


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    """Return hash and time of every file below a folder: nobody touched it if both are the same."""
    return {str(path): (sha256_of(path), path.stat().st_mtime_ns) for path in sorted(folder.rglob("*")) if path.is_file()}
