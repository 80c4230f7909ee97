"""Output formats of `rnnscope compare` for other programs: CSV, Markdown and JSON, with full precision."""

import re
from pathlib import Path

from rnnscope.comparison.run_summary import Summary
from rnnscope.comparison.table import is_numeric
from rnnscope.errors import check_choice
from rnnscope.format import json_text, one_line, plain
from rnnscope.runs.journal import csv_line

BY_SUFFIX = {".csv": "csv", ".md": "markdown", ".json": "json"}


def format_for(typed: str | None, output: str | None) -> str:
    """Return the given format, else the one that the suffix of the output file means, else `table`.

    Raises:
        UserError: if the format is unknown.
    """
    if typed is None:
        return BY_SUFFIX.get(Path(output or "").suffix.lower(), "table")
    check_choice("format", typed, ["table", *LINES])
    return typed


def csv_lines(runs: list[Summary], columns: list[str]) -> list[str]:
    """Return a CSV: a header, then a line for each run; missing values are empty."""
    return [csv_line([_harmless(text) for text in row]) for row in _rows(runs, columns)]


def _rows(runs: list[Summary], columns: list[str]) -> list[list[str]]:
    """Return the header and a row for each run: `null` for a key that is null, an empty cell for a missing value."""
    return [columns, *([plain(run.value(column)) if run.has(column) else "" for column in columns] for run in runs)]


def _harmless(text: str) -> str:
    """Return text that neither a spreadsheet takes for a formula, nor a terminal for a command."""
    shown = one_line(text)
    is_number = re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", shown)
    return f"'{shown}" if shown[:1] in tuple("=+-@") and not is_number else shown


def markdown_lines(runs: list[Summary], columns: list[str]) -> list[str]:
    """Return a table in GitHub's Markdown, numbers right-aligned."""
    rules = ["---:" if is_numeric(runs, column) else "---" for column in columns]
    head, *body = [[_escaped(text) for text in row] for row in _rows(runs, columns)]
    return [f"| {' | '.join(row)} |" for row in (head, rules, *body)]


def _escaped(text: str) -> str:
    """Return text that Markdown shows literally."""
    text = one_line(text).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*\[\]|~])", r"\\\1", text)


def json_lines(runs: list[Summary], columns: list[str]) -> list[str]:
    """Return a JSON list with an object for each run; missing values are null."""
    rows = [{column: run.value(column) for column in columns} for run in runs]
    return json_text(rows, indent=1).split("\n")  # ASCII only, so that it cannot control a terminal


LINES = {"csv": csv_lines, "markdown": markdown_lines, "json": json_lines}
