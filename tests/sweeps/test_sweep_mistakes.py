"""Sweeps that were mistyped: one line that says what was found and what to do, and no folder."""

import subprocess
import sys

import pytest
from conftest import TINY
from messages import assert_says, error_line
from sweep_tools import sweep

READ = ["range(1,5)", "choice(a,b)", "interval(0,1)"]
READY = ["cell_types", "dropout", "learning_rates", "tiny_shakespeare_search", "width_x_depth"]
SEARCH = ["hydra/sweeper=optuna", "seed=1,2"]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["optimizer.lr=range(1"], ["optimizer.lr", "range(1", *READ]),
        (["optimizer.lr=1,,2"], ["optimizer.lr", "1,,2", *READ]),
        (["optimizer.lr=rnage(1,5)"], ["optimizer.lr", "rnage(1,5)", "function", "rnage", *READ]),
        (["optimizer.lr=1,", "2"], ["2", "option", "key=value", "key='some words'"]),
        (["seed=range(3,1)"], ["seed", "range(3,1)", "value"]),
        (["seed=range(1,3,0)"], ["seed=range(1,3,0)", "zero"]),
        (
            ["seed=1,2", "hydra.sweeper.params={optimizer.lr: 1}"],
            ["hydra.sweeper.params", "conf/sweep", "optimizer.lr=1e-3,3e-3"],
        ),
        (["seed=1,2", "init_from=nothere"], ["init_from=nothere"]),
        (["optimizer.lr=interval(0,1)"], ["optimizer.lr", "interval(0,1)", "hydra/sweeper=optuna"]),
        (["seed=1"], ["-m", "optimizer.lr=1e-3,3e-3", "sweep=learning_rates"]),
        (["hydra/sweeper=optuna", "hydra.sweeper.seeds=2"], ["search", "optimizer.lr=interval(1e-4,1e-2)"]),
        (["optimizer.lrr=1,2"], ["optimizer.lrr", "optimizer.lr", "rnnscope train --cfg job"]),
        (["model=lstm,grux"], ["model", "grux", "gru", "gru", "lstm", "rnn"]),
        (["model.num_layers=big,small"], ["model.num_layers", "big", "number"]),
        (["+x=1,2"], ["+x=1,2", "x=1,2"]),
        (["seed=1,2", "name=../x"], ["name", "../x", "run", "slashes"]),
        (
            ["sweep=learning_rate"],
            ["sweep", "learning_rate", "learning_rates", *READY],
        ),
        (["sweep=learning_rates", "optimizer.lr=1,2"], ["optimizer.lr=1,2", "optimizer.lr", "sweep"]),
        (
            ["seed=1,2", "hydra/launcher=slurm"],
            ["hydra/launcher", "slurm", "basic", "joblib", "submitit_local", "submitit_slurm"],
        ),
        (["seed=1,2", "hydra/sweeper=tpe"], ["hydra/sweeper", "tpe", "grid", "optuna"]),
        (
            ["seed=1,2", "hydra.sweeper.n_trials=3"],
            ["hydra.sweeper.n_trials", "hydra/sweeper=optuna", "rnnscope train --cfg hydra -p hydra.sweeper"],
        ),
        ([*SEARCH, "hydra.sweeper.sampler=grid"], ["hydra.sweeper.sampler", "grid", "tpe", "random"]),
        ([*SEARCH, "hydra.sweeper.pruner=hard"], ["hydra.sweeper.pruner", "hard", "median", "halving"]),
        ([*SEARCH, "hydra.sweeper.n_trials=0"], ["hydra.sweeper.n_trials", 0, 1]),
        ([*SEARCH, "hydra.sweeper.at_once=0"], ["hydra.sweeper.at_once", 0, 1, "null"]),
        ([*SEARCH, "optimizer.weight_decay=interval(nan,1)"], ["optimizer.weight_decay", "interval(nan,1)", "finite"]),
        ([*SEARCH, "model.hidden_size=interval(8.5,16)"], ["model.hidden_size", "interval(8.5,16)", "whole"]),
        (["seed=1,2", "trainer=ddp"], ["trainer", "ddp", "one by one"]),
        (["model={cell:lstm},{cell:gru}"], ["model={cell:lstm}", "names of choices"]),
    ],
)
def test_a_sweep_that_was_mistyped(story, outputs, capsys, words, parts):
    assert sweep(story, *words) == 1
    assert_says(error_line(capsys.readouterr().err), *parts)
    assert not outputs.exists()


WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Gone(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if "{package}" in name.split("."):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Gone())
from rnnscope.cli import main
sys.exit(main({words}))
"""


@pytest.mark.parametrize(
    ("package", "word", "extra"),
    [
        ("hydra_joblib_launcher", "hydra/launcher=joblib", "sweep"),
        ("hydra_submitit_launcher", "hydra/launcher=submitit_slurm", "slurm"),
        ("optuna", "hydra/sweeper=optuna", "sweep"),
    ],
)
def test_a_package_that_is_not_installed(story, outputs, package, word, extra):
    code = WITHOUT.format(package=package, words=["train", "-m", f"text={story}", *TINY, "seed=1,2", word])
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert_says(error_line(done.stderr), *word.split("="), f"pip install 'rnnscope[{extra}]'")
    assert not outputs.exists()
