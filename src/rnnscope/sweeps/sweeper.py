"""The sweeper behind `rnnscope train -m`: every combination of the values given, or a list of jobs."""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from rnnscope.sweeps.jobs import Composer, Job
from rnnscope.sweeps.plan import Plan, read_plan
from rnnscope.sweeps.running import Sweeping


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
        self.context, self.task, self.master = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Do the sweep that the command line asks for, or the rest of it, and print its table.

        Raises:
            UserError: for what cannot be swept, and when a job has not finished.
        """
        plan = read_plan(self.params, self.jobs, arguments, self.context.config_loader)
        composer = Composer(self.context.config_loader, self.master, plan)
        jobs = list({job.name: job for job in map(composer.job, plan.grid())}.values())
        with self._sweeping(plan, jobs[0]) as sweeping:
            with sweeping.interruptible():
                sweeping.run(jobs, len(jobs))
            sweeping.finish()

    def _sweeping(self, plan: Plan, first: Job) -> Sweeping:
        return Sweeping(self.context, self.master, self.task, plan, self.kind, first, self.seconds, self.retry_failed)
