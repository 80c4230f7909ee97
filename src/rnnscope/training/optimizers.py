"""The optimizers, by name. torch is imported only to create one: help, which lists their keys, stays quick."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rnnscope.errors import UserError, unknown_part
from rnnscope.training.config import AdagradConfig, AdamConfig, MuonConfig, OptimizerConfig, RmspropConfig, SgdConfig

if TYPE_CHECKING:
    import torch

    from rnnscope.model.language_model import LanguageModel


@dataclass(frozen=True)
class OptimizerKind:
    """An optimizer.

    Args:
        config: the dataclass of its keys.
        torch_class: its name in `torch.optim`, its full name, or the class itself.
        kernels: the options that select its fastest kernels.
        captured: the options with which a CUDA graph can capture its step; None if there are none.
        by_gate: whether it is told how many gates are stacked in each parameter, and the precision of products.
    """

    config: type[OptimizerConfig]
    torch_class: str | type[torch.optim.Optimizer]
    kernels: dict[str, bool]
    captured: dict[str, bool] | None
    by_gate: bool = False


FUSED, FOREACH, CAPTURABLE = {"fused": True}, {"foreach": True}, {"capturable": True}
OPTIMIZERS = {  # name in the config -> kind
    "sgd": OptimizerKind(SgdConfig, "SGD", FUSED, FUSED),
    "adagrad": OptimizerKind(AdagradConfig, "Adagrad", FOREACH, None),  # it computes its rate on the host in every step
    "rmsprop": OptimizerKind(RmspropConfig, "RMSprop", FOREACH, FOREACH | CAPTURABLE),
    "adam": OptimizerKind(AdamConfig, "Adam", FUSED, FUSED | CAPTURABLE),
    "adamw": OptimizerKind(AdamConfig, "AdamW", FUSED, FUSED | CAPTURABLE),
    "muon": OptimizerKind(MuonConfig, "rnnscope.training.muon.Muon", {}, None, by_gate=True),
}


def make_optimizer(
    model: LanguageModel, name: str, lr: float, *, capturable: bool = False, precision: str = "float32", **options: Any
) -> torch.optim.Optimizer:
    """Return the optimizer `name` for a model, with torch's arguments in `options`.

    Args:
        capturable: keep its learning rate on the GPU, so that a CUDA graph can capture its step; it then rounds slightly
            differently. Ignored by an optimizer that cannot be captured (see `is_capturable`).
        precision: `float32` or `bf16`, of matrix products in the step.

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
    trained, kernels, rate = model.trained(), kind.kernels, lr
    if capturable and kind.captured is not None:
        kernels, rate = kind.captured, torch.tensor(lr, device=model.head.weight.device)
    if kind.by_gate:
        gates = model.stacked_gates()
        options |= {"gates": [gates.get(key, 0) for key in trained], "precision": precision}
    try:
        return _class_of(kind)(list(trained.values()), lr=rate, **options, **kernels)
    except (ValueError, TypeError) as error:
        where = f"see conf/optimizer/{name}.yaml" if isinstance(kind.torch_class, str) else f"see {kind.config.__name__}"
        raise UserError(f"optimizer={name} does not accept its settings: {error}; {where}") from error


def _class_of(kind: OptimizerKind) -> Any:
    if not isinstance(kind.torch_class, str):
        return kind.torch_class
    module, _, name = kind.torch_class.rpartition(".")
    return getattr(importlib.import_module(module or "torch.optim"), name)


def is_capturable(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a CUDA graph can capture a step of this optimizer."""
    from torch import Tensor

    return all(isinstance(group["lr"], Tensor) for group in optimizer.param_groups)
