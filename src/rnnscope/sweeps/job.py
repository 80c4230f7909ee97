"""One job of a sweep, called by Hydra's launchers: in the sweeping process, in a worker of joblib, on a node of a cluster.

The files on disk decide what is left to do, under the job's lock, so that nothing is trained twice; and the result is
stored on disk.
"""

import gc
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig

from rnnscope.config.compose import composed
from rnnscope.config.hydra_errors import one_line
from rnnscope.errors import UserError
from rnnscope.lock import Lock
from rnnscope.sweeps.gpus import take_gpu
from rnnscope.sweeps.job_folder import JobFolder, held
from rnnscope.sweeps.manifest import Manifest
from rnnscope.sweeps.pruning import reporter
from rnnscope.sweeps.running import Stop


def job(cfg: DictConfig) -> dict[str, Any]:
    """Train or continue the job that Hydra's config names, and return its status."""
    hydra = HydraConfig.get()
    sys.argv = [sys.argv[0], "train", *hydra.overrides.task]  # run.json records this job's own command line
    return do(JobFolder(Path(hydra.sweep.dir), hydra.job.name), lambda folder, stop: train(folder, cfg, stop))


def do(folder: JobFolder, work: Callable[[JobFolder, Stop], None]) -> dict[str, Any]:
    """Do `work` in a job's folder unless it is done, and return the job's status; failures are recorded, not raised."""
    with Stop(folder.sweep) as stop:
        if not stop.asked():  # else the lock would make a folder that was moved anew
            with held(folder.lock, stopped=stop.asked) as mine:
                if mine and not stop.asked() and not folder.state().ended:
                    with folder.being_done():
                        attempt(folder, work, stop)
    return {"job": folder.name, "status": folder.state(alive=False).status}


def attempt(folder: JobFolder, work: Callable[[JobFolder, Stop], None], stop: Stop) -> None:
    """Do the work; if it fails, record why."""
    try:
        work(folder, stop)
    except (UserError, HydraException, FileNotFoundError, PermissionError) as error:
        folder.fail(one_line(error, "train"))
    except Exception as error:
        folder.fail(f"{type(error).__name__}: {error}", traceback.format_exc())
    finally:
        free_memory()


def train(folder: JobFolder, cfg: DictConfig, stop: Stop) -> None:
    """Train the job from its first step, or continue its run."""
    from rnnscope.pipeline.options import Job
    from rnnscope.pipeline.resume import train_or_resume

    if cfg.trainer.accelerator != "cpu":
        take_gpu()
    if folder.run.record.exists():
        with held(Lock(folder.run.lock), stopped=stop.asked) as free:  # a user may be resuming it by hand
            pass
        if not free or folder.state().ended:
            return
    manifest = Manifest.read(folder.sweep)
    report = reporter(folder.sweep, folder.name, HydraConfig.get().sweeper.get("pruner"))
    swept = tuple(manifest.swept) if manifest else ()
    train_or_resume(composed(cfg), Job(folder.run.path, swept, stop.asked, report))


def free_memory() -> None:
    """Free the memory of a job, on the GPU too: this process may run the next one."""
    gc.collect()
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
        sys.modules["torch"].cuda.empty_cache()
