"""`rnnscope export`: onnxruntime computes what torch does; a folder with a card loads."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from messages import assert_says, error_line, line_with

import rnnscope
from rnnscope.cli import main
from rnnscope.model.cells.registry import CELLS
from rnnscope.model.config import ModelConfig
from rnnscope.model.language_model import LanguageModel, parts
from rnnscope.runs.onnx_export import export_onnx

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "made",
    [
        {"embedding_size": 6, "num_layers": 2},
        {"input": "one_hot", "num_layers": 3, "residual": True, "bias": False},
        {"hidden_size": [8, 5], "num_layers": 2, "tied_weights": True},
    ],
)
def test_onnxruntime_equals_torch(tmp_path, cell, made):
    torch.manual_seed(1)
    model = LanguageModel.from_config(ModelConfig(cell=cell, **{"hidden_size": 8} | made), 11).eval()
    export_onnx(model, tmp_path)
    step, window = (onnxruntime.InferenceSession(str(tmp_path / f"{name}.onnx")) for name in ("step", "window"))
    ids = torch.randint(11, (5, 3))
    with torch.no_grad():
        logits, state = model.read(ids)
    wanted = [logits.numpy(), *(part[0].numpy() for part in parts(state))]
    now, rows = [np.zeros_like(part) for part in wanted[1:]], []
    names = [entry.name for entry in window.get_inputs()]
    whole = window.run(None, dict(zip(names, [ids.numpy(), *now], strict=True)))
    for row in ids.numpy():
        scores, *now = step.run(None, dict(zip([entry.name for entry in step.get_inputs()], [row, *now], strict=True)))
        rows.append(scores)
    for found in (whole, [np.stack(rows), *now]):
        for mine, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(mine, other, rtol=0, atol=1e-5)


def test_the_example_samples_without_torch(trained_run, tmp_path, capsys):
    assert main(["export", f"run={trained_run.path}", f"output={tmp_path / 'it'}"]) == 0
    line_with(capsys.readouterr().out, tmp_path / "it/window.onnx", "bytes")
    example = Path(__file__).parents[2] / "examples" / "sample_onnx.py"
    lines = example.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 30
    without = f"import sys; sys.modules['torch'] = None; sys.argv = ['x', {str(tmp_path / 'it')!r}]"
    code = f"{without}; exec(open({str(example)!r}).read())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8")
    assert done.stdout.strip()
    assert not any(special in done.stdout for special in ("<unk>", "<s>", "</s>"))
    assert main(["export", f"run={trained_run.path}", f"output={tmp_path / 'it'}"]) == 1
    assert_says(error_line(capsys.readouterr().err), tmp_path / "it", "exists")


def test_the_example_writes_words_apart_and_ends_where_they_do(tmp_path, capsys):
    assert main(["export", "run=examples/penn", f"output={tmp_path / 'it'}"]) == 0
    example = Path(__file__).parents[2] / "examples" / "sample_onnx.py"
    done = subprocess.run([sys.executable, example, tmp_path / "it"], capture_output=True, text=True, check=True)
    words = done.stdout.split()
    assert 1 < len(words) < 300
    assert set(words) <= set(rnnscope.load("examples/penn").vocabulary.tokens[3:])


def test_a_folder_with_a_card_loads(trained_run, outputs, tmp_path, capsys):
    assert main(["export", f"run={trained_run.path}", "format=card"]) == 0
    (folder,) = (outputs / "exports").glob("*/*")
    moved = folder.rename(tmp_path / "downloaded")
    text = (moved / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    (result,) = yaml.safe_load(front)["model-index"][0]["results"]
    metrics = {metric["type"]: metric["value"] for metric in result["metrics"]}
    best = rnnscope.find(str(trained_run.path)).record["best"]
    assert metrics["bits_per_character"] == best["bits_per_character"]
    assert "It has not been reproduced." in body
    assert main(["export", f"run={trained_run.path}", "format=card", "checkpoint=last", f"output={tmp_path / 'last'}"]) == 1
    assert_says(error_line(capsys.readouterr().err), "checkpoint=last", "best")
    how = {"length": 40, "seed": 3}
    assert rnnscope.load(str(moved)).sample(**how) == rnnscope.load(str(trained_run.path)).sample(**how)


def test_mistakes(trained_run, outputs, capsys, monkeypatch):
    assert main(["export", f"run={trained_run.path}", "format=pickle"]) == 1
    assert_says(error_line(capsys.readouterr().err), "format=pickle", "onnx", "card")
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", f"run={trained_run.path}"]) == 1
    assert_says(error_line(capsys.readouterr().err), "onnx", "rnnscope[onnx]")
    assert not (outputs / "exports").exists()
