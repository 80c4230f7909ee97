"""The bridge to Lightning: what it is given in place of its own habits."""

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy

from rnnscope.training.distributed.collectives import reaching

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
    """Lightning's DDP for a group that is formed already (see pipeline/ranks.py), without torch's wrapper around the model."""

    def configure_ddp(self) -> None:
        """Leave the model as it is: the task adds up the gradients (see training/distributed/collectives.py)."""

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        with reaching():
            super().barrier(*args, **kwargs)


class OwnSignals(pl.Callback):
    """Takes signals out of Lightning's hands again: its handler would talk to the other processes in the middle of a step."""

    def __init__(self) -> None:
        self._handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._handlers.items():
                signal.signal(number, handler)


def quiet_lightning() -> None:
    """Keep Lightning's advertisements and hints about options that are ours off the terminal."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    hints = "GPU available but not used|does not have many workers|isinstance.treespec|The `srun` command is available"
    warnings.filterwarnings("ignore", message=f".*({hints}).*")
