"""Noticing that a run is lost: a loss or gradient that is NaN or infinite ends it, visibly, before it can be saved."""

import math

from rnnscope.monitor.monitors import Monitor
from rnnscope.training.task import LanguageModelTask


class Divergence(Monitor):
    """Looks at the sums since the last point every few steps; stands before the monitors that clear or save them.

    Args:
        every: the step counts at which something is logged or saved: it looks whenever one of them is due.
    """

    name = "Divergence"

    def __init__(self, every: list[int]) -> None:
        self.every = every

    def after_step(self, task: LanguageModelTask) -> None:
        if task.ending or any(task.step % every == 0 for every in self.every):
            for what, value in (("train/loss", task.tally.nats), ("gradient_norm/all", task.gradient_norm)):
                if value is not None and not math.isfinite(float(value)):
                    stop_diverged(task, f"{what} is {float(value)}")
                    return


def stop_diverged(task: LanguageModelTask, what: str) -> None:
    """End the run as diverged."""
    task.diverged, task.ending = what, True
