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
    if typed := re.match(r"Error merging override (.*)", text, re.DOTALL):
        return f"{typed[1].removeprefix('++')}: {_wrong_value(str(error.__cause__))}"
    if value := re.search(r"Value '(.*?)' of type '\w+' could not be converted to", text, re.DOTALL):
        return f"{_full_key(text) or 'a key'}={value[1]}: {_wrong_value(text)}"
    return _first_lines(text) or type(error).__name__


def _full_key(text: str) -> str | None:
    found = re.search(r"full_key: (\S+)", text)
    return found[1] if found else None


def _unknown_key(key: str, command: str) -> str:
    known = set(keys_of(ROOTS[command]))
    if key in known:
        return f"{key} is no key of the {_section(key)} chosen here{_owners(key)}"
    near = _near(key, known)
    hint = f": did you mean {near}?" if near else ""
    return f"there is no key {key}{hint} (rnnscope {command} --cfg job lists them all)"


def _section(key: str) -> str:
    return key.partition(".")[0]


def _owners(key: str) -> str:
    """Return which choices of a section have a key that another choice lacks."""
    group, _, leaf = key.partition(".")
    kinds = schema.GROUPS.get(group, {})
    owners = [name for name, kind in kinds.items() if leaf in {field.name for field in dataclasses.fields(kind)}]
    return f"; it belongs to {' or '.join(f'{group}={name}' for name in owners)}" if owners else ""


def _near(key: str, known: set[str]) -> str | None:
    """Return the known key that was likely meant: of the same section if that exists, else by its whole spelling."""
    section, _, leaf = key.rpartition(".")
    siblings = {name.rpartition(".")[2]: name for name in sorted(known) if name.rpartition(".")[0] == section}
    leaves = {name.rpartition(".")[2]: name for name in sorted(known)}
    for right, word in ((siblings, leaf if section else ""), ({name: name for name in sorted(known)}, key), (leaves, leaf)):
        for match in get_close_matches(word, list(right), n=1, cutoff=0.6):
            if right is not siblings or section in known:
                return right[match]
        if section in known:
            return None
    return None


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


WRONG = {  # what OmegaConf says of a value -> what is said here
    r"converted to Integer": "this is no whole number",
    r"converted to Float": "this is no number",
    r"not a valid bool": "this is neither true nor false",
    r"not Optional": "null is no value for it",
    r"not a ListConfig": "this is no list: write [a, b]",
    r"Cannot assign \w+ to Dict": "this is no map: write {0: 0.1, 4000: 0.01}",
    r"Key (\S+) \(\w+\) is incompatible with \(int\)": r"\1 is no whole number",
    r"not a subclass of \w+Config": "this is a section: set its keys one by one, each as section.key=value",
}


def _wrong_value(text: str) -> str:
    """Return what is wrong with a value, from OmegaConf's words."""
    for pattern, words in WRONG.items():
        if found := re.search(pattern, text):
            return found.expand(words)
    return _first_lines(text)


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
