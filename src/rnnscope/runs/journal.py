"""metrics.csv, timings.csv and samples.jsonl: appended line by line, and cut back to a checkpoint's offset on resume."""

import csv
import io
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from rnnscope.errors import DAMAGED, UserError, reason
from rnnscope.format import json_text
from rnnscope.runs.safe_files import check_plain, last_lines

FILE_LIMIT = 10_000_000_000  # bytes
LINE_LIMIT = 20_000_000  # characters; a generated text has at most a million tokens
ROW_LIMIT = 1_000_000  # characters of a row; the header of a model with a thousand layers has a quarter of that
TAIL = 64_000  # bytes: more rows than usually lie between two validations
LARGEST_STEP = 2**53

Row = dict[str, str]  # the cells of a CSV row by column; `step` is a whole number


class Journal:
    """A text file to which lines are appended."""

    def __init__(self, path: Path, first_line: str = "") -> None:
        self.path = path
        self._file = path.open("ab")
        if first_line and self._file.tell() == 0:
            self.write_line(first_line)

    def write_line(self, line: str) -> None:
        """Append one line and flush it to the operating system."""
        self._file.write(line.encode("utf-8", "replace") + b"\n")
        self._file.flush()

    @property
    def offset(self) -> int:
        """The file's length in bytes."""
        return self._file.tell()

    def truncate(self, offset: int) -> None:
        """Cut off everything after `offset`.

        Raises:
            UserError: if the file is shorter than that, or no line ends there: the checkpoint relies on different lines.
        """
        length = self._file.seek(0, os.SEEK_END)
        if not 0 <= offset <= length:
            raise UserError(f"{self.path} has {length} bytes, but its checkpoint needs {offset}: it was changed; restore it")
        if not self._ends_a_line(offset):
            raise UserError(f"{self.path}: no line ends at byte {offset}, where its checkpoint was: it was changed; restore it")
        self._file.truncate(offset)
        self._file.seek(offset)

    def _ends_a_line(self, offset: int) -> bool:
        with self.path.open("rb") as file:
            file.seek(max(0, offset - 1))
            return offset == 0 or file.read(1) == b"\n"

    def sync(self) -> None:
        """Sync all lines to disk: a checkpoint is about to rely on them."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class CsvJournal(Journal):
    """A CSV with fixed columns; floats read back with the same bits.

    A file that has rows keeps its header. If a different version of rnnscope wrote it, columns that only the file has stay
    empty from here on, and `left_out` are the columns that the file lacks: their values are not written.

    Args:
        columns: of a new file; `append` accepts no others.

    Raises:
        UserError: if the file does not begin with a header.
    """

    def __init__(self, path: Path, columns: list[str]) -> None:
        self._known = frozenset(columns)
        self.columns = _header_of(path) if path.is_file() and path.stat().st_size else columns
        super().__init__(path, csv_line(columns))
        self.left_out = [column for column in columns if column not in self.columns]

    def append(self, values: dict[str, Any]) -> None:
        """Append a row; a column without a value stays empty."""
        assert values.keys() <= self._known, sorted(values.keys() - self._known)
        self.write_line(csv_line([_text(values.get(column)) for column in self.columns]))


class JsonJournal(Journal):
    """One JSON object per line."""

    def append(self, values: dict[str, Any]) -> None:
        self.write_line(json_text(values, ensure_ascii=False))


def csv_line(cells: list[str]) -> str:
    """Return one CSV line without its line end."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    return buffer.getvalue()


def _header_of(path: Path) -> list[str]:
    try:
        columns = next(csv.reader(whole_lines(path)), list[str]())
    except csv.Error:
        columns = []
    if "step" not in columns:
        raise UserError(f"{path} does not begin with the names of columns, including step: restore the original file")
    return columns


def _text(value: Any) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else str(value)  # repr: the shortest text that reads back exactly


def whole_lines(path: Path, longest: int = LINE_LIMIT) -> Iterator[str]:
    """Yield the complete lines of a journal; a last line that a killed process cut short is left out.

    Raises:
        UserError: if it is not an ordinary file, or a line is too long for memory.
    """
    check_plain(path, FILE_LIMIT)
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        while (line := file.readline(longest)).endswith("\n"):
            yield line
        if len(line) == longest:
            raise UserError(f"{path}: a line has more than {longest:,} characters; rnnscope writes none that long")


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of metrics.csv or timings.csv, steps ascending; an incomplete last line is left out.

    Raises:
        UserError: at the first line that is not a valid row.
    """
    before = -1
    try:
        rows = csv.reader(whole_lines(path, ROW_LIMIT), strict=True)
        head = next(rows, list[str]())
        for number, cells in enumerate(rows, 2):
            step = _step(head, cells)
            if step is None or step <= before:
                raise UserError(f"{path}: line {number} is not a valid row: {DAMAGED}")
            yield dict(zip(head, cells, strict=True))
            before = step
    except (OSError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({reason(error)})") from None


def newest_rows(path: Path) -> tuple[Iterator[Row], bool]:
    """Return the last rows of metrics.csv or timings.csv, newest first, and whether the file ends with a complete line.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        lines, whole = last_lines(path, TAIL, FILE_LIMIT)
        head = next(csv.reader(islice(whole_lines(path, ROW_LIMIT), 1)), list[str]())
        size = path.stat().st_size
    except (OSError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({reason(error)})") from None
    return _backwards(head, lines if size > TAIL else lines[1:]), whole


def _backwards(head: list[str], lines: list[str]) -> Iterator[Row]:
    for line in reversed(lines):
        try:
            cells = next(csv.reader([line]), list[str]())
        except csv.Error:
            return
        if _step(head, cells) is None:
            return
        yield dict(zip(head, cells, strict=True))


def _step(head: list[str], cells: list[str]) -> int | None:
    """Return the step of a row, or None if it has the wrong length or its step is not a whole number below 2**53."""
    text = cells[0] if len(cells) == len(head) and head[:1] == ["step"] else ""
    step = int(text) if text.isascii() and text.isdigit() and len(text) < 17 else LARGEST_STEP
    return step if step < LARGEST_STEP else None


def _number(path: Path, row: Row, tag: str) -> float:
    try:
        return float(row[tag])
    except ValueError:
        raise UserError(f"{path}: {tag} at step {row['step']} is {row[tag][:40]!r}, not a number: {DAMAGED}") from None


def read_curve(path: Path, tag: str) -> tuple[list[int], list[float]]:
    """Return the steps and values of a column of a metrics.csv.

    Raises:
        UserError: if it has no such column, naming those it has, or a value is not a number.
    """
    if not path.parent.is_dir():
        raise UserError(f"{path.parent} does not exist any more: it was moved or deleted")
    steps: list[int] = []
    values: list[float] = []
    for row in read_rows(path) if path.exists() else ():
        if tag not in row:
            raise UserError(f"{path} has no column {tag}; it has {', '.join(row)}")
        if row[tag]:
            steps.append(int(row["step"]))
            values.append(_number(path, row, tag))
    return steps, values
