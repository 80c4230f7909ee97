"""The type of every config key, so that a wrong key or a wrong value is refused before anything is built.

Plain dataclasses: importing this file imports neither torch nor Lightning, so help and completion stay quick. What each
key means stands beside it in conf/; the defaults here are the ones that conf/ does not repeat.
"""

from dataclasses import dataclass, field

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from rnnscope.data.config import DatasetConfig


@dataclass
class ModelConfig:
    cell: str = MISSING
    hidden_size: int = 512
    num_layers: int = 1
    input: str = "embedding"
    embedding_size: int | None = None
    dropout: float = 0.0
    input_dropout: float = 0.0
    residual: bool = False
    tied_weights: bool = False
    bias: bool = True
    forget_bias: float = 0.0
    init: str = "torch"
    init_scale: float = 0.08


@dataclass
class OptimizerConfig:
    name: str = MISSING
    lr: float = MISSING
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
class ScheduleConfig:
    name: str = MISSING


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
    state_reset: float = 0.05
    val_every: int = 300
    val_tokens: int | None = None
    checkpoint_every: int = 300
    checkpoint_minutes: float | None = 10.0
    keep_every: int | None = None
    patience: int | None = None
    strategy: str = "single"
    devices: int | None = None


@dataclass
class MonitorConfig:
    scalars_every: int = 10
    updates_every: int = 50
    histograms_every: int = 50
    lines_every: int = 100
    samples_every: int | None = None
    sample_prompt: str = ""
    sample_length: int = 200
    sample_temperatures: list[float] = field(default_factory=lambda: [0.5, 0.8, 1.0])


@dataclass
class TrainConfig:
    dataset: DatasetConfig = MISSING
    model: ModelConfig = MISSING
    optimizer: OptimizerConfig = MISSING
    schedule: ScheduleConfig = MISSING
    trainer: TrainerConfig = MISSING
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    seed: int = 1
    name: str | None = None
    init_from: str | None = None


@dataclass
class GridConfig:
    _target_: str = MISSING
    params: dict[str, str] = field(default_factory=dict)
    jobs: list[list[str]] = field(default_factory=list)
    retry_failed: bool = False
    seconds: float = 10.0


@dataclass
class SearchConfig:
    _target_: str = MISSING
    params: dict[str, str] = field(default_factory=dict)
    n_trials: int = 20
    at_once: int | None = None
    sampler: str = "tpe"
    seed: int = 1
    pruner: str | None = None
    retry_failed: bool = False
    seconds: float = 10.0


@dataclass
class TrainFromConfig:
    parent: str = MISSING
    changes: list[str] = field(default_factory=list)


@dataclass
class ResumeConfig:
    run: str = "latest"
    changes: list[str] = field(default_factory=list)


@dataclass
class ReproduceConfig:
    run: str = "latest"
    until: int | None = None
    text: str | None = None


@dataclass
class SampleConfig:
    run: str = "latest"
    checkpoint: str = "best"
    prompt: str = ""
    length: int = 500
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    count: int = 1
    seed: int | None = None
    stop: str | None = None
    minimum_length: int = 0
    unknown: str = "refuse"


@dataclass
class EvaluateConfig:
    run: str = "latest"
    checkpoint: str = "best"
    split: str = "val"
    text: str | None = None
    precision: str = "auto"
    window: int = 256


@dataclass
class CompareConfig:
    folder: str | None = None
    sort: str = "bits_per_character"
    filter: str | None = None
    columns: str | None = None
    limit: int | None = None
    format: str | None = None
    output: str | None = None
    html: str | None = None
    run: str | None = None
    other: str | None = None


@dataclass
class BenchConfig:
    seconds: float = 40.0
    accelerator: str = "auto"
    precision: str = "auto"
    cases: list[str] = field(default_factory=lambda: ["1x512", "2x128"])


COMMANDS = {
    "train": TrainConfig,
    "train_from": TrainFromConfig,
    "resume": ResumeConfig,
    "reproduce": ReproduceConfig,
    "sample": SampleConfig,
    "evaluate": EvaluateConfig,
    "compare": CompareConfig,
    "bench": BenchConfig,
}
SWEEPERS = {"grid": GridConfig, "optuna": SearchConfig}
GROUPS = {
    "dataset": {"dataset": DatasetConfig},
    "model": {"model": ModelConfig},
    "optimizer": {"sgd": SgdConfig, "adagrad": AdagradConfig, "rmsprop": RmspropConfig, "adam": AdamConfig},
    "schedule": {
        "constant": ConstantConfig,
        "cosine": CosineConfig,
        "step_map": StepMapConfig,
        "exponential": ExponentialConfig,
        "plateau": PlateauConfig,
    },
    "trainer": {"trainer": TrainerConfig},
}


def register() -> None:
    """Tell Hydra the schemas: each file of conf/ names the one it fills in.

    They stand under hydra/, so that neither help nor completion offers them as choices.
    """
    store = ConfigStore.instance()
    for group, kinds in {"_global_": COMMANDS, **GROUPS}.items():
        for name, node in kinds.items():
            store.store(group="hydra/schema", name=name, node=node, package=group, replace=True)
    for name, node in SWEEPERS.items():
        store.store(group="hydra/schema", name=name, node=node, package="hydra.sweeper", replace=True)
