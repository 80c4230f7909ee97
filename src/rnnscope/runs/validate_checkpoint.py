"""Whether training can continue from a checkpoint of unknown origin: everything is there, of the right type and size."""

import math
import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from rnnscope.errors import UserError
from rnnscope.model.language_model import LanguageModel
from rnnscope.runs.plain_values import is_list, is_mapping
from rnnscope.runs.record import value_at
from rnnscope.runs.version import check_version

FORMAT = 1  # version of the contents of a checkpoint; a newer one is refused
OWN_NAME = re.compile(r"best\.ckpt|step_\d{1,18}\.ckpt")  # the names that last.ckpt may have as well


def check_whole(saved: dict[str, Any], source: str) -> None:
    """Raise a `UserError` if a checkpoint is incomplete or malformed; callbacks check their own state themselves."""
    check_version("format", saved.get("format"), FORMAT, source)
    task, names = saved.get("task"), saved.get("names")
    whole = is_mapping(task) and isinstance(saved.get("ended"), bool)
    whole = whole and is_list(names) and all(OWN_NAME.fullmatch(str(name)) for name in names)
    whole = whole and all(is_mapping(saved.get(key)) for key in ("monitors", "random", "offsets"))
    if not whole or not _is_task(task):
        raise UserError(
            f"{source} is not a checkpoint that training can continue from: a different version of rnnscope wrote it"
        )


def _is_task(task: Any) -> bool:
    counts = [task.get(key) for key in ("step", "epoch", "tokens_seen")]
    return (
        all(type(count) is int and count >= 0 for count in counts)
        and _are_sums(task.get("tally"))
        and _are_sums(task.get("watched"))
        and all(type(value) in (int, float) and not math.isnan(value) for value in leaves(task.get("schedule")))
        and is_mapping(task.get("optimizer"))
        and _is_average(task.get("average"))
    )


def _is_average(value: Any) -> bool:
    """Whether this is what `WeightAverage.state` gives, or nothing."""
    if value is None:
        return True
    return (
        is_mapping(value)
        and [type(value.get(key)) for key in ("kind", "begun", "steps")] == [str, bool, int]
        and value["steps"] >= 0
        and is_list(value.get("losses"))
        and all(type(loss) is float for loss in value["losses"])
        and is_mapping(value.get("weights"))
    )


def _are_sums(value: Any) -> bool:
    """Whether this is what `RunningSums.state` returns: a sum, two counts, a sum; a sum of nothing is None."""
    if not is_list(value) or [type(count) for count in value[1:3]] != [int, int] or len(value) != 4:
        return False
    return all(sum is None or (isinstance(sum, Tensor) and sum.numel() == 1) for sum in (value[0], value[3]))


def leaves(value: Any) -> Iterator[Any]:
    """Yield the values of nested mappings that are not mappings themselves."""
    if is_mapping(value):
        for inner in value.values():
            yield from leaves(inner)
    else:
        yield value


def check_fit(saved: dict[str, Any], model: LanguageModel, batch_size: int, source: str) -> None:
    """Check that the carried state and the optimizer state of a checkpoint have the sizes of this model.

    Args:
        batch_size: columns of this process.

    Raises:
        UserError: if they do not, naming the file.
    """
    task, parameters = saved["task"], dict(enumerate(model.trained().values()))
    states = task["optimizer"].get("state")
    fits = is_mapping(states) and states.keys() <= parameters.keys()
    fits = fits and all(_fits_parameter(state, parameters[index]) for index, state in states.items())
    fits = fits and _fits_average(value_at(task, "average.weights"), model)
    others = saved.get("others", [])  # the parts of the processes besides rank 0
    fits = fits and is_list(others) and all(is_mapping(part) and "random" in part for part in others)
    if not fits or not all(_fits_cells(part.get("carried"), model, batch_size) for part in (task, *others)):
        raise UserError(
            f"{source} does not fit config.yaml: its optimizer, average or carried state belongs to a different model"
        )


def _fits_average(weights: Any, model: LanguageModel) -> bool:
    trained = {name: value.shape for name, value in model.trained().items()}
    return not weights or {name: getattr(value, "shape", None) for name, value in weights.items()} == trained


def _fits_parameter(state: Any, parameter: Tensor) -> bool:
    """Whether the optimizer state of a parameter has only counts and tensors of the parameter's shape."""
    if not is_mapping(state):
        return False
    return all(
        value is None or (isinstance(value, Tensor) and (value.numel() == 1 or value.shape == parameter.shape))
        for value in state.values()
    )


def _fits_cells(carried: Any, model: LanguageModel, batch_size: int) -> bool:
    if carried is None:
        return True
    if not is_list(carried) or len(carried) != model.num_layers:
        return False
    parts: list[Any] = [layer if type(layer) in (tuple, list) else (layer,) for layer in carried]
    return all(
        len(layer) == model.cell.state_parts
        and all(isinstance(part, Tensor) and part.shape == (1, batch_size, size) for part in layer)
        for layer, size in zip(parts, model.sizes, strict=True)
    )
