"""Values, durations and tables as text for people; and untrusted text without control sequences for terminals."""

import json
import math
import shlex
import shutil
import sys
import unicodedata
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

GAP = 2  # spaces between the columns of a table
PIPE_WIDTH = 120  # columns of a table in a pipe or a log


def clock(seconds: float) -> str:
    """Return a duration as 0:42, 3:05 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def plural(count: int, noun: str) -> str:
    """Return `1 run`, `12 runs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def number(value: float) -> str:
    """Return a measured number: 38,200 or 0.0314159, with six digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"


def shell(*words: str) -> str:
    """Return a command that can be pasted into a shell, whatever characters are in its words."""
    return shlex.join(words)


def watching(folder: Path) -> str:
    """Return the command that shows the runs in a folder in TensorBoard, with all samples and points."""
    return shell("tensorboard", "--logdir", str(folder), "--samples_per_plugin", "text=1000,scalars=10000")


def plain(value: object) -> str:
    """Return a value as it is typed on a command line; floats read back exactly."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{', '.join(plain(item) for item in value)}]"
    return str(value)


def json_text(values: Any, **options: Any) -> str:
    """Return `values` as JSON for any reader: NaN and infinity, for which JSON has no sign, become null.

    Args:
        options: those of `json.dumps`.
    """
    try:
        return json.dumps(values, allow_nan=False, **options)
    except ValueError:
        return json.dumps(_finite(values), allow_nan=False, **options)


def _finite(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _finite(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def output_width() -> int:
    """Return how wide a table on stdout may be."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH


def table_lines(rows: Sequence[Sequence[str]], left: Container[int] = (0,)) -> list[str]:
    """Return rows of cells as lines, each column as wide as its widest cell; the columns in `left` are left-aligned."""
    widths = [max(map(columns_of, column)) for column in zip(*rows, strict=True)]
    return [(" " * GAP).join(_aligned(row, widths, left)).rstrip() for row in rows]


def _aligned(row: Sequence[str], widths: Sequence[int], left: Container[int]) -> list[str]:
    spaces = [" " * (width - columns_of(cell)) for cell, width in zip(row, widths, strict=True)]
    return [cell + space if at in left else space + cell for at, (cell, space) in enumerate(zip(row, spaces, strict=True))]


def columns_of(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for 本, none for a combining accent."""
    return sum(0 if unicodedata.combining(mark) else 1 + (unicodedata.east_asian_width(mark) in "WF") for mark in text)


def printable(text: str) -> str:
    """Return text that can neither control a terminal nor break its encoding."""
    encoding = sys.stdout.encoding or "utf-8"
    return visible(text).encode(encoding, "replace").decode(encoding, "replace")


def visible(text: str) -> str:
    """Return text with visible signs for control characters, except line feeds and tabs."""
    return "".join(mark if mark in "\n\t" or mark.isprintable() else _sign(mark) for mark in text)


def _sign(mark: str) -> str:
    code = ord(mark)
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd" if 0x80 <= code < 0xA0 else mark


def one_line(text: str) -> str:
    """Return text on one line: control characters, direction marks and lone surrogates become U+FFFD."""
    return "".join("\ufffd" if unicodedata.category(mark) in ("Cc", "Cf", "Cs") else mark for mark in text)
