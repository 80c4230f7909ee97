"""`key=value` words that change a recorded config: parsed by Hydra's grammar, but not composed."""

from dataclasses import asdict
from functools import reduce
from typing import Any

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from rnnscope.config.hydra_errors import keys_of, unknown_key
from rnnscope.config.places import ONE_TEXT, is_place
from rnnscope.config.schema import GROUPS, TrainConfig
from rnnscope.errors import UserError
from rnnscope.format import shell
from rnnscope.paths import absolute_path
from rnnscope.runs.segments import with_value

ON_THE_WAY = ("trainer", "monitor", "optimizer", "schedule")  # sections that may change in the middle of a run


def parse_changes(words: list[str], groups: bool = False) -> dict[str, Any]:
    """Return the dotted keys and values that `words` set; with `groups`, `optimizer=sgd` sets the section of that file.

    Raises:
        UserError: for a word that is not plain `key=value`.
    """
    found: dict[str, Any] = {}
    for word in words:
        override = OverridesParser.create().parse_override(word)
        if override.is_sweep_override():
            raise UserError(f"{word}: give each key one value; a text with a comma needs quotes inside quotes")
        if override.is_add() or override.is_force_add() or override.is_delete() or override.package:
            raise UserError(f"{word}: a recorded config can only be changed by key=value")
        key, value = override.key_or_group, override.value()
        if key in GROUPS or key == "experiment":
            found |= section(key, word, groups)
        else:
            found[key] = absolute_path(str(value)) if is_place(key) and value is not None else value
    return found


def section(group: str, word: str, groups: bool) -> dict[str, Any]:
    """Return the keys of one choice of a group, as they are in conf/ today."""
    if group == "experiment":
        raise UserError(f"{word}: an experiment sets every key, as the earlier run does: leave one of them out")
    if not groups:
        raise UserError(f"{word}: a whole section cannot change here; give single keys such as {group}.key=value")
    composed = OmegaConf.to_container(compose("train", [word]), resolve=True)
    return {group: composed[group]}  # type: ignore[index,call-overload]


def complete(changes: dict[str, Any]) -> dict[str, Any]:
    """Return `changes`; if they set another text, also those that clear the packages, URLs and further files of the old one."""
    if "dataset.corpus.path" not in changes:
        return changes
    return {**{f"dataset.corpus.{key}": value for key, value in ONE_TEXT.items()}, **changes}


def check_on_the_way(changes: dict[str, Any], run: str) -> None:
    """Refuse changes that would not fit the weights, the optimizer or the position in the data of a run in progress.

    Raises:
        UserError: naming the key, and the command that accepts it.
    """
    known = set(keys_of(TrainConfig))
    for key in changes:
        if key not in known and not key.startswith("schedule.rates."):
            raise UserError(unknown_key(key, "train"))
        group, _, name = key.partition(".")
        if not is_place(key) and (group not in ON_THE_WAY or name in ("", "name")):
            again = shell("rnnscope", "train", f"from={run}", f"{key.removesuffix('.name')}=...")
            raise UserError(f"{key} cannot change in the middle of a run; start a new one with {again}")


def with_changes(config: TrainConfig, changes: dict[str, Any]) -> TrainConfig:
    """Return `config` with new values at dotted keys, checked.

    Raises:
        UserError: for a key or value that training does not accept.
    """
    from rnnscope.config.validate import from_plain  # not at the top: it imports torch

    return from_plain(reduce(lambda found, item: with_value(found, *item), changes.items(), asdict(config)))
