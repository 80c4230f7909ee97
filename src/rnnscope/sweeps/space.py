"""The search space: the values of each key, as typed and as Optuna's distributions; samplers and pruners by name."""

import math
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from rnnscope.config.schema import TrainConfig, is_whole
from rnnscope.errors import UserError, check_choice

SAMPLERS = {"tpe": "TPESampler", "random": "RandomSampler"}
PRUNERS = {"median": "MedianPruner", "halving": "SuccessiveHalvingPruner"}


def optuna_package() -> Any:
    """Return Optuna, an optional dependency, with its log limited to warnings.

    Raises:
        UserError: if it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserError("hydra/sweeper=optuna needs Optuna, which is not installed: pip install 'rnnscope[sweep]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def choice(key: str, name: str, known: dict[str, str]) -> str:
    """Return the class name in Optuna of the sampler or pruner `name`.

    Raises:
        UserError: if it is unknown.
    """
    check_choice(f"hydra.sweeper.{key}", name, known)
    return known[name]


def distribution_of(word: Override) -> Any:
    """Return Optuna's distribution for a swept override: an interval (log if tagged so), a range or choices.

    Raises:
        UserError: if there is nothing to draw.
    """
    try:
        return _distribution(word.value(), word)
    except ValueError as error:
        raise UserError(f"{word.input_line}: {error}") from error


def _distribution(values: Any, word: Override) -> Any:
    kinds = optuna_package().distributions
    if isinstance(values, IntervalSweep):
        low, high, log = values.start, values.end, "log" in values.tags  # floats, however they were typed
        if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("an interval needs two finite ends")
        if isinstance(low, int) or is_whole(TrainConfig, word.key_or_group):
            if not low == int(low) <= int(high) == high:
                raise ValueError(f"{word.key_or_group} takes whole numbers, so the ends must be whole, the lower one first")
            return kinds.IntDistribution(int(low), int(high), log=log)
        return kinds.FloatDistribution(low, high, log=log)
    found: list[Any] = list(word.sweep_iterator())
    if isinstance(values, RangeSweep) and not values.transformers and len(found) > 1:
        whole = isinstance(found[0], int)
        step = abs(found[1] - found[0])
        return (kinds.IntDistribution if whole else kinds.FloatDistribution)(min(found), max(found), step=step)
    return kinds.CategoricalDistribution(list(word.sweep_string_iterator()))


def examples_of(word: Override) -> list[str]:
    """Return values with which all values of a swept override can be checked: every choice, or both ends."""
    kind = distribution_of(word)
    return list(kind.choices) if hasattr(kind, "choices") else [repr(kind.low), repr(kind.high)]
