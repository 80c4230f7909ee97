"""`init_from=<run>`: a new run that starts with the vocabulary and best weights of an earlier one."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rnnscope.config.schema import TrainConfig
from rnnscope.config.validate import recorded_config
from rnnscope.errors import UserError
from rnnscope.model.language_model import LanguageModel
from rnnscope.runs.checkpoints import BEST
from rnnscope.runs.find import find_run
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.load import LoadedRun, load
from rnnscope.runs.record import Record, parent_entry
from rnnscope.runs.segments import differences
from rnnscope.runs.weights import fill_model, hash_weights


def adopt(config: TrainConfig, typed: Iterable[str]) -> tuple[TrainConfig, dict[str, Any] | None]:
    """Return `config` with the model section of the run it starts from, and the `parent` entry for its record.

    Args:
        typed: the keys that the user set; those of the model must agree with that run.

    Raises:
        UserError: if the run does not exist, or a key of the model was set to a different value.
    """
    if config.init_from is None:
        return config, None
    parent = find_run(config.init_from, "init_from")
    record = Record.read(parent.record)
    model = recorded_config(parent, record).model
    wanted = [key for key in typed if key == "model" or key.startswith("model.")]
    refuse_other_model(asdict(config.model), asdict(model), parent.path, None if "model" in wanted else wanted)
    return replace(config, init_from=str(parent.path.resolve()), model=model), parent_entry(record, init_from=True)


def refuse_other_model(own: dict[str, Any], parent: dict[str, Any], path: Path, keys: list[str] | None = None) -> None:
    """Check that a model section equals the parent's; with `keys`, only these dotted keys are compared.

    Raises:
        UserError: if it does not, naming the first key that differs.
    """
    for key, (value, wanted) in differences({"model": own}, {"model": parent}).items():
        if keys is None or key in keys:
            raise UserError(
                f"{key}={value}: init_from={path} has {key}={wanted}, and its weights fit only that: leave {key} out"
            )


def starting_run(config: TrainConfig) -> LoadedRun | None:
    """Open the run that a config starts from, or return None if it starts from none.

    Raises:
        UserError: if the run or its weights are missing, or its model differs.
    """
    if config.init_from is None:
        return None
    folder = RunFolder(Path(config.init_from))
    if folder.config.exists() and not folder.weights.exists() and not (folder.checkpoints / BEST).exists():
        raise UserError(f"init_from={folder.path} has no best weights, which a run has from its first validation on")
    try:
        found = load(config.init_from)
    except UserError as error:
        raise UserError(
            f"init_from={config.init_from}: the weights that this run starts from cannot be read ({error}); put that run back"
            " there (rnnscope runs restore, or rename)"
        ) from None
    refuse_other_model(asdict(config.model), found.config["model"], found.folder.path)
    return found


def copy_weights(model: LanguageModel, start: LoadedRun, wanted: str | None) -> str:
    """Fill `model` with the weights of `start` and return their hash.

    Raises:
        UserError: if their hash is not `wanted`.
    """
    found = hash_weights(start.model)
    if wanted is not None and found != wanted:
        raise UserError(f"init_from={start.folder.path}: its best weights have changed since this run started from them")
    fill_model(model, {name: value.detach() for name, value in start.model.named_parameters()}, start.folder.path)
    return found
