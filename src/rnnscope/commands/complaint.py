"""Turning what Hydra and OmegaConf say, over several lines, into one that names the key and the closest right one."""

import dataclasses
import re
import typing
from difflib import get_close_matches
from typing import Any

from rnnscope.commands import schema
from rnnscope.errors import UserError

ROOTS = schema.COMMANDS | {"train_from": schema.TrainConfig}


def one_line(error: BaseException, command: str) -> str:
    """Return what went wrong, in one line: the key or file, what was found, what to do."""
    text = str(error)
    if isinstance(error, UserError):
        return " ".join(text.split("\n"))
    if unknown := re.search(r"Could not override '([^']+)'|Key '([^']+)' (?:is not in struct|not in)", text):
        return _unknown_key(_full_key(text) or unknown[1] or unknown[2], command)
    if ambiguous := re.search(r"Ambiguous value for argument '([^']*)'", text):
        return f"{ambiguous[1]}: a comma makes a sweep, which needs -m; a text with a comma needs quotes inside quotes"
    if missing := re.search(r"Missing mandatory value: (\S+)|Structured config .*MISSING.*?'(\S+)'", text):
        return f"{missing[1] or missing[2]} has no value: give it on the command line as {missing[1] or missing[2]}=..."
    if choice := re.search(r"Could not find '([^']+)/([^'/]+)'", text):
        return _unknown_choice(choice[1], choice[2], text)
    if value := re.search(r"Value '(.*?)' of type '(\w+)' could not be converted to (\w+)", text, re.DOTALL):
        return f"{_full_key(text) or 'a key'}={value[1]}: this is no {_kind(value[3])}"
    return _first_lines(text) or type(error).__name__


def _full_key(text: str) -> str | None:
    found = re.search(r"full_key: (\S+)", text)
    return found[1] if found else None


def _unknown_key(key: str, command: str) -> str:
    known = list(keys_of(ROOTS[command]))
    near = get_close_matches(key, known, n=1, cutoff=0.5) or [
        name for name in known if name.split(".")[-1] == key.split(".")[-1]
    ]
    hint = f": did you mean {near[0]}?" if near else ""
    return f"there is no key {key}{hint} (rnnscope {command} --cfg job lists them all)"


def _unknown_choice(group: str, choice: str, text: str) -> str:
    listed = re.search(r"Available options in '[^']*':\n((?:\t.*\n?)+)", text)
    names = listed[1].split() if listed else []
    near = get_close_matches(choice, names, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]}?" if near else ""
    return (
        f"{group}={choice} is no choice{hint} There are: {', '.join(names)}"
        if hint
        else f"{group}={choice} is no choice; there are: {', '.join(names)}"
    )


def _kind(name: str) -> str:
    return {"Integer": "whole number", "Float": "number", "Boolean": "true or false"}.get(name, name.lower())


def _first_lines(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines()[:2] if line.strip() and "full_key" not in line)


def keys_of(kind: Any, prefix: str = "") -> typing.Iterator[str]:
    """Yield every dotted key of a schema, those of all choices of a group included."""
    for field in dataclasses.fields(kind):
        key = f"{prefix}{field.name}"
        yield key
        hint = typing.get_type_hints(kind)[field.name]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            for option in [hint, *type.__subclasses__(hint)]:
                yield from keys_of(option, f"{key}.")
