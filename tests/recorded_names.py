"""The list of names that run folders rely on, and what compares it with what is on disk."""

from functools import reduce
from pathlib import Path
from typing import Any

import yaml

NAMES: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
ELSEWHERE = "elsewhere"


def listed(part: str, *additions: dict[str, Any] | None) -> dict[str, Any]:
    """Return the names that `part` of the list gives for every run, with those of `additions`."""
    return reduce(merged, (addition for addition in additions if addition), NAMES[part]["every run"])


def merged(one: Any, other: Any) -> Any:
    """Return two nested mappings as one."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return one if other is None else other
    return one | {key: merged(one.get(key), value) for key, value in other.items()}


def names_of(value: Any) -> Any:
    """Return the keys of nested mappings, None for a plain value; of a list of mappings, the keys that any of them has."""
    if isinstance(value, dict) and value:
        return {str(key): names_of(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)) and any(isinstance(inner, dict) for inner in value):
        return reduce(merged, map(names_of, value))
    return None


def changes(found: Any, wanted: Any, place: str = "") -> list[str]:
    """Return a line for each name that `found`, of `names_of`, lacks of the list or has besides; none where all agree."""
    if wanted == ELSEWHERE:
        return []
    found, wanted = found or {}, wanted or {}
    lines = [f"{place}{name} is gone: older runs have it" for name in wanted if name not in found]
    lines += [f"{place}{name} is new: add it to recorded_names.yaml" for name in found if name not in wanted]
    for name in [name for name in wanted if name in found]:
        lines += changes(found[name], wanted[name], f"{place}{name} > ")
    return lines
