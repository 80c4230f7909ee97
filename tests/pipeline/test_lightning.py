"""The bridge to Lightning: the private name that is used there still means what it did."""

import subprocess
import sys
from types import SimpleNamespace

from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from rnnscope.pipeline.lightning import take_children


def test_lightning_forgets_the_processes_it_started() -> None:
    launcher = _SubprocessScriptLauncher(LightningEnvironment(), num_processes=2, num_nodes=1)
    assert launcher.procs == []  # where Lightning keeps them, and looks for those to kill
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        launcher.procs.append(child)
        trainer = SimpleNamespace(strategy=SimpleNamespace(launcher=launcher))
        assert take_children(trainer) == [child]
    assert launcher.procs == []


def test_a_training_of_one_process_has_started_none() -> None:
    assert take_children(SimpleNamespace(strategy=SimpleNamespace(launcher=None))) == []
