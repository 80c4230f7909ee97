"""What a monitor is, and the one Lightning callback that runs them all.

Lightning wraps every hook of every callback in a profiler's context; with ten callbacks that costs a seventh of a
millisecond a step, one percent of a small model's step. One callback that calls ten plain objects costs nothing to speak of.
"""

from typing import Any

import pytorch_lightning as pl

from rnnscope.training.task import LanguageModelTask


class Monitor:
    """Watches one thing of a training. What it needs to remember over a resumed run goes through its state."""

    def start(self, task: LanguageModelTask) -> None:
        """Called once, before the first step of this process."""

    def before_step(self, task: LanguageModelTask) -> None:
        """Called before each step: `task.step` steps are done."""

    def after_step(self, task: LanguageModelTask) -> None:
        """Called after each step: `task.step` counts it. Setting `task.ending` makes it the last."""

    def state(self) -> dict[str, Any]:
        """Return what to remember, as plain values."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""


class Monitors(pl.Callback):
    """Runs monitors in their order: first what ends a run, then what measures, then what writes, last what saves."""

    def __init__(self, monitors: list[Monitor]) -> None:
        self.monitors = monitors

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, LanguageModelTask)
        for monitor in self.monitors:
            monitor.start(pl_module)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        for monitor in self.monitors:
            monitor.before_step(pl_module)  # type: ignore[arg-type]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        for monitor in self.monitors:
            monitor.after_step(pl_module)  # type: ignore[arg-type]
        trainer.should_stop |= bool(pl_module.ending)

    def state(self) -> dict[str, Any]:
        """Return what each of them remembers, by class name."""
        return {type(monitor).__name__: monitor.state() for monitor in self.monitors}

    def restore(self, saved: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        for monitor in self.monitors:
            monitor.restore(saved[type(monitor).__name__])
