"""The type of every config key, so that a wrong key or value is refused before anything is built.

These are plain dataclasses: importing this file imports neither torch nor Lightning, so help and completion are quick.
conf/ explains each key; the defaults here are for keys that conf/ does not set.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from rnnscope.data.config import READER_VERSION, CorpusConfig, DatasetConfig
from rnnscope.errors import UserError
from rnnscope.format import plain
from rnnscope.model.config import ModelConfig
from rnnscope.monitor.config import MonitorConfig
from rnnscope.runs.expectation import Expectation
from rnnscope.training.config import OptimizerConfig, ScheduleConfig, TrainerConfig
from rnnscope.training.optimizers import OPTIMIZERS
from rnnscope.training.schedules import SCHEDULES


@dataclass
class ExtensionsConfig:
    """The keys that name code to run; a recorded config never has them."""

    callbacks: dict[str, Any] = field(default_factory=dict[str, Any])
    logger: dict[str, Any] = field(default_factory=dict[str, Any])
    callback_classes: list[str] = field(default_factory=list[str])
    plugins: list[str] = field(default_factory=list[str])
    notify: str | None = None

    @property
    def in_lightning(self) -> bool:
        """Whether they need Lightning's own loop, in which a batch is one window."""
        return bool(self.callbacks or self.logger or self.callback_classes)

    def alone(self) -> "ExtensionsConfig":
        """Return these keys without the others of a command."""
        return ExtensionsConfig(self.callbacks, self.logger, self.callback_classes, self.plugins, self.notify)


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
    expect: list[Expectation] = field(default_factory=list[Expectation])


@dataclass
class TrainCommand(ExtensionsConfig, TrainConfig):
    """What Hydra composes for `rnnscope train`."""


@dataclass
class GridConfig:
    _target_: str = MISSING
    params: dict[str, str] = field(default_factory=dict[str, str])
    jobs: list[list[str]] = field(default_factory=list[list[str]])
    retry_failed: bool = False
    seconds: float = 10.0


@dataclass
class SearchConfig:
    _target_: str = MISSING
    params: dict[str, str] = field(default_factory=dict[str, str])
    n_trials: int = 20
    at_once: int | None = None
    sampler: str = "tpe"
    seed: int = 1
    pruner: str | None = None
    seeds: int = 1
    retry_failed: bool = False
    seconds: float = 10.0


@dataclass
class TrainFromConfig(ExtensionsConfig):
    parent: str = MISSING
    data: str | None = None
    changes: list[str] = field(default_factory=list[str])


@dataclass
class ResumeConfig(ExtensionsConfig):
    run: str = "latest"
    data: str | None = None
    changes: list[str] = field(default_factory=list[str])


@dataclass
class ReproduceConfig(ExtensionsConfig):
    run: str = "latest"
    of_sweep: str | None = None
    until: int | None = None
    data: str | None = None
    json: bool = False


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
    novel: bool = False
    plugins: list[str] = field(default_factory=list[str])


@dataclass
class EvaluateConfig:
    run: str = "latest"
    checkpoint: str = "best"
    split: str = "val"
    data: str | None = None
    text: str | None = None
    lines: bool = False
    precision: str = "auto"
    window: int = 256
    json: bool = False
    ngram: int | None = 10
    samples: int | None = None
    length: int = 1000
    temperatures: list[float] = field(default_factory=lambda: [1.0, 0.2])
    dynamic: bool = False
    tuned_temperature: bool = False
    others: str | None = None
    plugins: list[str] = field(default_factory=list[str])


@dataclass
class CompareConfig:
    folder: str | None = None
    sort: str = "bits_per_character"
    filter: str | None = None
    columns: str | None = None
    limit: int | None = None
    group: str | None = None
    reproductions: bool = False
    format: str | None = None
    json: bool = False
    output: str | None = None
    html: str | None = None
    run: str | None = None
    other: str | None = None


@dataclass
class VisualizeConfig:
    run: str = "latest"
    checkpoint: str = "best"
    page: str = "inside"
    text: str | None = None
    split: str = "val"
    data: str | None = None
    characters: int = 5000
    unit: str | None = None
    memory: bool = True
    causal: bool = True
    steps: list[int] = field(default_factory=lambda: [100, 300, 500, 700, 1200, 2000])
    output: str | None = None
    plugins: list[str] = field(default_factory=list[str])


@dataclass
class GradcheckConfig:
    model: ModelConfig = MISSING
    run: str | None = None
    vocabulary_size: int = 11
    seed: int = 1
    max_minutes: float = 2.0
    plugins: list[str] = field(default_factory=list[str])


@dataclass
class RunsConfig:
    action: str | None = None
    run: str | None = None
    filter: str | None = None
    folder: str | None = None
    tags: str | None = None
    note: str | None = None
    name: str | None = None
    older_than: str | None = None
    yes: bool = False
    json: bool = False


@dataclass
class ExportConfig:
    run: str = "latest"
    checkpoint: str = "best"
    format: str = "onnx"
    output: str | None = None
    plugins: list[str] = field(default_factory=list[str])


@dataclass
class BenchConfig:
    seconds: float = 40.0
    accelerator: str = "auto"
    precision: str = "auto"
    cases: list[str] = field(default_factory=lambda: ["1x512", "2x128"])


COMMANDS = {
    "train": TrainCommand,
    "train_from": TrainFromConfig,
    "resume": ResumeConfig,
    "reproduce": ReproduceConfig,
    "sample": SampleConfig,
    "evaluate": EvaluateConfig,
    "compare": CompareConfig,
    "visualize": VisualizeConfig,
    "gradcheck": GradcheckConfig,
    "runs": RunsConfig,
    "export": ExportConfig,
    "bench": BenchConfig,
}
SWEEPERS = {"grid": GridConfig, "optuna": SearchConfig}
GROUPS = {
    "dataset": {"dataset": DatasetConfig(corpus=CorpusConfig(reader_version=READER_VERSION))},
    "model": {"model": ModelConfig},
    "optimizer": {name: kind.config for name, kind in OPTIMIZERS.items()},
    "schedule": {name: kind.config for name, kind in SCHEDULES.items()},
    "trainer": {"trainer": TrainerConfig},
}


PLUGGED: dict[tuple[str, str], Any] = {}  # (group, choice) -> its node: the choices that plug-ins add to conf/


def typed_keys(kind: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every dotted key of a schema and its type, including those of all choices of a group."""
    hints = get_type_hints(kind)
    for name in (found.name for found in fields(kind)):
        key, hint = f"{prefix}{name}", hints[name]
        yield key, hint
        if isinstance(hint, type) and is_dataclass(hint):
            for option in [hint, *type.__subclasses__(hint)]:
                yield from typed_keys(option, f"{key}.")


def is_whole(kind: Any, key: str) -> bool:
    """Whether a dotted key of a schema takes whole numbers."""
    return any((key, hint) in typed_keys(kind) for hint in (int, int | None, Any))


def refuse_without_effect(config: Any, keys: Iterable[str], where: str) -> None:
    """Refuse keys of a command that were set and have no effect.

    Args:
        where: they have none, as in `to two runs`.

    Raises:
        UserError: naming the first of them.
    """
    usual = type(config)()
    for key in keys:
        if (value := getattr(config, key)) != getattr(usual, key):
            raise UserError(f"{key}={plain(value)} does not apply {where}; leave it out")


def register() -> None:
    """Register the schemas with Hydra: each file in conf/ names the one that it fills in.

    They are stored under hydra/, so neither help nor completion offers them as choices.
    """
    store = ConfigStore.instance()
    for group, kinds in {"_global_": COMMANDS, **GROUPS}.items():
        for name, node in kinds.items():
            store.store(group="hydra/schema", name=name, node=node, package=group, replace=True)
    for (group, name), node in PLUGGED.items():
        store.store(group=group, name=name, node=node, package=group, replace=True)
    for name, node in SWEEPERS.items():
        store.store(group="hydra/schema", name=name, node=node, package="hydra.sweeper", replace=True)
