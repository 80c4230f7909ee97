"""`model.train_recurrent=false`: the recurrent layers stay as they were drawn, and the rest learns as it would beside them."""

import pytest
import torch
from conftest import TINY, train
from safetensors.torch import load_file
from test_task import V, windows
from torch.nn.functional import cross_entropy

import rnnscope
from rnnscope.cli import main
from rnnscope.model.cells.registry import CELLS
from rnnscope.model.config import ModelConfig
from rnnscope.model.language_model import LanguageModel
from rnnscope.pipeline.resume import resume_run
from rnnscope.runs.journal import read_rows
from rnnscope.training.optimizer_step import OptimizerStep
from rnnscope.training.optimizers import make_optimizer
from rnnscope.training.schedules import Constant
from rnnscope.training.trainer_task import TrainerTask


def make(cell: str, **options) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel.from_config(ModelConfig(cell, 6, 2, **options), V)


@pytest.mark.parametrize("options", [{}, {"input": "one_hot"}, {"tied_weights": True, "weight_drop": 0.2}])
@pytest.mark.parametrize("cell", CELLS)
def test_only_embedding_and_head_move(cell, options):
    model, before = make(cell, train_recurrent=False, **options), make(cell, **options).state_dict()
    optimizer = make_optimizer(model, "adamw", 0.1, weight_decay=0.1)
    task = TrainerTask(OptimizerStep(model, optimizer, clip_norm=1.0), Constant(0.1))
    for window in windows():
        task.take_step(window)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("cells."), name


@pytest.mark.parametrize("cell", CELLS)
def test_the_gradients_of_the_rest_are_those_beside_a_trained_recurrence(cell):
    window, found = next(iter(windows())), []
    for trained in (True, False):
        model = make(cell, train_recurrent=trained)
        logits, _ = model.read(window.inputs.t())
        cross_entropy(logits.flatten(0, 1), window.targets.t().flatten()).backward()
        found.append([model.embedding.weight.grad, model.head.weight.grad])
    torch.testing.assert_close(*found)
    assert model.parameter_count() == sum(value.numel() for name, value in model.named_parameters() if "cells" not in name)


def test_a_run_with_a_frozen_recurrence(story, outputs, capsys):
    """With one-hot input, no gradient goes through the layers at all; what is watched inside still has its numbers."""
    words = ["dataset=text_files", f"dataset.corpus.path={story}", "model.input=one_hot", "model.train_recurrent=false"]
    run = train(*words, "trainer.average=ema").run
    fresh, _ = rnnscope.compose([*TINY, *words])
    weights = load_file(run.weights)
    for name, value in fresh.model.state_dict().items():
        assert torch.equal(value, weights[name]) == name.startswith("cells."), name
    columns = {name for name in next(read_rows(run.metrics)) if name.startswith("update_size/")}
    assert columns == {"update_size/all", "update_size/head.weight", "update_size/head.bias"}
    assert resume_run(run, {"trainer.max_steps": 34}).step == 34
    capsys.readouterr()
    assert main(["gradcheck", f"run={run.path}"]) == 0
    said = capsys.readouterr().out
    assert "head.weight" in said
    assert "cells" not in said
