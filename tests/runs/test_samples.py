"""Reading samples.jsonl: the last sample, all of them, and lines that are not samples."""

import errno
import os
from pathlib import Path

import pytest
import torch
from conftest import nobody
from messages import user_error

from rnnscope.runs.record import Record
from rnnscope.runs.samples import final_sample, read_samples
from rnnscope.runs.weights import load_weights


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ('{"step": 5, "prompt": "", "temperature": 0.5, "text": "old"}\n', "old"),
        ("".join(f'{{"step": 9, "prompt": "", "temperature": {t}, "text": "{t}"}}\n' for t in (1.0, 0.5, 0.8)), "0.8"),
        ('{"step": 5, "prompt": "", "temperature": 0.5, "text": "whole"}\n{"step": 6, "pro', "whole"),
    ],
)
def test_the_final_sample(tmp_path, text, found):
    (tmp_path / "samples.jsonl").write_text(text)
    sample = final_sample(tmp_path / "samples.jsonl")
    assert (sample and sample.text) == found


@pytest.mark.parametrize("text", ["{}\n", "[1]\n", "x\n", '{"step": "many"}\n', "[" * 100_000 + "\n"])
def test_what_is_no_sample(tmp_path, text):
    (tmp_path / "samples.jsonl").write_text(text)
    with user_error(tmp_path / "samples.jsonl", "sample"):
        final_sample(tmp_path / "samples.jsonl")
    with user_error(tmp_path / "samples.jsonl", "sample"):
        list(read_samples(tmp_path / "samples.jsonl"))


def test_no_samples(tmp_path):
    assert final_sample(tmp_path / "samples.jsonl") is None
    assert list(read_samples(tmp_path / "samples.jsonl")) == []


def test_files_that_may_not_be_read(tmp_path, monkeypatch):
    """Each is named, with the reason once, and weights are not called missing."""
    monkeypatch.chdir(tmp_path)  # relative paths: nobody may not even pass through the folders above
    tmp_path.chmod(0o755)
    for name in ("samples.jsonl", "model.safetensors", "run.json"):
        Path(name).touch(mode=0)
    denied = (os.strerror(errno.EACCES), "cannot be read")
    with nobody():
        with user_error("samples.jsonl", *denied):
            final_sample(Path("samples.jsonl"))
        with user_error("model.safetensors", *denied):
            load_weights(torch.nn.Linear(1, 1), Path("model.safetensors"), "")
        with user_error("run.json", *denied) as error:
            Record.read(Path("run.json"))
    assert "Errno" not in str(error.value)
