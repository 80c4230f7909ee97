"""Running jobs through Hydra's launcher: one after the other, several at once (joblib), or on a cluster (submitit)."""

import copy
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from rnnscope.config.overrides import quote
from rnnscope.cores import core_count
from rnnscope.errors import UserError
from rnnscope.runs.lock import is_locked
from rnnscope.sweeps.job_folder import PATIENCE, JobFolder
from rnnscope.sweeps.plan import PlannedJob

DEATHS = 2  # after so many deaths of its process, a job counts as failed
SHARING = 4  # jobs at once on one GPU


class JobLauncher:
    """Runs jobs through the launcher that `config` selects, and repeats those whose process died.

    Args:
        config: the sweep's own, as Hydra composed it.
        task: runs one job; its results are on disk.
    """

    def __init__(self, context: HydraContext, config: DictConfig, task: TaskFunction) -> None:
        self._context, self._config, self._task = context, config, task
        self._kind = str(config.hydra.runtime.choices["hydra/launcher"])
        self._count = 0

    def at_once(self, jobs: int, accelerator: str) -> int:
        """Return how many of `jobs` run at the same time on this machine."""
        if self._kind != "joblib":
            return 1
        asked = self._config.hydra.launcher.n_jobs
        if asked < 1:
            gpus = gpu_count() if accelerator != "cpu" else 0
            asked = min(core_count(), gpus if gpus > 1 else SHARING) if gpus else core_count()
        return min(asked, jobs)

    def run(
        self,
        sweep: Path,
        jobs: Sequence[PlannedJob],
        at_once: int,
        stopped: Callable[[], object],
        kind: type[JobFolder] = JobFolder,
    ) -> None:
        """Run all `jobs`, `at_once` at a time, and return when each has ended, failed or been stopped.

        When a worker dies, others die with it: their jobs are continued, and a job whose process died twice has failed.

        Args:
            sweep: the sweep's folder.
            stopped: whether the sweep was asked to stop.
            kind: the class of the jobs' folders, which defines when a job has ended.

        Raises:
            UserError: if the launcher cannot launch.
        """
        deaths: Counter[JobFolder] = Counter()
        left = {kind(sweep, job.name): job for job in jobs}
        while left and not stopped():
            problem = self._launch(sweep, list(left.values()), at_once)
            if problem is None:
                return
            while any(is_locked(job.lock.path) for job in left) and not stopped():  # workers may outlive their launcher
                time.sleep(PATIENCE)
            died = [job for job in left if job.died()]
            if not died and not any(job.state().ended for job in left):
                raise UserError(f"hydra/launcher={self._kind}: {problem}")
            deaths.update(died)
            for job in died:
                if deaths[job] >= DEATHS:
                    job.fail(f"its process died twice, possibly for lack of memory ({problem})")
            left = {job: planned for job, planned in left.items() if not job.state().ended}

    def _launch(self, sweep: Path, jobs: Sequence[PlannedJob], at_once: int) -> str | None:
        """Launch `jobs` and return the error if that failed, else None."""
        launcher = Plugins.instance().instantiate_launcher(self._context, self._task, self._configured(sweep, at_once))
        words = [_words(job, at_once) for job in jobs]
        try:
            for result in launcher.launch(words, initial_job_idx=self._count):
                _ = result.return_value  # raises what the job raised
        except Exception as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        finally:
            self._count += len(jobs)
        return None

    def _configured(self, sweep: Path, at_once: int) -> DictConfig:
        """Return the config with settings for the launcher, which are also added to the overrides of each job."""
        values: dict[str, Any] = {"hydra.sweep.dir": str(sweep.resolve()), "hydra.job.name": sweep.name}
        if self._kind == "joblib":
            values |= {"hydra.launcher.n_jobs": at_once, "hydra.launcher.inner_max_num_threads": threads(at_once)}
            values |= {"hydra.launcher.batch_size": "1", "hydra.launcher.pre_dispatch": "n_jobs"}  # no job waits in a worker
        config = copy.deepcopy(self._config)
        with read_write(config.hydra), open_dict(config.hydra):
            for key, value in values.items():
                OmegaConf.update(config, key, value)
                config.hydra.overrides.hydra.append(f"{key}={quote(value) if isinstance(value, str) else value}")
        return config


def _words(job: PlannedJob, at_once: int) -> list[str]:
    words = [*job.typed, f"hydra.job.name={quote(job.name)}"]
    if at_once > 1 and job.config["trainer.threads"] is None:
        words.append(f"trainer.threads={threads(at_once)}")
    return words


def threads(at_once: int) -> int:
    """Return the threads of each of `at_once` jobs, so that they do not compete for cores."""
    return max(1, core_count() // at_once)


def gpu_count() -> int:
    """Return how many GPUs torch finds."""
    import torch

    return torch.cuda.device_count()
