"""The average of the weights over many steps: it is validated, sampled and exported in place of the newest weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from rnnscope.model.language_model import LanguageModel

AVERAGES = ("none", "ema", "asgd")


class WeightAverage:
    """Averages the trained weights of a model. Training itself goes on from the newest.

    `ema` moves towards the weights after each step: decay * average + (1 - decay) * weights (Polyak & Juditsky 1992). Of the
    first steps the decay is smaller, n / (n + 9) after n of them, or the initial weights would count for long. `asgd` is
    the mean over all steps since validation stopped improving (NT-ASGD: Merity et al. 2018, algorithm 1).

    Args:
        kind: `ema` or `asgd`.
        decay: of ema.
        interval: asgd begins when a validation is worse than the best of those more than so many before it.
    """

    def __init__(self, kind: str, model: LanguageModel, decay: float = 0.999, interval: int = 5) -> None:
        self.kind, self.decay, self.interval = kind, decay, interval
        self._trained = model.trained()
        self._average: dict[str, Tensor] = {}  # empty until there is one
        self._steps = 0  # that are in it
        self._losses: list[float] = []  # of the validations before asgd begins
        self._begun = kind == "ema"

    @torch.no_grad()
    def add(self) -> None:
        """Take the weights after a step into the average."""
        if not self._begun:
            return
        if not self._average:
            self._average = {name: value.detach().clone() for name, value in self._trained.items()}
        else:
            lerp: Any = torch._foreach_lerp_  # pyright: ignore[reportPrivateImportUsage]: one launch on a GPU
            lerp(list(self._average.values()), list(self._trained.values()), self._share())
        self._steps += 1

    def _share(self) -> float:
        """Return how far the average moves towards the next weights."""
        steps = self._steps
        return 1 / (steps + 1) if self.kind == "asgd" else 1 - min(self.decay, steps / (steps + 9))

    def observe(self, loss: float) -> None:
        """Take one look at the loss of a validation."""
        if self._begun:
            return
        earlier = self._losses[: -self.interval]
        self._begun = bool(earlier) and loss > min(earlier)
        self._losses.append(loss)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have the average in the model within the block, where there is one: in its own tensors, which CUDA graphs read."""
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
        """Move the average to where the model is."""
        self._average = {name: value.to(device) for name, value in self._average.items()}

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, as plain values and tensors."""
        return {
            "kind": self.kind,
            "begun": self._begun,
            "steps": self._steps,
            "losses": list(self._losses),
            "weights": dict(self._average),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned; an average of a different kind begins anew."""
        if state["kind"] != self.kind:
            return
        self._begun, self._steps, self._losses = state["begun"], state["steps"], list(state["losses"])
        self._average = {name: value.to(self._trained[name], copy=True) for name, value in state["weights"].items()}
