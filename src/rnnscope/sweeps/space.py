"""The values that a search may draw, as typed and as Optuna has them."""

from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from rnnscope.errors import UserError
from rnnscope.sweeps.optuna_package import optuna_package


def distribution_of(word: Override) -> Any:
    """Return the values of a swept word as Optuna draws them: intervals (log where tagged so), ranges, choices.

    Raises:
        UserError: where there is nothing to draw.
    """
    try:
        return _distribution(word.value(), word)
    except ValueError as error:
        raise UserError(f"{word.input_line}: {error}") from error


def _distribution(values: Any, word: Override) -> Any:
    kinds = optuna_package().distributions
    if isinstance(values, IntervalSweep):
        whole = isinstance(values.start, int) and isinstance(values.end, int)
        return (kinds.IntDistribution if whole else kinds.FloatDistribution)(values.start, values.end, log="log" in values.tags)
    found: list[Any] = list(word.sweep_iterator())
    if isinstance(values, RangeSweep) and not values.transformers and len(found) > 1:
        whole = isinstance(found[0], int)
        step = abs(found[1] - found[0])
        return (kinds.IntDistribution if whole else kinds.FloatDistribution)(min(found), max(found), step=step)
    return kinds.CategoricalDistribution(list(word.sweep_string_iterator()))


def examples_of(word: Override) -> list[str]:
    """Return values of a swept word that show whether all of them compose: every choice, or both ends."""
    kind = distribution_of(word)
    return list(kind.choices) if hasattr(kind, "choices") else [repr(kind.low), repr(kind.high)]
