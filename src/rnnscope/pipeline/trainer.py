"""Lightning's trainer around a training: it runs the loop, and with trainer=ddp starts the processes that train together."""

import atexit
import gc
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy, Strategy

from rnnscope.pipeline.build import Training
from rnnscope.training.callback import Callback

STRETCH = 128  # windows that make one batch of Lightning's


class Stretches:
    """Hands endless windows to Lightning a stretch at a time; the position in them is the task's to remember."""

    def __init__(self, windows: Any) -> None:
        self._windows = windows

    def __iter__(self) -> Iterator[Any]:
        windows = iter(self._windows)
        while True:
            yield islice(windows, STRETCH)


class SideBySide(DDPStrategy):
    """Lightning's DDP, which starts the processes and has them find each other, without torch's wrapper around the model."""

    def configure_ddp(self) -> None:
        """Leave the model as it is: the task adds up the gradients (see training/distributed/collectives.py)."""


class OwnSignals(pl.Callback):
    """Takes signals out of Lightning's hands again: its handler would talk to the other processes in the middle of a step."""

    def __init__(self) -> None:
        self._handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._handlers.items():
                signal.signal(number, handler)


def run_trainer(training: Training, callbacks: Callback) -> None:
    """Train until `callbacks` end it. Processes that Lightning started for it are killed if it fails, and else soon end."""
    processes = training.processes
    strategy: Strategy | str = "auto"
    if processes.together:
        strategy = SideBySide()
        os.environ.setdefault("OMP_NUM_THREADS", str(training.resolved["threads"]))  # else Lightning changes the threads
    trainer = pl.Trainer(
        accelerator="gpu" if training.device.type == "cuda" else "cpu",
        devices=processes.devices,
        num_nodes=processes.nodes,
        strategy=strategy,
        max_epochs=1,  # the data counts its own epochs: to Lightning the windows never end
        max_steps=-1,
        callbacks=[OwnSignals()],
        plugins=[processes.environment],  # else Lightning takes over any Slurm allocation it finds itself in
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
    )
    training.task.callbacks = callbacks
    gc.freeze()  # going through all that torch, Hydra and Lightning hold takes 0.14 s, in the middle of some step
    try:
        trainer.fit(training.task, train_dataloaders=Stretches(training.windows))
    except BaseException:
        for process in take_children(trainer):
            process.kill()
        raise
    finally:
        gc.unfreeze()
    atexit.register(wait_for, take_children(trainer))


def take_children(trainer: pl.Trainer) -> list[subprocess.Popen]:
    """Return the processes that Lightning started, and have it look after them no more: it would kill this one with them."""
    started: list[subprocess.Popen] = getattr(trainer.strategy.launcher, "procs", [])
    children = list(started)
    started.clear()
    return children


def wait_for(processes: list[subprocess.Popen]) -> None:
    """Wait for processes that are about to end, but not for long."""
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
