"""Sums over steps: the losses, and the number of clipped steps, since the last point of a curve."""

import math
from typing import Any

import torch
from torch import Tensor


class RunningSums:
    """Sums since the last `clear`. Values stay on their device until a sum is asked for, so a step does not wait.

    The time of asking makes no difference: float32 losses add up in float64 without rounding.

    Args:
        clip_norm: gradients are clipped to this norm, and `add` is given their norm before clipping.
    """

    def __init__(self, clip_norm: float | None = None) -> None:
        self.clip_norm = clip_norm
        self.clear()

    def clear(self) -> None:
        self._nats, self._clipped = 0.0, 0.0
        self._new_nats: list[Tensor] = []
        self._new_clipping: list[Tensor] = []
        self.tokens = self.steps = 0

    def add(self, nats: Tensor, tokens: int, clipping: Tensor | None = None) -> None:
        """Add a step. `clipping`: the norm of its gradient, or without `clip_norm` the share of it that was clipped."""
        self._new_nats.append(nats)
        self.tokens, self.steps = self.tokens + tokens, self.steps + 1
        if clipping is not None:
            self._new_clipping.append(clipping)

    @property
    def nats(self) -> float:
        """The sum of losses."""
        self._nats += sum(_values(self._new_nats))
        return self._nats

    @property
    def clipped(self) -> float:
        """The number of clipped steps; without `clip_norm`, the sum of the shares of elements that were clipped."""
        values = _values(self._new_clipping)
        self._clipped += sum(values if self.clip_norm is None else (value > self.clip_norm for value in values))
        return self._clipped

    def on_device(self, device: torch.device) -> Tensor:
        """Return `nats` and `clipped` as they are on their device, without waiting for them: (2,) float64."""
        clipping = _stacked(self._new_clipping, device)
        if self.clip_norm is not None:
            clipping = (clipping > self.clip_norm).double()
        sums = torch.stack([_stacked(self._new_nats, device).sum(), clipping.sum()])
        if self._nats or self._clipped:
            sums = sums + torch.tensor([self._nats, self._clipped], dtype=torch.float64).to(device)
        return sums

    def take(self) -> float:
        """Return the mean loss since the last `clear`, NaN if there was no step, and clear the sums."""
        loss = self.nats / self.tokens if self.tokens else math.nan
        self.clear()
        return loss

    def state(self) -> list[Any]:
        nats, clipped = torch.tensor([self.nats, self.clipped], dtype=torch.float64)
        return [nats, self.tokens, self.steps, clipped]

    def restore(self, state: list[Any]) -> None:
        """Restore what `state` returned; older checkpoints have None for an empty sum."""
        nats, self.tokens, self.steps, clipped = state
        self._nats, self._clipped = (0.0 if total is None else float(total) for total in (nats, clipped))
        self._new_nats, self._new_clipping = [], []


def _stacked(waiting: list[Tensor], device: torch.device) -> Tensor:
    return torch.stack(waiting).double() if waiting else torch.zeros(0, dtype=torch.float64, device=device)


def _values(waiting: list[Tensor]) -> list[float]:
    """Remove all scalars from a list, and return their values."""
    values = torch.stack(waiting).tolist() if waiting else []
    waiting.clear()
    return values
