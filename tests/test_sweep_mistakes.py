"""Sweeps that were mistyped: one line that says what was found and what to do, and no folder."""

import subprocess
import sys

import pytest
from sweep_tools import command, sweep

READ = "values of a sweep are 1,2 or range(1,5) or choice(a,b) or interval(0,1)"
SEARCH = ["hydra/sweeper=optuna", "seed=1,2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimizer.lr=range(1"], f"optimizer.lr=range(1: this cannot be read; {READ}"),
        (["optimizer.lr=1,,2"], f"optimizer.lr=1,,2: this cannot be read; {READ}"),
        (["optimizer.lr=rnage(1,5)"], f"optimizer.lr=rnage(1,5): unknown function 'rnage'; {READ}"),
        (["optimizer.lr=1,", "2"], "'2' is neither an option nor key=value; a text with spaces needs quotes: key='some words'"),
        (["seed=range(3,1)"], "seed=range(3,1): this gives no value at all"),
        (
            ["optimizer.lr=interval(0,1)"],
            "optimizer.lr=interval(0,1): an interval is searched, not gone through: add hydra/sweeper=optuna",
        ),
        (
            ["seed=1"],
            "-m sweeps, and here every key has one value: give several (optimizer.lr=1e-3,3e-3), or a ready sweep"
            " (sweep=learning_rates), or leave -m out",
        ),
        (
            ["optimizer.lrr=1,2"],
            "there is no key optimizer.lrr: did you mean optimizer.lr? (rnnscope train --cfg job lists them all)",
        ),
        (["model=lstm,grux"], "model=grux is no choice: did you mean gru? There are: gru, lstm, rnn"),
        (["model.num_layers=big,small"], "model.num_layers=big: this is no whole number"),
        (["+x=1,2"], "+x=1,2: keys are neither added nor removed, only set; write x=1,2"),
        (["name=a,b", "seed=1,2"], "name=a,b: a sweep has one name"),
        (["seed=1,2", "name=../x"], "name='../x' cannot be the name of a run folder: leave out slashes and dots alone"),
        (
            ["sweep=learning_rate"],
            "sweep=learning_rate is no choice: did you mean learning_rates? There are: cell_types, dropout, learning_rates,"
            " tiny_shakespeare_search, width_x_depth",
        ),
        (
            ["sweep=learning_rates", "optimizer.lr=1,2"],
            "optimizer.lr=1,2: the jobs of this sweep set optimizer.lr: leave it out",
        ),
        (
            ["seed=1,2", "hydra/launcher=slurm"],
            "hydra/launcher=slurm is no choice: did you mean submitit_slurm? There are: basic, joblib, submitit_local,"
            " submitit_slurm",
        ),
        (["seed=1,2", "hydra/sweeper=tpe"], "hydra/sweeper=tpe is no choice; there are: grid, optuna"),
        (
            ["seed=1,2", "hydra.sweeper.n_trials=3"],
            "the sweeper chosen here has no key hydra.sweeper.n_trials; it belongs to hydra/sweeper=optuna"
            " (rnnscope train --cfg hydra -p hydra.sweeper lists them)",
        ),
        ([*SEARCH, "hydra.sweeper.sampler=grid"], "hydra.sweeper.sampler=grid is unknown: choose one of tpe, random"),
        ([*SEARCH, "hydra.sweeper.pruner=hard"], "hydra.sweeper.pruner=hard is unknown: choose one of median, halving"),
        ([*SEARCH, "hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0 must be at least 1"),
        (
            [*SEARCH, "hydra.sweeper.at_once=0"],
            "hydra.sweeper.at_once=0 must be at least 1, or null for what the launcher does",
        ),
        (
            ["seed=1,2", "trainer=ddp"],
            "trainer=ddp trains one run with several processes and cannot be swept: start such runs one by one",
        ),
    ],
)
def test_a_sweep_that_was_mistyped(story, outputs, capsys, words, message):
    assert sweep(story, *words) == 1
    assert capsys.readouterr().err == f"rnnscope: error: {message}\n"
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
    ("package", "word", "message"),
    [
        (
            "hydra_joblib_launcher",
            "hydra/launcher=joblib",
            "hydra/launcher=joblib needs a package that is not installed: pip install 'rnnscope[sweep]'",
        ),
        (
            "hydra_submitit_launcher",
            "hydra/launcher=submitit_slurm",
            "hydra/launcher=submitit_slurm needs a package that is not installed: pip install 'rnnscope[slurm]'",
        ),
        (
            "optuna",
            "hydra/sweeper=optuna",
            "hydra/sweeper=optuna needs Optuna, which is not installed: pip install 'rnnscope[sweep]'",
        ),
    ],
)
def test_a_package_that_is_not_installed(story, outputs, package, word, message):
    code = WITHOUT.format(package=package, words=command(story, "seed=1,2", word)[3:])
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, f"rnnscope: error: {message}\n")
    assert not outputs.exists()
