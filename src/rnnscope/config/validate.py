"""Plain values become a typed config.

They may come from an untrusted file: they are checked against the schema, and nothing is resolved or built.
"""

import math
from dataclasses import asdict, fields, is_dataclass, replace
from functools import reduce
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rnnscope.config.hydra_errors import one_line
from rnnscope.config.schema import TrainConfig
from rnnscope.errors import UserError, check_choice, check_least, check_seed, unknown_part
from rnnscope.model.config import check_sizes
from rnnscope.model.drawing import check_temperature
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.record import Record
from rnnscope.runs.segments import config_in_force, flatten
from rnnscope.runs.snapshot import read_config
from rnnscope.training.averaging import AVERAGES
from rnnscope.training.optimizers import OPTIMIZERS
from rnnscope.training.schedules import SCHEDULES

SECTIONS = ("dataset", "dataset.corpus", "dataset.split", "model", "optimizer", "schedule", "trainer", "monitor")
LIMITS = {  # far above any useful size, and below what exhausts a machine before the first step
    "model.hidden_size": 65_536,
    "model.num_layers": 1_000,
    "model.embedding_size": 65_536,
    "dataset.batch_size": 1_000_000,
    "dataset.val_batch_size": 1_000_000,
    "dataset.sequence_length": 1_000_000,
    "dataset.vocabulary_size": 10_000_000,
    "trainer.threads": 4_096,
    "trainer.devices": 1_024,
    "monitor.sample_length": 1_000_000,
}
WINDOW_LIMIT = 100_000_000  # tokens of a window
TEMPERATURES = 100  # of monitor.sample_temperatures
DEPTH = 8  # levels of nesting; the schema has three
AT_LEAST_ONE = {
    "trainer": ("max_steps", "val_every", "val_tokens", "checkpoint_every", "keep_every", "patience", "devices"),
    "monitor": ("scalars_every", "updates_every", "histograms_every", "activations_every", "samples_every", "lines_every"),
}
FLOAT32 = 1e-38, 1e38  # about the smallest and largest positive numbers in float32, which training uses
MAY_BE_INFINITE = ("trainer.max_minutes", "trainer.checkpoint_minutes", "trainer.clip_norm", "trainer.clip_value")
ABOVE_ZERO = ("max_epochs", "max_minutes", "checkpoint_minutes", "clip_norm", "clip_value")


def from_plain(config: dict[str, Any], source: str | None = None) -> TrainConfig:
    """Return nested plain values as a config. The type of each key is checked; keys that an older rnnscope lacked are added.

    Args:
        source: the file, for messages; None if the config comes from the command line.

    Raises:
        UserError: for an unknown key (a `_target_`, say), a value of the wrong type, and a size that would exhaust the
            machine; it names the key.
    """
    texts: list[str] = []
    where = f"{source}: " if source else ""
    try:
        merged = OmegaConf.merge(OmegaConf.structured(TrainConfig), sections(config), hide(config, texts, DEPTH))
        found = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        message, key = one_line(error, "train"), str(getattr(error, "full_key", None) or "")
        raise UserError(f"{where}{message if key in message else f'{key}: {message}'}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{where}not a config of rnnscope ({error})") from error
    checked: TrainConfig = show(found, texts)
    check_limits(checked, where)
    return checked


def recorded_config(run: RunFolder, record: Record) -> TrainConfig:
    """Return the config in force at the end of a run."""
    return from_plain(config_in_force(read_config(run), record), str(run.config))


def filled_in(run: RunFolder, record: Record) -> list[str]:
    """Return a line for each key that an older rnnscope lacked: it gets today's default."""
    old, new = flatten(config_in_force(read_config(run), record)), flatten(asdict(recorded_config(run, record)))
    return [f"config.yaml has no {key}: using {value}" for key, value in new.items() if key not in old]


def sections(config: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the sections whose keys depend on their `name`."""
    for key in SECTIONS:
        value = reduce(lambda inner, part: inner.get(part, {}), key.split("."), cast(Any, config))
        if not isinstance(value, dict):
            raise ValueError(f"{key} is a {type(value).__name__}, not keys and values")
    found: dict[str, Any] = {}
    registries: dict[str, Any] = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES}
    for key, kinds in registries.items():
        if (name := config.get(key, {}).get("name")) is None:
            raise ValueError(f"it has no {key}.name")
        if not isinstance(name, str) or name not in kinds:
            raise ValueError(unknown_part(f"{key}.name", name, kinds))
        found[key] = OmegaConf.structured(kinds[name].config)
    return found


def hide(value: Any, texts: list[str], depth: int) -> Any:
    """Return nested values in which texts with a meaning in OmegaConf are replaced by marks; `texts` keeps them."""
    if not depth:
        raise ValueError("it is nested too deeply")
    if isinstance(value, dict):
        return {_key(key): hide(inner, texts, depth - 1) for key, inner in cast(dict[Any, Any], value).items()}
    if isinstance(value, list):
        return [hide(inner, texts, depth - 1) for inner in cast(list[Any], value)]
    if isinstance(value, str) and ("${" in value or value == "???" or "\0" in value):
        texts.append(value)
        return f"\0{len(texts) - 1}"
    return value


def _key(key: Any) -> Any:
    """Return the key of a map; the steps of a step map are numbers, which JSON writes as text."""
    return int(key) if isinstance(key, str) and key.isdecimal() and len(key) < 19 else key


def show(value: Any, texts: list[str]) -> Any:
    """Undo `hide`, in dataclasses."""
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: show(getattr(value, field.name), texts) for field in fields(value)})
    if isinstance(value, dict):
        return {key: show(inner, texts) for key, inner in cast(dict[Any, Any], value).items()}
    if isinstance(value, list):
        return [show(inner, texts) for inner in cast(list[Any], value)]
    return texts[int(value[1:])] if isinstance(value, str) and value.startswith("\0") else value


def check_limits(config: TrainConfig, where: str) -> None:
    """Raise `UserError`, naming the key, for sizes that no machine can hold."""
    check_sizes(config.model, where)
    flat = flatten(asdict(config))
    for key, limit in LIMITS.items():
        sizes = flat[key] if isinstance(flat[key], list) else [flat[key] or 0]
        if max(sizes) > limit:
            raise UserError(f"{where}{key}={flat[key]} must be at most {limit}")
    for key in ("batch_size", "val_batch_size"):
        if flat[f"dataset.{key}"] * flat["dataset.sequence_length"] > WINDOW_LIMIT:
            raise UserError(f"{where}dataset.{key} times dataset.sequence_length must be at most {WINDOW_LIMIT} tokens")
    if len(flat["monitor.sample_temperatures"]) > TEMPERATURES:
        raise UserError(f"{where}monitor.sample_temperatures must have at most {TEMPERATURES} values")


def check_config(config: TrainConfig) -> None:
    """Refuse numbers outside their range.

    Raises:
        UserError: for the first of them, naming the key.
    """
    trainer = config.trainer
    check_floats(config)
    for group, keys in AT_LEAST_ONE.items():
        for key in keys:
            check_least(f"{group}.{key}", getattr(getattr(config, group), key), 1)
    for key in ABOVE_ZERO:
        value = getattr(trainer, key)
        if value is not None and not value > 0:
            raise UserError(f"trainer.{key}={value} must be above 0, or null for none")
    for key in ("activation_penalty", "temporal_penalty"):
        if getattr(trainer, key) < 0:
            raise UserError(f"trainer.{key}={getattr(trainer, key)} must not be negative; 0 adds nothing to the loss")
    check_choice("trainer.average", trainer.average, AVERAGES)
    check_least("trainer.asgd_interval", trainer.asgd_interval, 1)
    if config.dataset.windows == "many_to_one":
        needed = config.dataset.sequence_length + 1
        check_least("trainer.val_tokens", trainer.val_tokens, needed, "null for all; a window and its target")
    if not 0 <= trainer.state_reset <= 1:
        raise UserError(f"trainer.state_reset={trainer.state_reset} must lie in [0, 1]: it is a share of columns")
    if not (eps := getattr(config.optimizer, "eps", 1)) > 0:
        raise UserError(f"optimizer.eps={eps} must be above 0: the update of a parameter without a gradient would be 0/0")
    if (horizon := getattr(config.schedule, "horizon", None)) is not None and horizon < 1:
        raise UserError(f"schedule.horizon={horizon} must be at least 1, or null for the end of the budget")
    for group, key in (("optimizer", "momentum"), ("optimizer", "alpha"), ("trainer", "ema_decay")):
        if not 0 <= (share := getattr(getattr(config, group), key, 0)) < 1:
            raise UserError(f"{group}.{key}={share} must lie in [0, 1): it is the share of the old average that is kept")
    if trainer.clip_norm is not None and trainer.clip_value is not None:
        raise UserError("trainer.clip_norm and trainer.clip_value are both set: set one of them to null")
    if trainer.max_steps is None and trainer.max_epochs is None and trainer.max_minutes is None:
        raise UserError("this training would never end: set trainer.max_steps, trainer.max_epochs or trainer.max_minutes")
    check_seed(config.seed)
    for temperature in config.monitor.sample_temperatures:
        check_temperature(temperature, "monitor.sample_temperatures")
    if config.monitor.sample_length < 0:
        raise UserError(f"monitor.sample_length={config.monitor.sample_length} must be at least 1, or 0 for no samples")


def check_floats(config: TrainConfig) -> None:
    """Refuse numbers that are not finite, or not in float32, which training uses.

    Raises:
        UserError: for the first of them, naming the key.
    """
    least, most = FLOAT32
    for key, value in flatten(asdict(config)).items():
        for number in cast(list[Any], value if isinstance(value, list) else [value]):
            if not isinstance(number, float) or not number or (math.isinf(number) and key in MAY_BE_INFINITE):
                continue
            if not math.isfinite(number):
                raise UserError(f"{key}={number} must be a finite number")
            if not least <= abs(number) <= most:
                raise UserError(f"{key}={number} is outside the range of float32: use a size from {least} to {most}, or 0")
