"""The notebook trains a model, looks at it, trains on and reproduces it, from top to bottom."""

import os
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "first_look.ipynb"


@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(tmp_path / "outputs"))
    text = NOTEBOOK.read_text(encoding="utf-8")
    tiny = ["trainer.threads=1", "dataset.corpus.packages=[email]"]
    tiny += ["dataset.split.val=0.2", "dataset.split.train=0.8", "dataset.split.test=0"]
    words = "".join(f', "{word}"' for word in tiny)
    smaller = {'=100"': f'=30"{words}', "=300": "=60", "=350": "=80"}
    for large, small in smaller.items():
        large, small = (part.replace('"', '\\"') for part in (large, small))  # as they stand in JSON
        assert large in text
        text = text.replace(large, small)
    notebook = nbformat.reads(text, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", env=dict(os.environ)).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.get("text", "") for output in outputs)
    runs = list((tmp_path / "outputs" / "runs").glob("*/*"))
    assert len(runs) == 2  # the run, and its reproduction
    assert any(str(run) in printed for run in runs)
    assert printed.count("nats per token") == 2
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert outputs[-1]["data"]["text/plain"] == "'bit-identical'"
    assert "steps/s]" in printed  # a progress bar, though nothing here is a terminal
