"""The optimizers of torch, by name. torch is imported only to create one: help, which lists their keys, stays quick."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rnnscope.errors import UserError, unknown_part
from rnnscope.training.config import AdagradConfig, AdamConfig, OptimizerConfig, RmspropConfig, SgdConfig

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class OptimizerKind:
    """An optimizer of torch.

    Args:
        config: the dataclass of its keys.
        torch_class: its name in `torch.optim`, or the class itself.
        kernels: the options that select its fastest kernels.
        captured: the options with which a CUDA graph can capture its step; None if there are none.
    """

    config: type[OptimizerConfig]
    torch_class: str | type[torch.optim.Optimizer]
    kernels: dict[str, bool]
    captured: dict[str, bool] | None


FUSED, FOREACH, CAPTURABLE = {"fused": True}, {"foreach": True}, {"capturable": True}
OPTIMIZERS = {  # name in the config -> kind
    "sgd": OptimizerKind(SgdConfig, "SGD", FUSED, FUSED),
    "adagrad": OptimizerKind(AdagradConfig, "Adagrad", FOREACH, None),  # it computes its rate on the host in every step
    "rmsprop": OptimizerKind(RmspropConfig, "RMSprop", FOREACH, FOREACH | CAPTURABLE),
    "adam": OptimizerKind(AdamConfig, "Adam", FUSED, FUSED | CAPTURABLE),
    "adamw": OptimizerKind(AdamConfig, "AdamW", FUSED, FUSED | CAPTURABLE),
}


def make_optimizer(
    parameters: Iterable[torch.nn.Parameter], name: str, lr: float, *, capturable: bool = False, **options: Any
) -> torch.optim.Optimizer:
    """Return the optimizer `name` with torch's arguments in `options`.

    Args:
        capturable: keep its learning rate on the GPU, so that a CUDA graph can capture its step; it then rounds slightly
            differently. Ignored by an optimizer that cannot be captured (see `is_capturable`).

    Raises:
        UserError: for an unknown name, or a value that torch refuses, naming the key.
    """
    import torch

    if name not in OPTIMIZERS:
        raise UserError(unknown_part("optimizer.name", name, OPTIMIZERS))
    if not lr > 0:
        raise UserError(f"optimizer.lr={lr} must be above 0")
    kind = OPTIMIZERS[name]
    if "betas" in options:
        options["betas"] = tuple(options["betas"])
        if len(options["betas"]) != 2:
            raise UserError(f"optimizer.betas={list(options['betas'])} must be two numbers, as in [0.9, 0.99]")
    trained, kernels, rate = list(parameters), kind.kernels, lr
    if capturable and kind.captured is not None:
        kernels, rate = kind.captured, torch.tensor(lr, device=trained[0].device)
    try:
        make: Any = getattr(torch.optim, kind.torch_class) if isinstance(kind.torch_class, str) else kind.torch_class
        return make(trained, lr=rate, **options, **kernels)
    except (ValueError, TypeError) as error:
        raise UserError(f"optimizer={name} does not accept its settings: {error}; see conf/optimizer/{name}.yaml") from error


def is_capturable(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a CUDA graph can capture a step of this optimizer."""
    from torch import Tensor

    return all(isinstance(group["lr"], Tensor) for group in optimizer.param_groups)
