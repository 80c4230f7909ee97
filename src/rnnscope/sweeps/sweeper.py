"""The sweeper of `rnnscope train -m`: every combination of the given values, or a list of jobs."""

from collections.abc import Sequence
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from rnnscope.sweeps.launch import JobLauncher
from rnnscope.sweeps.manifest import Manifest
from rnnscope.sweeps.plan import Composer, Plan, PlannedJob, read_plan
from rnnscope.sweeps.running import RunningSweep

READER = "dataset.corpus.reader_version"


class GridSweeper(Sweeper):
    """Runs every job of a grid or list exactly once, also over interruptions.

    Args:
        params: values by key, in Hydra's grammar of sweeps.
        jobs: lists of overrides that belong together, one for each job.
        retry_failed: repeat jobs that failed or diverged.
        seconds: between two lines on a running job.
    """

    kind = "grid"

    def __init__(self, params: dict[str, str], jobs: list[list[str]], retry_failed: bool, seconds: float) -> None:
        self.params, self.jobs = dict(params), [list(words) for words in jobs]
        self.retry_failed, self.seconds = retry_failed, seconds

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.loader, self.master = hydra_context.config_loader, config
        self.job_launcher = JobLauncher(hydra_context, config, task_function)

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep, or the rest of it, and print its table.

        Raises:
            UserError: for values that cannot be swept, and if a job has not finished.
        """
        plan = read_plan(self.params, self.jobs, arguments, self.loader)
        words = list(plan.grid())
        composer = self.composer(plan, words[0])
        jobs: dict[str, PlannedJob] = {}
        for job in map(composer.job, words):
            jobs.setdefault(job.name, job)
        with self.running(plan, [*jobs.values()]) as running:
            running.run([*jobs.values()], len(jobs))
            running.finish()

    def composer(self, plan: Plan, words: list[str]) -> Composer:
        """Return the composer of a plan's jobs.

        Those of a continued sweep start from the run that its first jobs did, and read texts as they did.

        Args:
            words: the overrides in which any one job differs.
        """
        composer = Composer(self.loader, self.master, plan)
        old = Manifest.read(Manifest.of(plan, [composer.job(words)], self.kind).folder)
        typed = {word.key_or_group for word in plan.fixed} | {*plan.keys}
        if old and READER not in typed and (version := old.fixed.get(READER)) is not None:
            composer.adopted.append(f"{READER}={version}")
        if old and composer.starts and isinstance(start := old.fixed.get("init_from"), str):
            composer.starts |= {name: start for name in composer.starts if name == "latest"}
        return composer

    def running(self, plan: Plan, jobs: Sequence[PlannedJob]) -> RunningSweep:
        """Return a session of a planned sweep, of which `jobs` are some."""
        return RunningSweep(self.job_launcher, Manifest.of(plan, jobs, self.kind), self.seconds, self.retry_failed)
