"""The Optuna study of a search, stored in the sweep's folder: its trials, what to try next, the results."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override

from rnnscope.errors import UserError, reason
from rnnscope.sweeps.job_folder import JobState
from rnnscope.sweeps.space import SAMPLERS, choice, distribution_of, optuna_package

if TYPE_CHECKING:
    import optuna

JOURNAL = "study.journal"
BAD = 100.0  # nats per token: reported for a trial that diverged; guessing uniformly among 60,000 words costs 11
UNCOUNTED = "uncounted"  # attribute of the study: numbers of trials that no longer count
JOB = "job"  # attribute of a trial: the name of its job
PRUNED = "pruned"  # how the recorded reason of a pruned run begins
RANKS = {"failed": 1, "diverged": 2, "finished": 3}  # the lowest of a trial's jobs counts; one that has not ended is lowest


class Study:
    """The study in `folder`, created if there is none.

    What is sampled next depends only on the seed and the results so far, so that a stopped search continues as if it had not
    been stopped.

    Args:
        space: the swept overrides by key.
    """

    def __init__(self, folder: Path, space: dict[str, Override], sampler: str, seed: int) -> None:
        self._optuna = optuna_package()
        self._space = {key: distribution_of(word) for key, word in space.items()}
        self._sampler, self._seed = choice("sampler", sampler, SAMPLERS), seed
        carry_over(folder)
        cut_torn_line(folder / JOURNAL)
        self._storage = storage_in(folder)
        self._study = self._optuna.create_study(
            storage=self._storage, study_name=folder.name, direction="minimize", load_if_exists=True
        )
        for trial in self._trials("RUNNING"):
            if trial.params.keys() != self._space.keys():  # its process died while drawing the values
                self._forget(trial.number)
                self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)

    def _trials(self, *states: str) -> list["optuna.trial.FrozenTrial"]:
        wanted = tuple(self._optuna.trial.TrialState[state] for state in states)
        return self._study.get_trials(deepcopy=False, states=wanted)

    def _forget(self, number: int) -> None:
        self._study.set_user_attr(UNCOUNTED, [*self._uncounted(), number])

    def _uncounted(self) -> list[int]:
        return self._study.user_attrs.get(UNCOUNTED, [])

    def count(self) -> int:
        """Return the number of trials that have begun or ended."""
        forgotten = set(self._uncounted())
        return sum(trial.number not in forgotten for trial in self._trials("COMPLETE", "PRUNED", "FAIL", "RUNNING"))

    def begun(self) -> list[tuple[int, list[str]]]:
        """Return the number and overrides of each trial that has begun but not ended."""
        return [(trial.number, _words(trial.params)) for trial in self._trials("RUNNING")]

    def ask(self) -> tuple[int, list[str]]:
        """Begin a trial and return its number and overrides."""
        self._study.sampler = getattr(self._optuna.samplers, self._sampler)(seed=self._seed + self.count())
        trial = self._study.ask(self._space)
        return trial.number, _words(trial.params)

    def name(self, number: int, job: str) -> None:
        """Record which job runs a trial."""
        self._storage.set_trial_user_attr(trial_id(self._storage, self._study.study_name, number), JOB, job)

    def tell(self, number: int, jobs: Sequence[JobState]) -> None:
        """End a trial with the result of its job, or the mean of several jobs; if one has not ended, the trial continues."""
        state = min(jobs, key=lambda job: RANKS.get(job.status, 0))  # decides the status of the trial
        losses = [job.get("best.loss") for job in jobs]
        states, loss = self._optuna.trial.TrialState, None if None in losses else sum(losses) / len(losses)
        pruned = state.get("stopped_early") and str(state.reason).startswith(PRUNED)
        if state.status == "diverged":
            self._study.tell(number, BAD)
        elif state.status == "finished" and loss is None:
            raise UserError("a search minimizes val/loss, which its runs do not have: give dataset.split.val a share")
        elif state.status == "failed":
            self._study.tell(number, state=states.FAIL)
        elif state.status == "finished" and pruned and self._study.trials[number].intermediate_values:
            self._study.tell(number, state=states.PRUNED)
        elif state.status == "finished":
            self._study.tell(number, loss)

    def do_again(self) -> None:
        """Enqueue the values of every trial that failed or diverged once more."""
        forgotten = set(self._uncounted())
        for trial in self._trials("FAIL", "COMPLETE"):
            if trial.number not in forgotten and (trial.value is None or trial.value == BAD):
                self._forget(trial.number)
                self._study.enqueue_trial(trial.params)


def _words(params: dict[str, Any]) -> list[str]:
    return [f"{key}={value if isinstance(value, str) else repr(value)}" for key, value in params.items()]


def cut_torn_line(journal: Path) -> None:
    """Remove an incomplete last line, which a killed process or a power cut leaves and Optuna cannot read.

    Raises:
        UserError: if a different line is damaged.
    """
    if not journal.exists():
        return
    lock = optuna_package().storages.journal.JournalFileSymlinkLock(str(journal.resolve()))
    lock.acquire()  # a process on another node may be in the middle of a line
    try:
        with journal.open("rb+") as file:
            *lines, torn = file.read().split(b"\n")
            if torn:
                file.truncate(file.tell() - len(torn))
    finally:
        lock.release()
    for number, line in enumerate(lines, 1):
        try:
            json.loads(line)
        except ValueError as error:
            remedy = "restore it from a copy, or remove it to begin a new search, which keeps the jobs"
            raise UserError(f"{journal}: line {number} is damaged ({reason(error)}): {remedy}") from None


def storage_in(folder: Path, name: str = JOURNAL) -> Any:
    """Return the storage of a study in a sweep's folder; processes on several nodes may write to it."""
    journal = optuna_package().storages.journal
    return optuna_package().storages.JournalStorage(journal.JournalFileBackend(str(folder.resolve() / name)))


def trial_id(storage: Any, study: str, number: int) -> int:
    """Return the id of a trial in a storage."""
    return storage.get_trial_id_from_study_id_trial_number(storage.get_study_id_from_name(study), number)


def carry_over(folder: Path) -> None:
    """Copy the study of an older rnnscope from SQLite, which several nodes cannot write to; the old file stays."""
    old, new, copying = folder / "study.db", folder / JOURNAL, folder / f"{JOURNAL}.copying"
    if new.exists() or not old.exists():
        return
    from sqlalchemy.engine import URL  # Optuna needs it for SQLite alone

    copying.unlink(missing_ok=True)  # left by a process that died while copying
    url = URL.create("sqlite", database=str(old.resolve())).render_as_string()
    optuna_package().copy_study(from_study_name=folder.name, from_storage=url, to_storage=storage_in(folder, copying.name))
    copying.rename(new)
