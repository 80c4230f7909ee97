"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) for recurrent layers: gate by gate.

The momentum of a matrix is replaced by the nearest orthogonal matrix, so that an update has the same size in all directions.
A layer stacks the matrices of its gates; each gate is a map of its own and is orthogonalized by itself, which gives a lower
loss here than orthogonalizing the stack, as `torch.optim.Muon` would.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = 3.4445, -4.7750, 2.0315  # of Jordan et al.: singular values end between 0.7 and 1.2
STEPS = 5  # of the iteration
RMS = 0.2  # of an update before it is multiplied by the rate, about that of AdamW (Liu et al. 2025, arXiv 2502.16982)


class Muon(torch.optim.Optimizer):
    """Muon for the matrices of recurrent layers, AdamW with the same rate for everything else.

    Args:
        params: the parameters.
        gates: for each of them, the number of gates whose matrices are stacked in it; 0 leaves it to AdamW.
        momentum: share of the old average of gradients that is kept (Nesterov).
        betas, eps: of AdamW.
        weight_decay: decoupled, for all parameters.
        precision: `bf16` or `float32`, of the orthogonalization.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        gates: Sequence[int],
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        precision: str = "float32",
    ) -> None:
        params = list(params)
        if not 0 <= momentum < 1:
            raise ValueError(f"Invalid momentum value: {momentum}")
        adam = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "fused": True}
        super().__init__(params, {**adam, "momentum": momentum})
        self._matrices = [(value, count) for value, count in zip(params, gates, strict=True) if count]
        self._adamw = torch.optim.AdamW([value for value, count in zip(params, gates, strict=True) if not count], **adam)
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Update all parameters, after a call of `closure`, which Lightning passes to compute the gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        group = self.param_groups[0]
        self._adamw.state = self.state  # so that there is one state, which a checkpoint holds
        self._adamw.param_groups[0].update({key: value for key, value in group.items() if key not in ("params", "momentum")})
        self._adamw.step()
        alike: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for matrix, gates in self._matrices:
            if matrix.grad is not None:
                alike[gates, len(matrix) // gates, matrix.shape[1]].append((matrix, self._direction(matrix, group["momentum"])))
        for (gates, rows, columns), found in alike.items():
            stacked = torch.cat([direction.view(gates, rows, columns) for _, direction in found])
            updates = orthogonalized(stacked.to(self._dtype)).float() * (RMS * max(rows, columns) ** 0.5)
            for (matrix, _), update in zip(found, updates.split(gates), strict=True):
                matrix.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update.reshape(matrix.shape) * group["lr"])
        return loss

    def _direction(self, matrix: Tensor, momentum: float) -> Tensor:
        """Return the average of the gradients so far, one step ahead, and keep the average itself."""
        assert matrix.grad is not None
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(state["momentum_buffer"], momentum)


def orthogonalized(matrices: Tensor) -> Tensor:
    """Return matrices (count, rows, columns) with all singular values moved to about 1, by a Newton-Schulz iteration."""
    a, b, c = COEFFICIENTS
    wide = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
    wide = wide / wide.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(STEPS):
        gram = wide @ wide.mT
        wide = torch.baddbmm(wide, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.mT if matrices.shape[1] > matrices.shape[2] else wide
