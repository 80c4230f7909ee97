"""The Optuna study of a search, in the sweep's folder: which trials there are, what to try next, how they went."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override

from rnnscope.sweeps.job_folder import JobState
from rnnscope.sweeps.optuna_package import choice, optuna_package, storage_in
from rnnscope.sweeps.pruning import is_pruned
from rnnscope.sweeps.space import distribution_of

if TYPE_CHECKING:
    import optuna

BAD = 100.0  # nats per token: what Optuna is told of a trial that diverged; guessing blindly among 60,000 words loses 11
SAMPLERS = {"tpe": "TPESampler", "random": "RandomSampler"}
UNCOUNTED = "uncounted"  # attribute of the study: numbers of trials that stand for nothing any more


class Study:
    """The study in `folder`, made where there is none.

    What is sampled next depends on the seed and the results so far alone: a search that was stopped goes on as if it had not
    been.

    Args:
        space: the values of each swept word, as typed.
    """

    def __init__(self, folder: Path, space: dict[str, Override], sampler: str, seed: int) -> None:
        self._optuna = optuna_package()
        self._space = {key: distribution_of(word) for key, word in space.items()}
        self._sampler, self._seed = choice("sampler", sampler, SAMPLERS), seed
        self._storage = storage_in(folder)
        self._study = self._optuna.create_study(
            storage=self._storage, study_name=folder.name, direction="minimize", load_if_exists=True
        )
        for trial in self._trials("RUNNING"):
            if trial.params.keys() != self._space.keys():  # its process died while the values were drawn
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
        """Return the number of trials that are done or begun."""
        forgotten = set(self._uncounted())
        return sum(trial.number not in forgotten for trial in self._trials("COMPLETE", "PRUNED", "FAIL", "RUNNING"))

    def begun(self) -> list[tuple[int, list[str]]]:
        """Return the trials that have begun and not ended, each a number and its words."""
        return [(trial.number, self._words(trial.params)) for trial in self._trials("RUNNING")]

    def ask(self) -> tuple[int, list[str]]:
        """Begin a trial."""
        self._study.sampler = getattr(self._optuna.samplers, self._sampler)(seed=self._seed + self.count())
        trial = self._study.ask(self._space)
        return trial.number, self._words(trial.params)

    def _words(self, params: dict[str, Any]) -> list[str]:
        return [f"{key}={value if isinstance(value, str) else repr(value)}" for key, value in params.items()]

    def name(self, number: int, job: str) -> None:
        """Note which job does a trial."""
        trial = self._trials_by_number()[number]
        self._storage.set_trial_user_attr(trial._trial_id, "job", job)

    def _trials_by_number(self) -> dict[int, "optuna.trial.FrozenTrial"]:
        return {trial.number: trial for trial in self._study.get_trials(deepcopy=False)}

    def tell(self, number: int, state: JobState) -> None:
        """End a trial with what its job came to; one that has not ended stays begun."""
        states, loss = self._optuna.trial.TrialState, state.get("best.loss")
        if state.status == "diverged":
            self._study.tell(number, BAD)
        elif state.status == "failed" or (state.status == "finished" and loss is None):
            self._study.tell(number, state=states.FAIL)
        elif state.status == "finished" and is_pruned(state) and self._trials_by_number()[number].intermediate_values:
            self._study.tell(number, state=states.PRUNED)
        elif state.status == "finished":
            self._study.tell(number, loss)

    def do_again(self) -> None:
        """Put the values of every trial that failed or diverged in line once more."""
        forgotten = set(self._uncounted())
        for trial in self._trials("FAIL", "COMPLETE"):
            if trial.number not in forgotten and (trial.value is None or trial.value == BAD):
                self._forget(trial.number)
                self._study.enqueue_trial(trial.params)
