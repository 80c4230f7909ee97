"""metrics.csv, timings.csv and samples.jsonl: append-only, whole lines, cut back to a checkpoint's offset on resume."""

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnnscope.errors import UserError
from rnnscope.runs.safe_files import check_plain

FILE_LIMIT = 10_000_000_000  # bytes
LINE_LIMIT = 20_000_000  # characters: a generated text has at most a million tokens


class Journal:
    """A text file that only grows, a line at a time; `offset` is where it ends now."""

    def __init__(self, path: Path, first_line: str = "") -> None:
        self.path = path
        self._file = path.open("ab")
        if first_line and self._file.tell() == 0:
            self.write_line(first_line)

    def write_line(self, line: str) -> None:
        """Append one line and hand it to the operating system."""
        self._file.write(line.encode("utf-8", "replace") + b"\n")
        self._file.flush()

    @property
    def offset(self) -> int:
        """The file's length in bytes."""
        return self._file.tell()

    def truncate(self, offset: int) -> None:
        """Forget everything written after `offset`.

        Raises:
            UserError: when the file is shorter than that: lines that a checkpoint counts on are gone.
        """
        length = self._file.seek(0, os.SEEK_END)
        if not 0 <= offset <= length:
            raise UserError(f"{self.path} has {length} bytes where its checkpoint wrote {offset}: it was changed; put it back")
        self._file.truncate(offset)
        self._file.seek(offset)

    def sync(self) -> None:
        """Make sure that every line so far is on disk: a checkpoint is about to count on them."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class CsvJournal(Journal):
    """A CSV with fixed columns; numbers are written so that reading them gives the same bits.

    A file that has rows keeps its header. Where another version of rnnscope wrote that, columns that only the file has
    stay empty from here on, and `left_out` are the columns that the file does not have: their values are not written.

    Args:
        columns: what a new file gets, and all that `append` may be given.

    Raises:
        UserError: when the file does not begin with a header.
    """

    def __init__(self, path: Path, columns: list[str]) -> None:
        self._known = frozenset(columns)
        self.columns = _header_of(path) if path.is_file() and path.stat().st_size else columns
        super().__init__(path, csv_line(columns))
        self.left_out = [column for column in columns if column not in self.columns]

    def append(self, values: dict[str, Any]) -> None:
        """Append a row; a column without a value stays empty, a value that is not of `columns` is a defect."""
        assert values.keys() <= self._known, sorted(values.keys() - self._known)
        self.write_line(csv_line([_text(values.get(column)) for column in self.columns]))


class JsonJournal(Journal):
    """One JSON object a line."""

    def append(self, values: dict[str, Any]) -> None:
        self.write_line(json.dumps(values, ensure_ascii=False))


def csv_line(cells: list[str]) -> str:
    """Return one CSV line without its line end."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    return buffer.getvalue()


def _header_of(path: Path) -> list[str]:
    try:
        columns = next(csv.reader(whole_lines(path)), [])
    except csv.Error:
        columns = []
    if "step" not in columns:
        raise UserError(f"{path} does not begin with the names of its columns, step among them: it was changed; put it back")
    return columns


def _text(value: Any) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else str(value)  # repr: the shortest text that reads back exactly


def whole_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a journal, leaving out a last one that was cut short by the end of its process.

    Raises:
        UserError: where it is no plain file, or has a line that fills the memory: somebody else may have made it.
    """
    check_plain(path, FILE_LIMIT)
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        while (line := file.readline(LINE_LIMIT)).endswith("\n"):
            yield line
        if len(line) == LINE_LIMIT:
            raise UserError(f"{path}: a line has more than {LINE_LIMIT:,} characters; rnnscope writes none that long")


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the whole rows of a CSV as dicts of text."""
    return list(csv.DictReader(whole_lines(path)))
