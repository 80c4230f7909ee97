"""Averaging the weights over many steps. Validation, samples and exports use the average instead of the newest weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from rnnscope.model.language_model import LanguageModel

AVERAGES = ("none", "ema", "asgd")


class WeightAverage:
    """An average of a model's trained weights; training itself is not affected by it.

    `ema` is an exponential moving average: decay * average + (1 - decay) * weights after each step (Polyak & Juditsky
    1992). During the first steps the decay is smaller, n / (n + 9) after n steps, so that the initial weights do not
    dominate for long. `asgd` is the mean over all steps since validation stopped improving (NT-ASGD: Merity et al. 2018,
    algorithm 1).

    Args:
        kind: `ema` or `asgd`.
        model: the model whose weights are averaged.
        decay: the decay of `ema`.
        interval: `asgd` begins once a validation loss is worse than the best one from before the last `interval` validations.

    Attributes:
        begun: whether steps are averaged.
    """

    def __init__(self, kind: str, model: LanguageModel, decay: float = 0.999, interval: int = 5) -> None:
        self.kind, self.decay, self.interval = kind, decay, interval
        self._trained = model.trained()
        self._average: dict[str, Tensor] = {}  # empty until the first step that counts
        self._steps = 0  # number of steps averaged
        self._losses: list[float] = []  # validation losses until asgd begins
        self.begun = kind == "ema"

    @torch.no_grad()
    def add(self) -> None:
        """Add the current weights to the average."""
        if not self.begun:
            return
        if not self._average:
            self._average = {name: value.detach().clone() for name, value in self._trained.items()}
        else:
            lerp: Any = torch._foreach_lerp_  # pyright: ignore[reportPrivateImportUsage]: one launch on a GPU
            lerp(list(self._average.values()), list(self._trained.values()), self._share())
        self._steps += 1

    def _share(self) -> float:
        """Return the weight of the next step in the average."""
        steps = self._steps
        return 1 / (steps + 1) if self.kind == "asgd" else 1 - min(self.decay, steps / (steps + 9))

    def observe(self, loss: float) -> None:
        """Note a validation loss, which decides when `asgd` begins."""
        if self.begun:
            return
        earlier = self._losses[: -self.interval]
        self.begun = bool(earlier) and loss > min(earlier)
        self._losses.append(loss)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average, if any, into the model within the block. The parameters stay the same tensors, for CUDA graphs."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, average in self._average.items():
            newest = self._trained[name].clone()
            self._trained[name].copy_(average)
            average.copy_(newest)

    def to(self, device: torch.device) -> None:
        """Move the average to `device`, the model's."""
        self._average = {name: value.to(device) for name, value in self._average.items()}

    def state(self) -> dict[str, Any]:
        """Return the state that a checkpoint saves, as plain values and tensors."""
        return {
            "kind": self.kind,
            "begun": self.begun,
            "steps": self._steps,
            "losses": list(self._losses),
            "weights": dict(self._average),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned. An average of a different kind is not restored: this one starts afresh."""
        if state["kind"] != self.kind:
            return
        self.begun, self._steps, self._losses = state["begun"], state["steps"], list(state["losses"])
        self._average = {name: value.to(self._trained[name], copy=True) for name, value in state["weights"].items()}
