"""The sweeper of `rnnscope train -m`: every combination of the given values, or a list of jobs."""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from rnnscope.sweeps.launch import JobLauncher
from rnnscope.sweeps.manifest import Manifest
from rnnscope.sweeps.plan import Composer, Plan, PlannedJob, read_plan
from rnnscope.sweeps.running import RunningSweep


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
        composer = Composer(self.loader, self.master, plan)
        jobs: dict[str, PlannedJob] = {}
        for words in plan.grid():
            job = composer.job(words)
            jobs.setdefault(job.name, job)
        with self.running(plan, next(iter(jobs.values()))) as running:
            running.run([*jobs.values()], len(jobs))
            running.finish()

    def running(self, plan: Plan, job: PlannedJob) -> RunningSweep:
        """Return a session of a planned sweep, of which `job` is any one."""
        return RunningSweep(self.job_launcher, Manifest.of(plan, job, self.kind), self.seconds, self.retry_failed)
