"""Update sizes: how far an optimizer step moves each parameter, relative to the size of the parameter."""

import math
from functools import partial

import torch
from torch import Tensor

from rnnscope.monitor.recorder import Recorder
from rnnscope.training.callback import Callback
from rnnscope.training.task import LanguageModelTask


class UpdateSizes(Callback):
    """Records log10 of RMS(update) / RMS(parameter), for each parameter and all together, and histograms of both.

    The update is the effect of the whole step: gradient, clipping, moments, learning rate, weight decay. The parameter is
    taken before the step; while it is all zero it is left out, since the ratio is not defined.

    Args:
        every: optimizer steps between update sizes.
        histograms_every: steps between histograms.
    """

    name = "UpdateSizes"

    def __init__(self, recorder: Recorder, every: int, histograms_every: int) -> None:
        self.recorder, self.every, self.histograms_every = recorder, every, histograms_every
        self._before: dict[str, Tensor] = {}

    def _due(self, step: int) -> tuple[bool, bool]:
        return step % self.every == 0, step % self.histograms_every == 0

    def before_step(self, task: LanguageModelTask) -> None:
        if any(self._due(task.step + 1)):
            self._before = {name: value.detach().clone() for name, value in task.model.trained().items()}

    def after_step(self, task: LanguageModelTask) -> None:
        if not self._before:
            return
        sizes, histograms = self._due(task.step)
        parameters = {name: value.detach() for name, value in task.model.trained().items()}
        updates = {name: value - self._before[name] for name, value in parameters.items()}
        if sizes:
            self.recorder.read(sums_of_squares(self._before, updates), partial(update_sizes, list(updates)))
        if histograms:
            named = {f"parameters/{name}": value for name, value in parameters.items()}
            named |= {f"updates/{name}": value for name, value in updates.items()}
            self.recorder.board.histograms(task.step, named)
        self._before = {}


def sums_of_squares(parameters: dict[str, Tensor], updates: dict[str, Tensor]) -> Tensor:
    """Return the sums of the squares of all updates, then those of all parameters: (2 x parameters,) float64."""
    return torch.stack([sum_of_squares(values) for values in (*updates.values(), *parameters.values())])


def update_sizes(names: list[str], sums: list[float]) -> dict[str, float]:
    """Return `update_size/<parameter>` and `update_size/all` for what `sums_of_squares` found."""
    squares, sizes = sums[: len(names)], sums[len(names) :]
    found = {f"update_size/{n}": log_ratio(square, size) for n, square, size in zip(names, squares, sizes, strict=True)}
    found["update_size/all"] = log_ratio(sum(squares), sum(sizes))
    return {tag: value for tag, value in found.items() if value is not None}


def sum_of_squares(values: Tensor) -> Tensor:
    """Return the sum of squares to about six digits, as a dot product: twenty times faster than a norm in float64."""
    flat = values.flatten()
    return torch.dot(flat, flat).double()


def log_ratio(update: float, parameter: float) -> float | None:
    """Return log10 of the ratio of two RMS values from their sums of squares (the count cancels); None if it is not defined."""
    if not parameter or not update:
        return None
    ratio = update / parameter  # 0 or infinite if one of the sums exceeds float32
    return 0.5 * math.log10(ratio) if 0 < ratio < math.inf else math.nan
