"""What a sweep is to do, from what was typed: which words are the same in every job, and which differ."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from rnnscope.config.overrides import replacing
from rnnscope.errors import UserError


@dataclass(frozen=True)
class Plan:
    """A sweep as typed.

    Args:
        fixed: words that every job has.
        swept: the words with several values, by key, in their order.
        jobs: words that come together, a list for each job; with none of them there is one empty list.
    """

    fixed: list[Override]
    swept: dict[str, Override]
    jobs: list[list[Override]]

    @property
    def keys(self) -> list[str]:
        """The keys in which jobs differ, sorted: their order on the command line changes nothing."""
        together = {word.key_or_group for words in self.jobs for word in words}
        return sorted({word.key_or_group for word in self.swept.values()} | together)

    @property
    def typed(self) -> dict[str, str]:
        """The values of each swept word as typed."""
        return {word.key_or_group: _text(word).partition("=")[2] for word in self.swept.values()}

    @property
    def fixed_words(self) -> list[str]:
        return [_text(word) for word in self.fixed]

    def grid(self) -> Iterator[list[str]]:
        """Yield the words in which each job is other than the rest: every combination of all values, times the jobs.

        Raises:
            UserError: for an interval, which no grid can go through.
        """
        choices = [_values(word) for word in self.swept.values()]
        for words in self.jobs:
            for values in itertools.product(*choices):
                yield [*values, *(_text(word) for word in words)]


def read_plan(params: dict[str, str], jobs: list[list[str]], arguments: list[str], loader: ConfigLoader) -> Plan:
    """Return the plan of a sweep.

    Args:
        params: values by key, from a ready sweep; what the command line says of the same key takes their place.
        jobs: words that come together, from a ready sweep.
        arguments: the command line.

    Raises:
        UserError: when it sweeps over nothing, or sets what a job of the ready sweep sets.
    """
    parser = OverridesParser.create(config_loader=loader)
    ready = replacing([f"{key}={value}" for key, value in params.items()])
    words = {_element(word): word for word in parser.parse_overrides(ready)}
    for word in parser.parse_overrides(arguments):
        words.pop(_element(word), None)  # it stands where the command line has it
        words[_element(word)] = word
    together = [parser.parse_overrides(replacing(entry)) for entry in jobs] or [[]]
    _check_jobs(together, words.values())
    swept = {key: word for key, word in words.items() if word.is_sweep_override()}
    _check_swept(swept)
    if not swept and not jobs:
        raise UserError(
            "-m sweeps, and here every key has one value: give several (optimizer.lr=1e-3,3e-3), or a ready sweep"
            " (sweep=learning_rates), or leave -m out"
        )
    return Plan([word for word in words.values() if not word.is_sweep_override()], swept, together)


def _check_jobs(together: list[list[Override]], words: Iterable[Override]) -> None:
    typed = {word.key_or_group: word for word in words}
    for word in itertools.chain.from_iterable(together):
        if word.is_sweep_override():
            raise UserError(f"{_text(word)}: a job of hydra.sweeper.jobs has one value for each key; several go in params")
        if word.key_or_group in typed:
            raise UserError(f"{_text(typed[word.key_or_group])}: the jobs of this sweep set {word.key_or_group}: leave it out")


def _check_swept(swept: dict[str, Override]) -> None:
    for word in swept.values():
        if word.key_or_group in ("name", "sweep"):
            raise UserError(f"{_text(word)}: a sweep has one {word.key_or_group}")


def _element(word: Override) -> str:
    return word.get_key_element()


def _text(word: Override) -> str:
    return word.input_line or f"{_element(word)}={word.get_value_element_as_str()}"


def _values(word: Override) -> list[str]:
    if not word.is_discrete_sweep():
        raise UserError(f"{_text(word)}: an interval is searched, not gone through: add hydra/sweeper=optuna")
    values = [f"{_element(word)}={value}" for value in word.sweep_string_iterator()]
    if not values:
        raise UserError(f"{_text(word)}: this gives no value at all")
    return values
