"""The notebooks train a model and look at it, from top to bottom."""

import os
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
TINY = ["trainer.threads=1", "dataset.corpus.packages=[email]"]
TINY += ["dataset.split.val=0.2", "dataset.split.train=0.8", "dataset.split.test=0"]
WORDS = "".join(f', "{word}"' for word in TINY)


def executed(name: str, smaller: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the outputs of a notebook's cells; `smaller` says what is replaced in its text, so that it trains faster."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(tmp_path / "outputs"))
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    for large, small in smaller.items():
        large, small = (part.replace('"', '\\"') for part in (large, small))  # as they stand in JSON
        assert large in text
        text = text.replace(large, small)
    notebook = nbformat.reads(text, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", env=dict(os.environ)).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def printed(outputs: list[Any]) -> str:
    return "".join(output.get("text", "") for output in outputs)


def pictures(outputs: list[Any]) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.filterwarnings("ignore")
def test_the_first_notebook_runs(tmp_path, monkeypatch):
    """It trains, looks at the curves, trains on and reproduces."""
    smaller = {'=100"': f'=30"{WORDS}', "=300": "=60", "=350": "=80"}
    outputs = executed("first_look.ipynb", smaller, tmp_path, monkeypatch)
    text = printed(outputs)
    (run,) = (tmp_path / "outputs" / "runs").glob("*/*")
    assert len(list((run / "reproductions").iterdir())) == 1
    assert str(run) in text
    assert text.count("nats per token") == 2
    assert pictures(outputs)
    assert outputs[-1]["data"]["text/plain"] == "'bit-identical'"
    assert "steps/s]" in text  # a progress bar, though nothing here is a terminal


@pytest.mark.filterwarnings("ignore")
def test_the_notebook_that_looks_inside_runs(tmp_path, monkeypatch):
    """It draws units and gates, and the loss that it adds up step by step is that of `score`."""
    smaller = {'=100"': f'=20"{WORDS}', "=300": "=20", "=128": "=16"}
    outputs = executed("look_inside.ipynb", smaller, tmp_path, monkeypatch)
    text = printed(outputs)
    assert all(f"{name:10} (45, 1, 16)" in text for name in ("hidden", "cell", "input", "forget", "candidate", "output"))
    assert pictures(outputs) == 3
    (line,) = (line for line in text.splitlines() if "run.score says" in line)
    ours, theirs = line.split(" nats")[0], line.split()[-1]
    assert float(ours) == pytest.approx(float(theirs), abs=2e-3)
