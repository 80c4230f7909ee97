"""Keys that were set but have no effect because of another key: a warning for each of them before training."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from rnnscope.config.schema import TrainConfig
from rnnscope.data.archives import is_tar, is_zip
from rnnscope.model.cells.registry import CELLS
from rnnscope.runs.segments import flatten

Reason = Callable[[TrainConfig], str | None]  # why a key has no effect; None if it has one


def lines_without_effect(config: TrainConfig, keys: Iterable[str]) -> list[str]:
    """Return a warning for each of the dotted keys that has no effect."""
    values = flatten(asdict(config))
    reasons = {key: REASONS[key](config) for key in keys if key in REASONS and values[key] not in (None, [], "")}
    return [f"warning: {key} has no effect: {reason}" for key, reason in reasons.items() if reason]


def without(key: str) -> Reason:
    """Return a reason that holds if a key of dataset.corpus is null."""
    return lambda config: f"dataset.corpus.{key}=null" if getattr(config.dataset.corpus, key) is None else None


def silent(config: TrainConfig) -> str | None:
    return None if config.monitor.sample_length else "monitor.sample_length=0"


def shares(config: TrainConfig) -> str | None:
    own = [key for key in ("val_path", "test_path") if getattr(config.dataset.corpus, key) is not None]
    return f"dataset.corpus.{own[0]} is set" if own else None


def not_words(config: TrainConfig) -> str | None:
    return None if config.dataset.level == "word" else f"dataset.level={config.dataset.level}"


def given_vocabulary(config: TrainConfig) -> str | None:
    return "init_from is set, whose vocabulary is kept" if config.init_from else bytes_alone(config)


def bytes_alone(config: TrainConfig) -> str | None:
    return "dataset.level=byte" if config.dataset.level == "byte" else None


def one_file(config: TrainConfig) -> str | None:
    path = Path(config.dataset.corpus.path or "/")
    plain = path.is_file() and not is_zip(path) and not is_tar(path) and not config.dataset.corpus.packages
    return "dataset.corpus.path is one file, which is always read" if plain else None


def samples(config: TrainConfig) -> str | None:
    return "dataset.windows=samples" if config.dataset.windows == "samples" else None


def no_gate(config: TrainConfig) -> str | None:
    if not config.model.bias:
        return "model.bias=false"
    cell = CELLS.get(config.model.cell)
    return f"model.cell={cell.name} has no forget gate" if cell and cell.forget_gate is None else None


def nothing_dropped(config: TrainConfig) -> str | None:
    model = config.model
    return None if model.dropout or model.input_dropout else "model.dropout=0 and model.input_dropout=0"


def other_average(kind: str) -> Reason:
    """Return the reason where `trainer.average` is not `kind`."""
    return lambda config: None if config.trainer.average == kind else f"trainer.average={config.trainer.average}"


def no_such_key(key: str) -> Reason:
    """Return the reason where a key of `model` is for different cells."""
    with_it = [cell.name for cell in CELLS.values() if key in cell.keys]
    return lambda config: None if config.model.cell in with_it else f"model.cell={config.model.cell}"


def whole_init(config: TrainConfig) -> str | None:
    return f"model.init={config.model.init}" if config.model.init not in ("uniform", "normal") else None


REASONS: dict[str, Reason] = {
    **{f"dataset.corpus.{key}": without("url") for key in ("sha256", "md5")},
    **{f"dataset.corpus.{split}_sha256": without(f"{split}_url") for split in ("val", "test")},
    **{f"dataset.corpus.{key}": without("column") for key in ("delimiter", "header", "escape")},
    **{f"dataset.corpus.{key}": one_file for key in ("include", "exclude")},
    **{f"dataset.split.{key}": shares for key in ("train", "val", "test")},
    "dataset.corpus.path": lambda config: "dataset.corpus.packages is set" if config.dataset.corpus.packages else None,
    "dataset.corpus.lines": lambda config: "dataset.corpus.column is set" if config.dataset.corpus.column else None,
    "dataset.corpus.separator": lambda config: "dataset.start_end is set" if config.dataset.start_end else None,
    "dataset.words": not_words,
    **{f"dataset.{key}": given_vocabulary for key in ("vocabulary_size", "minimum_count", "unk")},
    "model.embedding_size": lambda config: "model.input=one_hot" if config.model.input == "one_hot" else None,
    "model.residual": lambda config: "model.num_layers=1" if config.model.num_layers == 1 else None,
    "model.locked_dropout": nothing_dropped,
    "model.forget_bias": no_gate,
    **{f"model.{key}": no_such_key(key) for key in ("rounds", "rank")},
    "model.init_scale": whole_init,
    "optimizer.lr": lambda config: "schedule=step_map has its own rates" if config.schedule.name == "step_map" else None,
    "trainer.val_tokens": samples,
    "trainer.ema_decay": other_average("ema"),
    "trainer.asgd_interval": other_average("asgd"),
    **{f"monitor.{key}": silent for key in ("sample_prompt", "sample_temperatures", "samples_every")},
}
