"""The sweeper behind `rnnscope train -m`: every combination of the values given, or a list of jobs."""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from rnnscope.sweeps.launch import JobLauncher
from rnnscope.sweeps.manifest import Manifest
from rnnscope.sweeps.plan import Composer, Plan, PlannedJob, read_plan
from rnnscope.sweeps.running import RunningSweep


class GridSweeper(Sweeper):
    """Does every job of a grid or list once, whatever happens in between.

    Args:
        params: values of keys, in Hydra's grammar of sweeps.
        jobs: words that come together, a list for each job.
        retry_failed: do again what failed or diverged before.
        seconds: between two lines of a running job.
    """

    kind = "grid"

    def __init__(self, params: dict[str, str], jobs: list[list[str]], retry_failed: bool, seconds: float) -> None:
        self.params, self.jobs = dict(params), [list(words) for words in jobs]
        self.retry_failed, self.seconds = retry_failed, seconds

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.loader, self.master = hydra_context.config_loader, config
        self.job_launcher = JobLauncher(hydra_context, config, task_function)

    def sweep(self, arguments: list[str]) -> Any:
        """Do the sweep that the command line asks for, or the rest of it, and print its table.

        Raises:
            UserError: for what cannot be swept, and when a job has not finished.
        """
        plan = read_plan(self.params, self.jobs, arguments, self.loader)
        composer = Composer(self.loader, self.master, plan)
        jobs = list({job.name: job for job in map(composer.job, plan.grid())}.values())
        with self.running(plan, jobs[0]) as running:
            running.run(jobs, len(jobs))
            running.finish()

    def running(self, plan: Plan, job: PlannedJob) -> RunningSweep:
        """Return the sweep of a plan, of which `job` is any one."""
        return RunningSweep(self.job_launcher, Manifest.of(plan, job, self.kind), self.seconds, self.retry_failed)
