"""What the benchmark says about bf16."""

import torch

from rnnscope.bench import report
from rnnscope.model.cells.registry import CELLS


def test_each_cell_has_the_ratio_of_its_fastest_turns(monkeypatch):
    seconds = {"float32": iter(range(30, 10_000)), "bf16": iter(range(20, 10_000))}
    monkeypatch.setattr(report, "gradient_seconds", lambda model, ids, precision: next(seconds[precision]))
    lines = list(report.precision_lines(torch.device("cpu")))
    assert [line.split()[1] for line in lines] == ["1x512", "2x128"] * len(CELLS)
    assert "1.50 of float32" in lines[0]
    for name, line in zip(CELLS, lines[::2], strict=True):
        assert f" {name}, precision=auto takes " in line
