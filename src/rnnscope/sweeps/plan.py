"""The plan of a sweep: the overrides that all its jobs share, those in which they differ, and each job."""

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from rnnscope.config.overrides import quote, replacing
from rnnscope.config.places import comparable, with_absolute_places
from rnnscope.config.schema import GROUPS
from rnnscope.errors import UserError
from rnnscope.runs.find import find_run
from rnnscope.runs.record import value_at
from rnnscope.runs.segments import as_recorded
from rnnscope.sweeps.job_folder import JobState
from rnnscope.sweeps.names import job_name

CLAIM = "expect"
BY_JOB = "by job"  # for the values of a key that a list of jobs sets


@dataclass(frozen=True)
class Plan:
    """A sweep as typed on the command line.

    Args:
        fixed: overrides that every job has.
        swept: overrides with several values, by key, in order.
        jobs: lists of overrides that belong together, one for each job; without any, one empty list.
    """

    fixed: list[Override]
    swept: dict[str, Override]
    jobs: list[list[Override]]

    @property
    def keys(self) -> list[str]:
        """The keys in which jobs differ, sorted, so that their order on the command line does not matter.

        What a job claims is not one of them.
        """
        return sorted({word.key_or_group for word in (*self.swept.values(), *itertools.chain(*self.jobs))} - {CLAIM})

    @property
    def typed(self) -> dict[str, str]:
        """The values of each swept override, as typed."""
        return {word.key_or_group: _text(word).partition("=")[2] for word in self.swept.values()}

    def values_by_job(self, key: str, kind: str) -> str:
        """Return the values that the jobs give a key, which decide a search; BY_JOB for a grid, which may get more of them."""
        values = [_text(word).partition("=")[2] for word in itertools.chain(*self.jobs) if word.key_or_group == key]
        return ",".join(values) if kind == "optuna" else BY_JOB

    def grid(self) -> Iterator[list[str]]:
        """Yield the overrides in which each job differs: every combination of the values, for each of `jobs`.

        Raises:
            UserError: for an interval, which has no list of values.
        """
        choices = [_values(word) for word in self.swept.values()]
        for words in self.jobs:
            for values in itertools.product(*choices):
                yield [*values, *map(_text, words)]


def read_plan(params: dict[str, str], jobs: list[list[str]], arguments: list[str], loader: ConfigLoader) -> Plan:
    """Return the plan of a sweep.

    Args:
        params: values by key, from a ready sweep; the command line takes precedence.
        jobs: lists of overrides that belong together, from a ready sweep.
        arguments: the overrides on the command line.

    Raises:
        UserError: if no key has several values, or a key is set that the jobs of the ready sweep set.
    """
    parser = OverridesParser.create(config_loader=loader)
    ready = replacing([f"{key}={value}" for key, value in params.items()])
    words = {word.get_key_element(): word for word in parser.parse_overrides(ready)}
    for word in parser.parse_overrides(arguments):
        words.pop(word.get_key_element(), None)  # so that it moves to its place on the command line
        words[word.get_key_element()] = word
    together = [parser.parse_overrides(replacing(entry)) for entry in jobs] or [[]]
    swept = {key: word for key, word in words.items() if word.is_sweep_override()}
    _check_jobs(together, words.values())
    _check_swept(swept.values())
    if not swept and not jobs:
        raise UserError(
            "-m starts a sweep, but every key has one value: give several values (optimizer.lr=1e-3,3e-3) or a ready sweep"
            " (sweep=learning_rates), or leave out -m"
        )
    return Plan([word for word in words.values() if not word.is_sweep_override()], swept, together)


def _check_jobs(together: list[list[Override]], words: Iterable[Override]) -> None:
    typed = {word.key_or_group: word for word in words}
    for word in itertools.chain(*together):
        if word.is_sweep_override():
            raise UserError(f"{_text(word)}: a job in hydra.sweeper.jobs has one value for each key; several go in params")
        if word.key_or_group in typed:
            raise UserError(f"{_text(typed[word.key_or_group])}: the jobs of this sweep set {word.key_or_group}; leave it out")


def _check_swept(words: Iterable[Override]) -> None:
    for word in words:
        if word.key_or_group in ("name", "sweep"):
            raise UserError(f"{_text(word)}: a sweep has one {word.key_or_group}")


def _text(word: Override) -> str:
    return word.input_line or f"{word.get_key_element()}={word.get_value_element_as_str()}"


def _values(word: Override) -> list[str]:
    if not word.is_discrete_sweep():
        raise UserError(f"{_text(word)}: an interval needs a search: add hydra/sweeper=optuna")
    try:
        values = [f"{word.get_key_element()}={value}" for value in word.sweep_string_iterator()]
    except ValueError as error:  # a range with a step of zero
        raise UserError(f"{_text(word)}: {error}") from None
    if not values:
        raise UserError(f"{_text(word)} has no value: give at least one")
    return values


@dataclass(frozen=True)
class PlannedJob:
    """A job whose config has been composed.

    Args:
        words: the overrides in which it differs from the other jobs.
        typed: all of its overrides, as for `rnnscope train`.
        config: with dotted keys.
        choices: the selected option of each config group.
    """

    name: str
    words: list[str]
    typed: list[str]
    config: dict[str, Any]
    choices: dict[str, Any]

    def check(self, state: JobState) -> None:
        """Check that the job's folder was not trained with a different config.

        Raises:
            UserError: if it was, naming the key and both values.
        """
        recorded = {key: comparable(key, value) for key, value in as_recorded(state.get("config") or {}).items()}
        for key, value in self.config.items():
            free = key == "name" or (key == "trainer.threads" and value is None)  # the launcher sets the threads
            adopted = key.startswith("model.") and self.config["init_from"] is not None  # the model of another run
            if key in recorded and recorded[key] != value and not free and not adopted:
                raise UserError(
                    f"the job {self.name} exists with {key}={recorded[key]}, not {value};"
                    " undo that, or give the new sweep a different name (name=...)"
                )


class Composer:
    """Composes the jobs of a plan as `rnnscope train` does.

    Args:
        config: the sweep's own, as Hydra composed it.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig, plan: Plan) -> None:
        self._loader, self._config, self._plan = loader, config, plan
        self.starts: dict[str, str] = {}  # the folders of the runs that `init_from` names
        self.adopted: list[str] = []  # overrides that a continued sweep keeps

    def job(self, words: list[str]) -> PlannedJob:
        """Return the job with the overrides `words` in addition to the fixed ones.

        Raises:
            HydraException: for an unknown key or value; UserError: if it starts from a run that does not exist.
        """
        for key, _, value in (word.partition("=") for word in words):
            if key in GROUPS and value.startswith("{"):
                raise UserError(
                    f"{key}={value}: a sweep over {key} takes names of choices; sweep single keys, as in {key}.key=1,2"
                )
        typed = [*map(_text, self._plan.fixed), *self.adopted, *words]
        config, choices = self._compose(typed)
        if config["init_from"] is not None:
            typed.append(f"init_from={quote(self._start(config['init_from']))}")
            config, choices = self._compose(typed)
        if config["trainer"]["strategy"] == "ddp":
            raise UserError("trainer=ddp trains one run in several processes and cannot be swept; start such runs one by one")
        keys = {word.partition("=")[0].lstrip("+") for word in words} - {CLAIM}
        values = {key: choices[key] if key in choices else value_at(config, key) for key in keys}
        config = as_recorded(with_absolute_places(config))
        return PlannedJob(job_name(values, self._plan.keys), words, typed, config, choices)

    def _start(self, typed: str) -> str:
        """Return the folder of the run that jobs start from: `latest` is the same one for all, though they are runs, too."""
        if typed not in self.starts:
            self.starts[typed] = str(find_run(typed, "init_from").path.resolve())
        return self.starts[typed]

    def _compose(self, typed: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        composed = self._loader.load_sweep_config(self._config, typed)  # type: ignore[attr-defined]
        own = OmegaConf.masked_copy(composed, [str(key) for key in composed if key not in ("hydra", "notify")])
        return json_like(OmegaConf.to_container(own, resolve=True, throw_on_missing=True)), dict(composed.hydra.runtime.choices)


def json_like(value: Any) -> Any:
    """Return nested values as they are read back from JSON: keys of mappings are text."""
    return json.loads(json.dumps(value))
