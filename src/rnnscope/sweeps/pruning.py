"""Ending the trials of a search that are not worth going on: what a job says at each validation, and what it hears."""

import warnings
from collections.abc import Callable
from pathlib import Path

from rnnscope.sweeps.job_folder import JobState
from rnnscope.sweeps.optuna_package import choice, optuna_package, storage_in

PRUNERS = {"median": "MedianPruner", "halving": "SuccessiveHalvingPruner"}
PRUNED = "pruned"  # how the reason of a run begins that was ended so


def reporter(folder: Path, job: str, pruner: str | None) -> Callable[[int, float], str | None]:
    """Return what a job tells each validation: the study hears of it, and the pruner says why it is not worth going on.

    A study that cannot be written to just now misses a value; no job ends for that.
    """
    if pruner is None:
        return lambda step, loss: None
    optuna = optuna_package()
    judge = getattr(optuna.pruners, choice("pruner", pruner, PRUNERS))()
    study = optuna.load_study(study_name=folder.name, storage=storage_in(folder), pruner=judge)
    running = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
    mine = [trial for trial in running if trial.user_attrs.get("job") == job]
    trial = optuna.trial.Trial(study, mine[0]._trial_id) if mine else None

    def report(step: int, loss: float) -> str | None:
        if trial is None:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a resumed run reports some steps again
                trial.report(loss, step)
                unpromising = trial.should_prune()
        except optuna.exceptions.StorageInternalError:
            return None
        return f"{PRUNED} ({pruner}): val/loss {loss:.4f} at step {step} is behind the other trials" if unpromising else None

    return report


def is_pruned(state: JobState) -> bool:
    """Whether a pruner ended the run of a job."""
    return bool(state.get("stopped_early")) and str(state.reason).startswith(PRUNED)
