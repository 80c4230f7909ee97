"""Divergence: a loss or gradient that is NaN or infinite ends a run before it is saved."""

import math

from torch import Tensor, nn

from rnnscope.monitor.recorder import Recorder
from rnnscope.training.callback import Callback
from rnnscope.training.task import LanguageModelTask


class Divergence(Callback):
    """Checks the sums since the last point; it comes before the callbacks that clear or save them.

    Args:
        scalars_every: steps between points of the curves. On a GPU it checks the previous point, so as not to wait.
        every: the steps between validations and between checkpoints, which must not see a run that has diverged.
    """

    name = "Divergence"

    def __init__(self, recorder: Recorder, scalars_every: int, every: list[int]) -> None:
        self.recorder, self.scalars_every, self.every = recorder, scalars_every, every

    def after_step(self, task: LanguageModelTask) -> None:
        point = task.step % self.scalars_every == 0
        if task.ending or any(task.step % every == 0 for every in self.every) or (point and task.device.type == "cpu"):
            self.recorder.settle()
            look(task, task.sums.nats, task.gradient_norm)
        elif point:
            self.recorder.settle()
            latest = self.recorder.latest
            look(task, latest.get("train/loss"), latest.get("gradient_norm/all"))


def look(task: LanguageModelTask, loss: float | None, norm: Tensor | float | None) -> None:
    """End the run if its loss or the norm of its gradient is not finite."""
    for what, value in (("train/loss", loss), ("gradient_norm/all", norm)):
        if value is not None and not math.isfinite(float(value)):
            stop_diverged(task, f"{what} is {float(value)}")
            return


def stop_diverged(task: LanguageModelTask, what: str) -> None:
    """End the run as diverged, and say which parameters are not finite."""
    task.diverged, task.ending = f"{what}, {lost_parameters(task.model)}", True


def lost_parameters(model: nn.Module) -> str:
    """Return the first parameter of a model that is not finite; if all are, the one with the largest value."""
    values = dict(model.named_parameters())
    lost = [name for name, value in values.items() if not value.isfinite().all()]
    if not lost:
        sizes = {name: float(value.detach().abs().max()) for name, value in values.items()}
        largest = max(sizes, key=lambda name: sizes[name])
        return f"though all parameters are finite: the largest value is {sizes[largest]:.3g}, in {largest}"
    return f"{lost[0]} is the first of {len(lost)} parameters (of {len(values)}) that are not finite"
