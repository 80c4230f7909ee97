"""One column of a table: CSV, as spreadsheets and databases write it, or JSON lines."""

import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

from rnnscope.data.config import CorpusConfig
from rnnscope.data.lines import line_fed, split_lines
from rnnscope.errors import UserError, WrongColumn
from rnnscope.format import plural

SAMPLE = 1 << 16  # characters from which the dialect is detected
SNIFFED = 1 << 12  # of these, how many Python's sniffer sees: its time grows with their square
DELIMITERS = (",", ";", "\t", "|")
NOT_JSON = (ValueError, RecursionError)  # RecursionError comes from values that are nested too deeply
SEP_LINE = re.compile(r'"?sep=(.)"?\r?\n')  # how Excel is told the delimiter
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")  # suffixes


def column_values(
    blocks: Iterable[str], config: CorpusConfig, where: str, suffixes: Iterable[str], changes: Counter[str]
) -> Iterator[str]:
    """Yield the values of one column, row by row; rows without a value are left out and counted in `changes`.

    Unless the keys of `config` set the dialect, it is detected from the beginning of the table and noted in `changes`.
    `where`: the file, for messages. Raises `UserError` if the column does not exist, or a row cannot be read.
    """
    assert config.column is not None
    blocks = iter(blocks)
    sample, complete = _sample(blocks)
    if sample.count("\r") - sample.count("\r\n") > sample.count("\n"):
        sample, blocks = "".join(line_fed([sample])), line_fed(blocks)
    if _is_json(sample):
        yield from _json_values(chain([sample], blocks), config.column, where, changes)
        return
    dialect, sep = _dialect(sample, complete, config, where, suffixes), SEP_LINE.match(sample)
    yield from _csv_values(chain([sample[sep.end() :] if sep else sample], blocks), config, where, dialect, changes)


def check_delimiter(config: CorpusConfig) -> None:
    """Raise `UserError` for values that cannot describe a table, before anything is read."""
    for key in ("delimiter", "escape"):
        value = _typed(getattr(config, key))
        if value is not None and (len(value) != 1 or value in '"\r\n'):
            raise UserError(f"dataset.corpus.{key}={value!r}: give one character, or null to have it detected")

    if config.column and not config.header and not config.column.isdecimal():
        raise UserError(f"dataset.corpus.column={config.column}: with header=false, give the number of the column, from 1")


@dataclass(frozen=True)
class _Dialect:
    """The format of a table, and the column to read: `index`, from 0. `header`: whether the first row holds the names."""

    delimiter: str
    escape: str | None
    index: int
    header: bool

    def rows(self, lines: "_Lines") -> Iterator[list[str]]:
        begun = False
        for row in csv.reader(lines, delimiter=self.delimiter, escapechar=self.escape, strict=True):
            lines.open, begun = False, begun or bool(row)
            if begun:  # lines before the first row may be blank
                yield row


def _typed(character: str | None) -> str | None:
    """Return a character as it was meant: a tab is typed as backslash and t."""
    return "\t" if character == "\\t" else character


def _sample(blocks: Iterator[str]) -> tuple[str, bool]:
    """Return the beginning of a text without its byte order mark, and whether that is all of the text."""
    sample = ""
    for block in chain([next(blocks, "").removeprefix("\ufeff")], blocks):
        sample += block
        if len(sample) >= SAMPLE and ("\n" in sample or sample[0] != "{"):  # a line of JSON can be long
            return sample, False
    return sample, True


def _dialect(sample: str, complete: bool, config: CorpusConfig, where: str, suffixes: Iterable[str]) -> _Dialect:
    """Return the dialect of a table: the usual one for its suffix if that fits, else the first one that does."""
    assert config.column is not None
    usual, delimiter = "\t" if ".tsv" in suffixes else ",", _typed(config.delimiter)
    if not delimiter and (sep := SEP_LINE.match(sample)):
        delimiter, sample = sep[1], sample[sep.end() :]
    candidates = [delimiter] if delimiter else [usual, *DELIMITERS]
    rows = {candidate: _first_row(sample, candidate) for candidate in candidates}
    named = [candidate for candidate in candidates if config.header and config.column in rows[candidate]]
    if named:
        chosen, index = named[0], rows[named[0]].index(config.column)
    else:
        index = int(config.column) - 1 if config.column.isdecimal() else -1
        with suppress(csv.Error):
            sniffed = csv.Sniffer().sniff(sample[:SNIFFED], "".join(DELIMITERS)).delimiter
            candidates.sort(key=lambda candidate: candidate != sniffed)
        chosen = next((candidate for candidate in candidates if 0 <= index < len(rows[candidate])), None)
        if chosen is None:
            raise _no_column(config, where, max(rows.values(), key=len))
    if chosen == _typed(config.escape):
        raise UserError(f"{where}: dataset.corpus.escape={config.escape!r} is the delimiter: set dataset.corpus.delimiter, too")
    plain = _Dialect(chosen, _typed(config.escape), index, config.header)
    escaped = _Dialect(chosen, "\\", index, config.header)
    lines = sample if complete else sample[: sample.rfind("\n") + 1]
    return escaped if config.escape is None and not _readable(lines, plain) and _readable(lines, escaped) else plain


def _first_row(sample: str, delimiter: str) -> list[str]:
    csv.field_size_limit(sys.maxsize)
    for escape, strict in ((None, True), ("\\", True), (None, False)):  # not strict: a row may be longer than the sample
        with suppress(csv.Error):
            rows = csv.reader(split_lines([sample]), delimiter=delimiter, escapechar=escape, strict=strict)
            return next(filter(None, rows), [])
    return []


def _readable(sample: str, dialect: _Dialect) -> bool:
    with suppress(csv.Error):
        return all(True for _ in dialect.rows(_Lines([sample])))
    return False


def _no_column(config: CorpusConfig, where: str, names: list[str]) -> UserError:
    if names and names[0].startswith("{") and not names[-1].strip():
        return UserError(
            f"{where}: not JSON lines: the first line ends with a comma; remove it (sed 's/,$//' FILE > FILE.jsonl)"
        )
    if names and names[0].startswith(("[", "{")):
        program = "'.[]'" if names[0].startswith("[") else "."
        return UserError(f"{where}: JSON, but not one object per line: convert it first (jq -c {program} FILE > FILE.jsonl)")
    found = f"its columns are {', '.join(names[:20])}" if config.header and names else f"it has {plural(len(names), 'column')}"
    return WrongColumn(
        f"{where}: no column {config.column!r}; {found}",
        "set dataset.corpus.column to a name or a number from 1, or, if these are not the columns, dataset.corpus.delimiter",
    )


def _csv_values(
    blocks: Iterable[str], config: CorpusConfig, where: str, dialect: _Dialect, changes: Counter[str]
) -> Iterator[str]:
    changes[_described(dialect, config)] += 1
    lines, width, header = _Lines(blocks), 0, dialect.header
    try:
        for row in dialect.rows(lines):
            width = width or len(row)
            changes["rows with more fields than the first"] += len(row) > width
            if header:
                header = False
            elif dialect.index < len(row) and row[dialect.index]:
                yield row[dialect.index]
            else:
                changes[f"rows without a value in column {config.column!r} left out"] += 1
    except csv.Error as error:
        raise UserError(
            f"{where}: line {lines.number} is not CSV ({error}): correct the file, set dataset.corpus.delimiter or escape, or"
            " set dataset.corpus.column=null to read it as plain text"
        ) from None
    changes["rows cut off inside quotes at the end of a file kept"] += lines.closed


def _described(dialect: _Dialect, config: CorpusConfig) -> str:
    escape = f", {dialect.escape} before quotes" if dialect.escape else ""
    first = "names in the first row" if dialect.header else "no header"
    column = f"column {config.column!r}, number {dialect.index + 1}"
    return f"files read as CSV (delimiter {dialect.delimiter!r}{escape}; {first}; {column})"


class _Lines:
    """The lines of a text, for a CSV reader.

    `number`: the lines so far. `open`: whether a row has begun and not ended. A row that is open when the text ends was
    cut off inside quotes: one more quote closes it, and `closed` is 1.
    """

    def __init__(self, blocks: Iterable[str]) -> None:
        self.open, self.closed, self.number = False, 0, 0
        self._lines = split_lines(blocks)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = next(self._lines, None)
        if line is None and self.open:
            self.open, self.closed = False, 1
            return '"'
        if line is None:
            raise StopIteration
        self.open, self.number = True, self.number + 1
        return line


def _is_json(sample: str) -> bool:
    """Whether the first line is a JSON object."""
    with suppress(*NOT_JSON):
        return isinstance(_loads(sample.lstrip().partition("\n")[0]), dict)
    return False


def _loads(line: str) -> Any:
    return json.loads(line, parse_int=float)  # Python refuses integers of thousands of digits, and numbers are not read


def _json_values(blocks: Iterable[str], column: str, where: str, changes: Counter[str]) -> Iterator[str]:
    changes[f"files read as JSON lines (column {column})"] += 1
    names: dict[str, None] = {}
    for number, line in enumerate(split_lines(blocks), 1):
        if not line.strip():
            continue
        row = _json_row(line, number, where)
        value = row.get(column)
        names.update(dict.fromkeys(row) if len(names) < 20 or column in row else {})
        if isinstance(value, str) and value:
            yield _encodable(value, changes)
        else:
            changes[f"rows without a text in column {column!r} left out"] += 1
    if column not in names:
        raise WrongColumn(
            f"{where}: no column {column!r}; its keys are {', '.join(names)}", "set dataset.corpus.column to one of them"
        )


def _json_row(line: str, number: int, where: str) -> dict[str, Any]:
    try:
        row = _loads(line.rstrip("\r\n"))
    except NOT_JSON as error:
        raise UserError(f"{where}: line {number} is not JSON ({error}): write one object per line") from None
    if not isinstance(row, dict):
        raise UserError(f'{where}: line {number} is not a JSON object: write one per line, such as {{"text": ...}}')
    return row


def _encodable(text: str, changes: Counter[str]) -> str:
    r"""Return `text` with U+FFFD for lone surrogates, which JSON can spell (\ud83d) but no encoding can write."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    changes["lone surrogates replaced by U+FFFD"] += whole.count("\ufffd") - text.count("\ufffd")
    return whole
