"""The update rules: torch's own, by name."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from rnnscope.errors import UserError

FUSED, FOREACH = {"fused": True}, {"foreach": True}
# name in the config -> (torch's class, options of its fastest kernels, and those with which a CUDA graph can hold it on a GPU)
OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any], dict[str, Any] | None]] = {
    "sgd": (torch.optim.SGD, FUSED, FUSED),
    "adagrad": (torch.optim.Adagrad, FOREACH, None),  # it works out its rate on the host in every step
    "rmsprop": (torch.optim.RMSprop, FOREACH, {**FOREACH, "capturable": True}),
    "adam": (torch.optim.Adam, FUSED, {**FUSED, "capturable": True}),
    "adamw": (torch.optim.AdamW, FUSED, {**FUSED, "capturable": True}),
}


def make_optimizer(
    parameters: Iterable[nn.Parameter], name: str, lr: float, *, capturable: bool = False, **options: Any
) -> torch.optim.Optimizer:
    """Return the optimizer `name` with torch's arguments in `options`.

    Args:
        capturable: on a GPU, have it read its learning rate there, so that a CUDA graph can hold its step; it then rounds
            a little differently. An optimizer that cannot do so stays as it is (see `is_capturable`).

    Raises:
        UserError: for an unknown name or a value torch refuses, naming the key.
    """
    if name not in OPTIMIZERS:
        raise UserError(f"optimizer.name={name} is unknown: choose one of {', '.join(OPTIMIZERS)}")
    if not lr > 0:
        raise UserError(f"optimizer.lr={lr} must be above 0")
    kind, kernels, captured = OPTIMIZERS[name]
    if "betas" in options:
        options["betas"] = tuple(options["betas"])
        if len(options["betas"]) != 2:
            raise UserError(f"optimizer.betas={list(options['betas'])} must be two numbers, as in [0.9, 0.99]")
    trained, rate = list(parameters), lr
    if capturable and captured is not None:
        kernels, rate = captured, torch.tensor(lr, device=trained[0].device)
    try:
        return kind(trained, lr=rate, **options, **kernels)  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        raise UserError(f"optimizer={name} refuses its settings: {error}; see conf/optimizer/{name}.yaml") from error


def is_capturable(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a CUDA graph can hold a step of this optimizer."""
    return all(isinstance(group["lr"], Tensor) for group in optimizer.param_groups)
