"""The keys of `model`; conf/model/lstm.yaml explains each of them.

Standard library only: help and completion do without torch. `"???"` is how OmegaConf marks a value that must be given.
"""

from dataclasses import dataclass


@dataclass
class ModelConfig:
    cell: str = "???"
    hidden_size: int = 512
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
    forget_bias: float = 0.0
    rounds: int = 5
    rank: int | None = None
    init: str = "torch"
    init_scale: float = 0.08
