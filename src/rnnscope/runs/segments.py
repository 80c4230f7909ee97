"""The segments of a run: stretches of steps between which its config or hardware changed.

run.json lists `segments`, each with `from_step`; `after_end`, whether the run had reached its end there (its last step was
then validated and sampled); `changed` (key: [old, new]); and `resolved` (device, precision, threads).
"""

import math
from dataclasses import dataclass, replace
from typing import Any

from rnnscope.errors import UserError
from rnnscope.runs.plain_values import is_list, is_mapping
from rnnscope.runs.record import Record


@dataclass(frozen=True)
class Segment:
    """A stretch of a run with one config, up to step `stop`, which was validated and sampled as a run's end if `looked`."""

    config: dict[str, Any]
    resolved: dict[str, Any]
    start: int
    stop: int
    looked: bool


def segments_of(record: Record) -> list[dict[str, Any]]:
    """Return the segments of a record.

    Raises:
        UserError: if they are malformed.
    """
    segments: list[Any] = record.get("segments", list, [])
    for segment in segments:
        whole = is_mapping(segment) and isinstance(segment.get("from_step"), int)
        whole = whole and isinstance(segment.get("environment", []), list)
        whole = whole and _are_extensions(segment.get("extensions", {}))
        whole = whole and all(is_mapping(segment.get(key, {})) for key in ("changed", "resolved"))
        if not whole or not all(is_list(pair) and len(pair) == 2 for pair in segment.get("changed", {}).values()):
            raise UserError(f"{record.path}: its segments are not what rnnscope writes; this is not a record of rnnscope")
    return segments


def _are_extensions(value: Any) -> bool:
    """Whether this is a well-formed `extensions` entry: lists of names, and a mapping of files."""
    return is_mapping(value) and all((is_mapping if key == "files" else is_list)(inner) for key, inner in value.items())


def config_in_force(config: dict[str, Any], record: Record) -> dict[str, Any]:
    """Return `config` with all recorded changes: a kill may have come after run.json was written, before config.yaml."""
    for segment in segments_of(record):
        for key, (_, new) in segment.get("changed", {}).items():
            config = with_value(config, key, _from_json(new))
    return config


def _from_json(value: Any) -> Any:
    """Return a value with whole numbers as the keys of a map, for which JSON has text."""
    numbered = is_mapping(value) and value and all(isinstance(key, str) and key.isdecimal() for key in value)
    return {int(key): inner for key, inner in value.items()} if numbered else value


def trained_segments(config: dict[str, Any], record: Record, stop: int, looked: bool) -> list[Segment]:
    """Return the segments of a run up to step `stop`; `config` is the one in force at its end."""
    entries: list[dict[str, Any]] = segments_of(record) or [{"from_step": 0}]
    resolved = record.get("resolved", dict, {})
    found: list[Segment] = []
    for entry in reversed(entries):
        start = entry["from_step"]
        found.append(Segment(config, {**resolved, **entry.get("resolved", {})}, start, stop, looked))
        for key, (old, _) in entry.get("changed", {}).items():
            config = with_value(config, key, _from_json(old))
        stop, looked = start, bool(entry.get("after_end", False))
    return _joined([segment for segment in reversed(found) if segment.stop > segment.start])


def _joined(segments: list[Segment]) -> list[Segment]:
    """Merge neighbors with the same config and hardware: an interruption alone changes nothing."""
    joined: list[Segment] = []
    for segment in segments:
        before = joined[-1] if joined else None
        if before and not before.looked and (before.config, before.resolved) == (segment.config, segment.resolved):
            joined[-1] = replace(segment, start=before.start)
        else:
            joined.append(segment)
    return joined


def cut_segments(segments: list[Segment], until: int) -> list[Segment]:
    """Return the segments up to step `until`; one that is cut short does not end as a run does."""
    kept = [segment for segment in segments if segment.start < until]
    if kept and kept[-1].stop > until:
        kept[-1] = replace(kept[-1], stop=until, looked=False)
    return kept


def with_value(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return a copy of nested `config` in which the dotted `key` has `value`."""
    first, _, rest = key.partition(".")
    inner = config.get(first)
    if rest:
        value = with_value(inner if is_mapping(inner) else {}, rest, value)
    return {**config, first: value}


def differences(old: dict[str, Any], new: dict[str, Any]) -> dict[str, list[Any]]:
    """Return `key: [old, new]` for each dotted key that differs between two nested configs; a missing key counts as None."""
    before, after = as_recorded(old), as_recorded(new)
    keys = [*before, *(key for key in after if key not in before)]
    return {key: [before.get(key), after.get(key)] for key in keys if before.get(key) != after.get(key)}


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a config with dotted keys; a mapping whose keys are numbers stays a value."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        value = _from_json(value)
        if is_mapping(value) and value and all(isinstance(inner, str) for inner in value):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def as_recorded(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config with dotted keys as run.json has it: JSON has no infinity, which becomes text."""
    return {key: str(value) if value in (math.inf, -math.inf) else value for key, value in flatten(config).items()}
