"""One job of a sweep, as Hydra's launchers call it: in the sweeping process, in a worker of joblib, on a node of a cluster.

It decides from the disk what there is to do, under the job's lock, so that nothing is trained twice whoever starts it when;
and it leaves on disk what came of it, for whoever looks.
"""

import gc
import sys
import traceback
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig

from rnnscope.config.compose import plain
from rnnscope.config.hydra_errors import one_line
from rnnscope.errors import UserError
from rnnscope.runs.lock import RunLock
from rnnscope.sweeps.gpus import take_gpu
from rnnscope.sweeps.job_folder import JobFolder, held
from rnnscope.sweeps.manifest import Manifest
from rnnscope.sweeps.pruning import reporter
from rnnscope.sweeps.stop import Stop


def job(cfg: DictConfig) -> dict[str, Any]:
    """Do the job that Hydra's config names, or the rest of it, and return its status; failures are noted, not raised."""
    hydra = HydraConfig.get()
    place = JobFolder(Path(hydra.sweep.dir), hydra.job.name)
    sys.argv = [sys.argv[0], "train", *hydra.overrides.task]  # run.json records it: this job's own command line
    with Stop(place.sweep) as stop, held(place.lock, stopped=stop.asked) as mine:
        if mine and not stop.asked() and not place.state().ended:
            with place.being_done():
                attempt(place, cfg, stop)
    return {"job": place.name, "status": place.state(alive=False).status}


def attempt(place: JobFolder, cfg: DictConfig, stop: Stop) -> None:
    """Train the job, or go on with it; where that fails, note why."""
    try:
        train(place, cfg, stop)
    except (UserError, HydraException, FileNotFoundError, PermissionError) as error:
        place.fail(one_line(error, "train"))
    except Exception as error:
        place.fail(f"{type(error).__name__}: {error}", traceback.format_exc())
    finally:
        free_memory()


def train(place: JobFolder, cfg: DictConfig, stop: Stop) -> None:
    """Train from the first step, or from where the job's run stands."""
    from rnnscope.pipeline.sweep_job import train_or_resume

    if cfg.trainer.accelerator != "cpu":
        take_gpu()
    if place.run.record.exists():
        with held(RunLock(place.run.lock), stopped=stop.asked) as free:  # somebody may be resuming it by hand
            pass
        if not free or place.state().ended:
            return
    manifest = Manifest.read(place.sweep)
    report = reporter(place.sweep, place.name, HydraConfig.get().sweeper.get("pruner"))
    train_or_resume(place.run.path, plain(cfg), tuple(manifest.swept) if manifest else (), stop.asked, report)


def free_memory() -> None:
    """Give back what a job held, on the GPU too: the next one may be done in this process."""
    gc.collect()
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
        sys.modules["torch"].cuda.empty_cache()
