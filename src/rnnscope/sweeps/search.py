"""The sweeper of `hydra/sweeper=optuna`: each trial is a job; the study is stored in the sweep's folder."""

from collections.abc import Iterator
from typing import Any

from hydra.core.plugins import Plugins

from rnnscope.errors import UserError, check_least
from rnnscope.sweeps.plan import Plan, PlannedJob, read_plan
from rnnscope.sweeps.running import RunningSweep
from rnnscope.sweeps.space import PRUNERS, SAMPLERS, choice, examples_of, optuna_package
from rnnscope.sweeps.study import Study
from rnnscope.sweeps.sweeper import GridSweeper


class SearchSweeper(GridSweeper):
    """Lets Optuna choose the values of the next job from the results so far.

    Args:
        params, retry_failed, seconds: as for `GridSweeper`.
        n_trials: of the whole study, however often it is started.
        at_once: trials that are chosen before their results are known; None for as many as the launcher runs at a time.
        sampler: tpe or random.
        seed: of the sampler.
        pruner: ends unpromising trials early: median or halving; None for no pruning.
        seeds: jobs per trial, with the seeds 1, 2, ...; the mean of their losses counts.
    """

    kind = "optuna"

    def __init__(
        self,
        params: dict[str, str],
        retry_failed: bool,
        seconds: float,
        n_trials: int,
        at_once: int | None,
        sampler: str,
        seed: int,
        pruner: str | None,
        seeds: int = 1,
    ) -> None:
        super().__init__(params, [], retry_failed, seconds)
        self.n_trials, self.at_once, self.sampler, self.seed, self.pruner = n_trials, at_once, sampler, seed, pruner
        self.seeds = seeds

    def sweep(self, arguments: list[str]) -> Any:
        """Run the missing trials, and print the table of all.

        Raises:
            UserError: for values that cannot be searched, and if a job has not finished.
        """
        self._check()
        seeds = [[f"seed={number}"] for number in range(1, self.seeds + 1)] if self.seeds > 1 else []
        plan = read_plan(self.params, seeds, arguments, self.loader)
        if not plan.swept:
            raise UserError("a search needs a key with several values, as in optimizer.lr=interval(1e-4,1e-2)")
        ends = seeds or [[]]
        examples = [[*words, *ends[0]] for words in example_words(plan)]
        composer = self.composer(plan, examples[0])
        with self.running(plan, [*map(composer.job, examples)]) as running:  # fails early if one does not compose
            study = Study(running.folder, plan.swept, self.sampler, self.seed)
            if self.retry_failed:
                study.do_again()
            for batch in self._batches(study, running):
                self._do(study, running, {number: [composer.job([*words, *end]) for end in ends] for number, words in batch})
            running.finish()

    def _check(self) -> None:
        optuna_package()
        choice("sampler", self.sampler, SAMPLERS)
        check_least("hydra.sweeper.n_trials", self.n_trials, 1)
        check_least("hydra.sweeper.at_once", self.at_once, 1, "null to let the launcher decide")
        check_least("hydra.sweeper.seeds", self.seeds, 1)
        if self.pruner is not None:
            choice("pruner", self.pruner, PRUNERS)
            if self.seeds > 1:
                found = f"hydra.sweeper.pruner={self.pruner} judges one job, hydra.sweeper.seeds={self.seeds} trains several"
                raise UserError(f"{found}: leave one of them out")

    def _batches(self, study: Study, running: RunningSweep) -> Iterator[list[tuple[int, list[str]]]]:
        """Yield trials to run together: first those that have begun, then new ones, up to `n_trials`."""
        size, left = self.at_once or -(-running.at_once(self.n_trials * self.seeds) // self.seeds), study.begun()
        while not running.stop.asked():
            batch, left = left[:size], left[size:]
            while len(batch) < size and study.count() < self.n_trials:
                batch.append(study.ask())
            if not batch:
                return
            yield batch

    def _do(self, study: Study, running: RunningSweep, trials: dict[int, list[PlannedJob]]) -> None:
        for number, jobs in trials.items():
            study.name(number, jobs[0].name)
        running.run(list({job.name: job for jobs in trials.values() for job in jobs}.values()), self.n_trials * self.seeds)
        for number, jobs in trials.items():
            study.tell(number, [running.job(job.name).state(alive=False) for job in jobs])


def example_words(plan: Plan) -> Iterator[list[str]]:
    """Yield overrides of jobs with which all values that may be drawn are composed once."""
    examples = {key: examples_of(word) for key, word in plan.swept.items()}
    for index in range(max(map(len, examples.values()))):
        yield [f"{key}={values[min(index, len(values) - 1)]}" for key, values in examples.items()]


def register() -> None:
    """Register both sweepers with Hydra."""
    Plugins.instance().register(GridSweeper)
    Plugins.instance().register(SearchSweeper)
