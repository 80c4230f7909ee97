"""Adapters between a training and Lightning's trainer."""

import gc
import logging
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy

from rnnscope.data.batches import Window, Windows
from rnnscope.training.distributed.collectives import reaching
from rnnscope.training.trainer_task import TrainerTask

STRETCH = 128  # windows in one Lightning batch
STOP_ITERATION = "a callback raised StopIteration, as next() does at the end of an iterator"


class Stretches:
    """Gives endless windows to Lightning in stretches; the task keeps track of the position."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows

    def __iter__(self) -> Iterator[Any]:
        windows = iter(self._windows)
        while True:
            yield islice(windows, STRETCH)


class Stretched(pl.LightningModule):
    """A task as Lightning sees it if only rnnscope's callbacks observe: a batch is a stretch of windows.

    Lightning's hooks, which take half a millisecond together, then run once for many steps.
    """

    def __init__(self, task: TrainerTask) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.task = task

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.task.configure_optimizers()

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch  # a stretch creates its windows lazily

    def on_train_start(self) -> None:
        self.task.callbacks.start(self.task)

    def training_step(self, batch: Iterable[Window], batch_idx: int) -> None:
        """Take a step on each window of a stretch, with callbacks before and after it."""
        task = self.task
        for window in () if task.ending else batch:
            task.callbacks.before_step(task)
            task.take_step(window)
            task.callbacks.after_step(task)
            if task.ending:
                break
        self.trainer.should_stop = task.ending


class SideBySide(DDPStrategy):
    """Lightning's DDP for an existing process group (see pipeline/ranks.py), without torch's wrapper around the model."""

    def configure_ddp(self) -> None:
        """Leave the model as it is: the task sums the gradients (see training/distributed/collectives.py)."""

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        with reaching():
            super().barrier(*args, **kwargs)


class OwnSignals(pl.Callback):
    """Restores the signal handlers that Lightning replaces: its own would call the other processes in the middle of a step."""

    def __init__(self) -> None:
        self._handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._handlers.items():
                signal.signal(number, handler)


class EmptyEpochs(pl.Callback):
    """Ends a training whose epochs have no steps: Lightning takes a StopIteration in a hook for the end of the data."""

    def __init__(self) -> None:
        self._step, self._empty = -1, 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._empty = self._empty + 1 if pl_module.step == self._step else 0
        self._step = pl_module.step
        if self._empty > 1:  # one is possible where a run is resumed
            raise RuntimeError(STOP_ITERATION)


def prepare_process() -> None:
    """Set up a process for training: before the parts of a training are built, and after everything is imported."""
    _quiet_lightning()
    _freeze_modules()


@cache
def _freeze_modules() -> None:
    """Exclude the objects of torch, Hydra and Lightning from garbage collection.

    Each collection would take 0.2 s to visit them, in the middle of some step and between the jobs of a sweep.
    """
    gc.freeze()


def _quiet_lightning() -> None:
    """Suppress Lightning's tips, and its warnings about options that rnnscope sets on purpose."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    hints = "GPU available but not used|does not have many workers|isinstance.treespec|The `srun` command is available"
    hints += "|across ranks is zero"  # the val split may be empty
    hints += "|number of training batches .* is smaller than the logging interval"  # a short text
    hints += "|recommended to use .self.log.*sync_dist=True"  # the logged values are the same in all processes already
    warnings.filterwarnings("ignore", message=f".*({hints}).*")
