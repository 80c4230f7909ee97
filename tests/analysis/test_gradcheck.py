"""Gradients are compared with differences of the loss, and one that is wrong is found."""

import pytest
import torch
from messages import assert_says, error_line

from rnnscope.analysis.gradcheck import Check, relative_error
from rnnscope.cli import main
from rnnscope.model.cells.registry import CELLS
from rnnscope.model.config import ModelConfig
from rnnscope.model.language_model import LanguageModel


@pytest.mark.parametrize("keys", [{}, {"tied_weights": True}, {"input": "one_hot", "bias": False, "residual": True}], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_every_gradient_of_every_cell_holds(cell, keys):
    torch.manual_seed(0)
    model = LanguageModel.from_config(ModelConfig(cell, 4, 2, dropout=0.5, **keys), 5)
    rows = Check.of(model, seed=1).rows()
    assert {row.name: row.shape for row in rows} == {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert all(row.holds for row in rows), rows


def test_a_wrong_gradient_is_found(monkeypatch, capsys):
    def wrong(parameter):
        monkeypatch.setattr("rnnscope.analysis.gradcheck.build_model", lambda *_: hooked(parameter))

    def hooked(name):
        model = LanguageModel.from_config(ModelConfig("lstm", 3), 5)
        dict(model.named_parameters())[name].register_hook(lambda gradient: gradient * 1.001)
        return model

    wrong("cells.0.weight_hh_l0")
    assert main(["gradcheck"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "WRONG" in line] == ["cells.0.weight_hh_l0"]
    assert main(["gradcheck", "model=gru", "model.hidden_size=3"]) == 1


def test_an_error_is_relative_to_the_value():
    assert relative_error(torch.tensor([2.0, 1.0]), torch.tensor([2.0, 1.1])) == pytest.approx(1 / 11)
    assert relative_error(torch.tensor([0.0]), torch.tensor([1e-9])) == pytest.approx(1e-5)


def test_a_model_too_large_says_how_long_it_would_take(capsys):
    assert main(["gradcheck", "model.hidden_size=64", "max_minutes=0.0001"]) == 1
    assert_says(error_line(capsys.readouterr().err), "max_minutes=0.0001", "model.hidden_size", "52,226 parameters")
