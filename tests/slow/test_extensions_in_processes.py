"""Plug-ins and callbacks in processes of their own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY
from messages import assert_says, error_line

import rnnscope

pytestmark = [pytest.mark.usefixtures("outputs"), pytest.mark.filterwarnings("ignore:.*GPU.*")]
PARTS = """
from dataclasses import dataclass
from functools import partial
import pytorch_lightning as pl
import torch
from torch import nn
import rnnscope
from rnnscope.model.cells.cell import Cell
from rnnscope.training.config import OptimizerConfig, ScheduleConfig

def step(read, state, weights):
    return {}, (torch.relu(torch.addmm(read, state[0], weights.recurrent)),)

@dataclass
class SignConfig(OptimizerConfig):
    lr: float = 0.01
    scale: float = 1.0

class Sign(torch.optim.SGD):
    def __init__(self, parameters, lr, weight_decay, scale):
        super().__init__(parameters, lr * scale, weight_decay=weight_decay)

@dataclass
class HalvingConfig(ScheduleConfig):
    every: int = 20

@dataclass
class Halving:
    lr: float
    every: int
    def rate(self, step, epoch):
        return self.lr * 0.5 ** (step // self.every)

class Hello(pl.Callback):
    pass

rnnscope.register_cell(Cell("relu_rnn", partial(nn.RNN, nonlinearity="relu"), 1, 1, step, bf16_from=256))
rnnscope.register_optimizer("sign", Sign, SignConfig)
rnnscope.register_schedule("halving", lambda lr, total_steps, every: Halving(lr, every), HalvingConfig)
rnnscope.register_callback("hello", Hello)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a module of the user's."""
    (tmp_path / "own_parts.py").write_text(PARTS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_plug_in_brings_parts(story, folder):
    """In a process of its own, as registries live as long as one."""
    parts = ["plugins=own_parts", "model=relu_rnn", "optimizer=sign", "optimizer.scale=2.0", "schedule=halving"]
    words = [*TINY, *parts, "schedule.every=10", "callbacks=hello", f"text={story}", "name=own", "model.num_layers=2"]

    def rnnscope(*arguments: str) -> str:
        done = subprocess.run([sys.executable, "-m", "rnnscope", *arguments], capture_output=True, text=True)
        return done.stdout + done.stderr

    rnnscope("train", *words)
    (run,) = Path("outputs/runs/own").iterdir()
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    rates = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    rate = rates[0].index("learning_rate")
    assert [float(row[rate]) for row in rates[1:] if row[0] in ("10", "12", "30")] == [0.01, 0.005, 0.0025]
    assert_says(error_line(rnnscope("sample", "run=own")), "model.cell", "relu_rnn", "plugins")
    assert "error" not in rnnscope("sample", "run=own", "plugins=[own_parts]", "length=5", "seed=1")
    assert "bit-identical" in rnnscope("reproduce", "run=own", "until=12", "plugins=own_parts", "callbacks=[hello]")


def test_two_processes_with_a_callback_train_the_same_and_resume_exactly(story, folder):
    ddp = ["trainer.strategy=ddp", "trainer.devices=2", "trainer.max_steps=20", "schedule=constant", f"text={story}"]
    plain = rnnscope.train([*TINY, *ddp])
    watched = rnnscope.train([*TINY, *ddp, "callbacks=[timer]"])
    half = rnnscope.train([*TINY, *ddp, "callbacks=[timer]", "trainer.max_steps=10"])
    hashes = [run.record["weights_sha256"] for run in (plain, watched, half.resume("trainer.max_steps=20"))]
    assert hashes == hashes[:1] * 3
