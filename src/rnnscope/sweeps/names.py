"""Readable names of jobs, such as `model-lstm_lr-0.001`: equal values give equal names, different values different ones."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from rnnscope.format import plain

LENGTH = 80  # characters of a name at most
DIGITS = 8  # characters of a number at most; a longer one is shortened to three digits
STRANGE = re.compile(r"[^A-Za-z0-9.-]+")


def short_keys(keys: Iterable[str]) -> dict[str, str]:
    """Return a short name for each dotted key: its last part, with more parts if two keys share that."""
    tails = {key: [key.split(".", number)[-1] for number in range(key.count("."), -1, -1)] for key in keys}
    counts = Counter(tail for found in tails.values() for tail in found)
    return {key: next((tail for tail in found if counts[tail] == 1), key) for key, found in tails.items()}


def job_name(values: dict[str, Any], keys: Iterable[str]) -> str:
    """Return the name of a job.

    Args:
        values: of the swept keys that this job sets, as the config has them, so that 1e-3 and 0.001 are equal.
        keys: all swept keys of the sweep.
    """
    short = short_keys(keys)
    parts, exact = [], True
    for key in sorted(values):
        text = value_text(values[key])
        clean = _clean(text)
        readable = clean == text and not any(f"_{label}-" in f"_{clean}" for label in short.values())
        exact = exact and readable and _is_exact(values[key])
        parts.append(f"{_clean(short[key])}-{clean}")
    name = "_".join(parts) or "base"  # a job that sets nothing: what the others are compared with
    return name if exact and len(name) <= LENGTH else hashed(name, values)


def hashed(name: str, values: dict[str, Any]) -> str:
    """Return `name`, shortened if it is long, with a short hash of the exact values appended."""
    exact = json.dumps(values, sort_keys=True, ensure_ascii=False, default=str)
    digest = hashlib.sha256(exact.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name[: LENGTH - 9].rstrip('-_.')}_{digest}"


def value_text(value: Any) -> str:
    """Return a value for a name: floats without needless digits, lists and mappings without brackets."""
    if isinstance(value, dict):
        return "-".join(f"{value_text(key)}-{value_text(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return "-".join(map(value_text, value))
    if isinstance(value, float):
        text = f"{value:g}"
        short = text if float(text) == value and len(text) <= DIGITS else f"{value:.3g}"
        return short.replace("e+", "e")  # a name has no plus sign
    return plain(value)


def _is_exact(value: Any) -> bool:
    """Whether the text of a value identifies it."""
    return not isinstance(value, (dict, list, tuple)) and (not isinstance(value, float) or float(value_text(value)) == value)


def _clean(text: str) -> str:
    return "_".join(STRANGE.sub("-", part) for part in text.split("_"))


def sweep_name(keys: Iterable[str]) -> str:
    """Return the default name of a sweep over these keys."""
    return "_".join(_clean(label) for _, label in sorted(short_keys(keys).items()))[:LENGTH]
