"""Pruning: ending unpromising trials of a search early, as Optuna decides at each validation."""

import warnings
from collections.abc import Callable
from pathlib import Path

from rnnscope.sweeps.space import PRUNERS, choice, optuna_package
from rnnscope.sweeps.study import JOB, PRUNED, storage_in, trial_id


def reporter(folder: Path, job: str, pruner: str | None) -> Callable[[int, float], str | None]:
    """Return a function that reports a validation loss to the study and returns why the job should be pruned, or None.

    A study that cannot be read or written at the moment misses a value; the job continues.
    """
    if pruner is None:
        return lambda step, loss: None
    optuna = optuna_package()
    judge, storage = getattr(optuna.pruners, choice("pruner", pruner, PRUNERS))(), storage_in(folder)
    study = optuna.load_study(study_name=folder.name, storage=storage, pruner=judge)
    running = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
    mine = [found.number for found in running if found.user_attrs.get(JOB) == job]
    if not mine:
        return lambda step, loss: None
    trial = optuna.trial.Trial(study, trial_id(storage, folder.name, mine[0]))

    def report(step: int, loss: float) -> str | None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a resumed run reports some steps again
                trial.report(loss, step)
                unpromising = trial.should_prune()
        except (OSError, ValueError):
            return None
        return f"{PRUNED} ({pruner}): val/loss {loss:.4f} at step {step} is behind the other trials" if unpromising else None

    return report
