"""The keys of `model`. What each means stands in conf/model/lstm.yaml.

Standard library only: help and completion stay free of torch. `"???"` is OmegaConf's mark of a value that must be given.
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
