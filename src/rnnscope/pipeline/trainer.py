"""Running a training in Lightning's trainer."""

import os
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.strategies import Strategy

from rnnscope.pipeline.build import Training
from rnnscope.pipeline.lightning import EmptyEpochs, OwnSignals, SideBySide, Stretched, Stretches
from rnnscope.training.callback import Callback

ONLY_OURS: dict[str, Any] = {  # without callbacks or loggers of Lightning
    "max_epochs": 1,  # the data counts its own epochs: Lightning sees endless windows
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "limit_val_batches": 0,
}


def run_trainer(training: Training, callback: Callback) -> None:
    """Train until `callback` ends it."""
    processes, extensions = training.hardware.processes, training.extensions
    strategy: Strategy | str = "auto"
    if processes.together:
        strategy = SideBySide()
        os.environ.setdefault("OMP_NUM_THREADS", str(training.hardware.threads))  # else Lightning changes the threads
    options = extensions.trainer_options(training.config.monitor.scalars_every) if extensions else dict(ONLY_OURS)
    trainer = pl.Trainer(
        accelerator="gpu" if training.hardware.device.type == "cuda" else "cpu",
        devices=processes.devices,
        num_nodes=processes.nodes,
        strategy=strategy,
        max_steps=-1,
        callbacks=[OwnSignals(), *([EmptyEpochs()] if extensions else []), *options.pop("callbacks", [])],
        plugins=[processes.environment],  # else Lightning would use any Slurm allocation that it runs in
        enable_model_summary=False,
        use_distributed_sampler=False,
        **options,
    )
    if extensions:
        extensions.fit(trainer, training.task, training.data, callback)
    else:
        training.task.callbacks = callback
        trainer.fit(Stretched(training.task), train_dataloaders=Stretches(training.windows))
