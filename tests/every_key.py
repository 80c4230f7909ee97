"""Every key of training with values of every kind: those that its comment in conf/ names, and the limits of its type."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from conftest import TINY

from rnnscope.config.compose import compose_train
from rnnscope.config.schema import TrainConfig, typed_keys
from rnnscope.errors import UserError
from rnnscope.paths import conf_folder
from rnnscope.pipeline.fit import fit
from rnnscope.training.optimizers import OPTIMIZERS
from rnnscope.training.schedules import SCHEDULES

CHOICES = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES}  # groups whose keys depend on the choice
SIZES = [-1, 0, 1, 10**20, 2.5, "x", "[]", "[3]", "[0]", "[3,2]", f"[{10**20}]", "[a]"]  # of model.hidden_size
NUMBERS = {Any: SIZES, int: [-1, 0, 1, 2, 3, 10**20], float: [-1, 0, 1e-39, 0.3, 1, 2.5, 1e39, "nan", "inf"]}
LISTS = {
    list[float]: ["[]", "[0,0]", "[0.5]", "[1,1]", "[nan,0]", "[0.9,0.99,0.9]"],
    list[str]: ["[]", "[a]", "['']", "['(']", "[email]"],
}
SHORT = [*TINY, "trainer.max_steps=2", "trainer.val_every=1", "monitor.sample_length=3", "dataset.corpus.reader_version=2"]
TEXTS = ["", "x", "'a b'", "日本"]  # for keys that hold a person's text
FREE = ("name", "monitor.sample_prompt", "dataset.name", "dataset.unk", "dataset.start", "dataset.end", "dataset.corpus.")
HEAVY = {"trainer.max_minutes", "dataset.corpus.url", "dataset.corpus.val_url", "dataset.corpus.test_url", "init_from"}
ONLY = {"trainer.max_steps": (-1, 0, 1, 2)}  # what would train for long


def comments() -> dict[str, str]:
    """Return what conf/ says about each key, the lines above it and the end of its own."""
    found: dict[str, str] = {}
    for path in [conf_folder() / "train.yaml", *sorted(conf_folder().glob("*/*.yaml"))]:
        group, above, sections = "" if path.name == "train.yaml" else f"{path.parent.name}.", "", {}
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip().startswith("#"):
                above += line.strip("# ") + " "
            elif match := re.match(r"( *)([\w.]+):(.*)", line):
                sections = {deep: name for deep, name in sections.items() if deep < len(match[1])} | {len(match[1]): match[2]}
                key = group + ".".join(sections.values())
                found[key] = found.get(key, "") + above + match[3].partition("#")[2] + " "
                above = ""
    return found


def values_of(hint: Any, comment: str) -> list[Any]:
    """Return values of a type: the words of the comment for a text, else those near the limits."""
    if get_origin(hint) is not None and type(None) in get_args(hint):
        return ["null", *values_of(next(kind for kind in get_args(hint) if kind is not type(None)), comment)]
    if hint is bool:
        return ["true", "false"]
    if hint is str:
        words = dict.fromkeys(re.findall(r"[A-Za-z][\w/-]*\w", comment))
        return [*TEXTS, *(word for word in words if word != "null")]
    return NUMBERS.get(hint) or LISTS.get(hint) or []


def cases() -> Iterator[tuple[str, list[str]]]:
    """Yield each key with the words that set it to each value."""
    said = comments()
    for key, hint in dict(typed_keys(TrainConfig)).items():
        group, _, rest = key.partition(".")
        if key in HEAVY or not values_of(hint, ""):
            continue
        choices = (
            [name for name, kind in CHOICES[group].items() if rest in get_type_hints(kind.config)] if group in CHOICES else []
        )
        for value in values_of(hint, "" if key.startswith(FREE) else said.get(key, "")):
            if value in ONLY.get(key, (value,)):
                for choice in choices or [""]:
                    yield key, [*([f"{group}={choice}"] if choice else []), f"{key}={value}"]


def outcome(words: list[str], folder: Path, capsys: Any) -> str:
    """Train two steps in a run under `folder`, and return how that went: `finished`, or `refused` by one line and no folder.

    Anything else raises.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNSCOPE_OUTPUTS", str(folder))
        try:
            result, refused = fit(compose_train([*SHORT, *words])), ""
        except UserError as error:
            result, refused = None, str(error)
    capsys.readouterr()
    if result is None:
        assert "\n" not in refused
        assert not list(folder.glob("runs/*/*")), f"refused only after there was a run folder: {refused}"
        return "refused"
    assert result.status == "finished", words
    return "finished"
