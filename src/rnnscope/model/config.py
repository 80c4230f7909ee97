"""The keys of `model`; conf/model/lstm.yaml explains each of them.

Standard library only: help and completion do without torch. `"???"` is how OmegaConf marks a value that must be given.
"""

from dataclasses import dataclass
from typing import Any

from rnnscope.errors import UserError


@dataclass
class ModelConfig:
    cell: str = "???"
    hidden_size: Any = 512  # or a list; a union of the two is not among the types of OmegaConf
    num_layers: int = 1
    input: str = "embedding"
    embedding_size: int | None = None
    dropout: float = 0.0
    input_dropout: float = 0.0
    locked_dropout: bool = False
    embedding_dropout: float = 0.0
    weight_drop: float = 0.0
    residual: bool = False
    tied_weights: bool = False
    bias: bool = True
    train_recurrent: bool = True
    forget_bias: float = 0.0
    rounds: int = 5
    rank: int | None = None
    init: str = "torch"
    init_scale: float = 0.08

    @property
    def sizes(self) -> list[int]:
        """The units of each layer."""
        return self.hidden_size if isinstance(self.hidden_size, list) else [self.hidden_size] * self.num_layers

    @property
    def widest(self) -> int:
        """The units of the largest layer."""
        return max(self.sizes) if isinstance(self.hidden_size, list) else self.hidden_size

    @property
    def shape(self) -> str:
        """Layers and units in short: 2 x 256, or 256-256-128."""
        return (
            "-".join(map(str, self.sizes)) if isinstance(self.hidden_size, list) else f"{self.num_layers} x {self.hidden_size}"
        )


def check_sizes(config: ModelConfig, source: str = "") -> None:
    """Refuse, by a `UserError`, sizes that are not whole numbers, and a list that is not one for each layer."""
    many = isinstance(config.hidden_size, list)
    sizes: list[Any] = config.hidden_size if many else [config.hidden_size]
    key = f"{source}model.hidden_size={'null' if config.hidden_size is None else str(config.hidden_size)[:40]}"
    if not sizes or any(type(size) is not int for size in sizes):
        raise UserError(f"{key} must be a whole number, or one for each layer, as in [256,128]")
    if many and len(sizes) != config.num_layers:
        has = f"has {len(sizes)} sizes for the {config.num_layers} layers of model.num_layers"
        raise UserError(f"{key} {has}: set model.num_layers={len(sizes)}")
