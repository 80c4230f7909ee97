"""Runs of older versions, whose GRU and RNN were computed by torch's own kernels, go on and reproduce with these."""

import pytest
from conftest import train

from rnnscope.cli import main
from rnnscope.pipeline import hardware
from rnnscope.runs.record import Record

WORDS = ["model=gru", "model.hidden_size=16", "schedule=constant", "trainer.max_steps=12"]
WORDS += ["trainer.val_every=6", "trainer.checkpoint_every=6"]


def version_of(run) -> int:
    return Record.read(run.record).get("resolved.step_version", int)


def test_an_older_run_keeps_its_kernels(story, outputs, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = ["dataset=text_files", f"dataset.corpus.path={story}"]
    with monkeypatch.context() as older:
        older.setattr(hardware, "STEP_VERSIONS", {"cpu": 1, "cuda": 2})
        whole, begun = train(*text, *WORDS), train(*text, *WORDS, "trainer.max_steps=6")
    now = train(*text, *WORDS)
    assert (version_of(whole.run), version_of(now.run)) == (1, 3)
    assert whole.weights_hash != now.weights_hash
    assert main(["reproduce", f"run={whole.run.path}"]) == 0
    assert "verdict: bit-identical" in capsys.readouterr().out
    assert main(["resume", f"run={begun.run.path}", "trainer.max_steps=12"]) == 0
    assert Record.read(begun.run.record).get("weights_sha256", str) == whole.weights_hash
