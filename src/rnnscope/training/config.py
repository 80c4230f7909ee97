"""The keys of `optimizer`, `schedule` and `trainer`; conf/ explains each of them.

Standard library only: help and completion do without torch. `"???"` is how OmegaConf marks a value that must be given.
"""

from dataclasses import dataclass, field


@dataclass
class OptimizerConfig:
    name: str = "???"
    lr: float = "???"  # type: ignore[assignment]
    weight_decay: float = 0.0


@dataclass
class SgdConfig(OptimizerConfig):
    momentum: float = 0.0
    nesterov: bool = False


@dataclass
class AdagradConfig(OptimizerConfig):
    eps: float = 1e-10


@dataclass
class RmspropConfig(OptimizerConfig):
    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0


@dataclass
class AdamConfig(OptimizerConfig):
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    eps: float = 1e-8


@dataclass
class MuonConfig(AdamConfig):
    momentum: float = 0.95


@dataclass
class ScheduleConfig:
    name: str = "???"


@dataclass
class ConstantConfig(ScheduleConfig):
    pass


@dataclass
class CosineConfig(ScheduleConfig):
    warmup_steps: int = 0
    final_fraction: float = 0.0
    horizon: int | None = None


@dataclass
class StepMapConfig(ScheduleConfig):
    rates: dict[int, float] | None = None


@dataclass
class ExponentialConfig(ScheduleConfig):
    factor: float = 0.97
    after_epochs: int = 0


@dataclass
class PlateauConfig(ScheduleConfig):
    watch: str = "val/loss"
    factor: float = 0.5
    patience: int = 0


@dataclass
class TrainerConfig:
    accelerator: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    deterministic: bool = True
    cuda_graph: str = "auto"
    max_steps: int | None = None
    max_epochs: float | None = None
    max_minutes: float | None = None
    clip_norm: float | None = 1.0
    clip_value: float | None = None
    activation_penalty: float = 0.0
    temporal_penalty: float = 0.0
    average: str = "none"
    ema_decay: float = 0.999
    asgd_interval: int = 5
    state_reset: float = 0.05
    val_every: int = 300
    val_tokens: int | None = None
    checkpoint_every: int = 300
    checkpoint_minutes: float | None = 10.0
    keep_every: int | None = None
    patience: int | None = None
    strategy: str = "single"
    devices: int | None = None
