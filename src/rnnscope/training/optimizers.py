"""The update rules: torch's own, by name."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from rnnscope.errors import UserError

# name in the config -> (torch's class, whether torch has a fused kernel for it on CPU and GPU)
OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], bool]] = {
    "sgd": (torch.optim.SGD, True),
    "adagrad": (torch.optim.Adagrad, False),
    "rmsprop": (torch.optim.RMSprop, False),
    "adam": (torch.optim.Adam, True),
    "adamw": (torch.optim.AdamW, True),
}


def make_optimizer(parameters: Iterable[nn.Parameter], name: str, lr: float, **options: Any) -> torch.optim.Optimizer:
    """Return the optimiser `name` with torch's arguments in `options`.

    Raises:
        UserError: for an unknown name or a value torch refuses, naming the key.
    """
    if name not in OPTIMIZERS:
        raise UserError(f"optimizer.name={name} is unknown: choose one of {', '.join(OPTIMIZERS)}")
    if not lr > 0:
        raise UserError(f"optimizer.lr={lr} must be above 0")
    kind, fused = OPTIMIZERS[name]
    if "betas" in options:
        options["betas"] = tuple(options["betas"])
        if len(options["betas"]) != 2:
            raise UserError(f"optimizer.betas={list(options['betas'])} must be two numbers, as in [0.9, 0.99]")
    speed = {"fused": True} if fused else {"foreach": True}
    try:
        return kind(list(parameters), lr=lr, **options, **speed)  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        raise UserError(f"optimizer={name} refuses its settings: {error}; see conf/optimizer/{name}.yaml") from error
