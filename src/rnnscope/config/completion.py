"""Shell completion after a command: those of Hydra's keys and choices that the command has, and the keys that cli.py reads."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import get_origin

from rnnscope.config import schema
from rnnscope.config.changes import ON_THE_WAY

GROUPS_OF_TRAIN = {"experiment", "sweep"}  # groups that are not keys of the composed config


def offers(command: str, word: str, found: Iterable[str], verbatim: Mapping[str, str]) -> list[str]:
    """Return the completions of `word`.

    Args:
        found: what Hydra offers, which includes the groups in conf/ for every command; for resume, what it offers for train.
        verbatim: the keys that are read before Hydra, and the names that Hydra has for them.
    """
    lists = {key for key, hint in schema.typed_keys(schema.COMMANDS[command]) if get_origin(hint) is list}
    whole = (f"{offer[:-1]}=" if offer[:-1] in lists else offer for offer in found)  # Hydra offers `plugins.` for a list
    kept = [offer for offer in whole if _has_key(command, offer, verbatim)]
    typed = [f"{key}=" for key in verbatim if f"{key}=".startswith(word) and ("." in word or "." not in key)]
    return sorted({*kept, *typed})


def _has_key(command: str, offer: str, verbatim: Mapping[str, str]) -> bool:
    first = re.split(r"[.=]", offer)[0]
    if command == "resume":
        return first in verbatim or offer.startswith(tuple(f"{section}." for section in ON_THE_WAY))
    known = {field.name for field in fields(schema.COMMANDS[command])} - set(verbatim.values())
    return first in known | set(verbatim) or (command == "train" and first in GROUPS_OF_TRAIN)
