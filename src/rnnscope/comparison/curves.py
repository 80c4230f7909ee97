"""The curves of a run, read from its metrics.csv: as many points as a screen shows, and never more in memory."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from rnnscope.errors import UserError
from rnnscope.runs.safe_files import check_plain, last_lines

FILE_LIMIT = 1_000_000_000  # bytes of metrics.csv: some four million rows
LINE_LIMIT = 1_000_000  # characters: the head of a model with a thousand layers has a quarter of that
TAIL = 64_000  # bytes: rows for more steps than usually lie between two validations
LARGEST_STEP = 2**53

Point = tuple[int, float]


@dataclass
class Curves:
    """Points `(step, value)` of each tag, steps ascending; `complaint` says why they end before the file does."""

    points: dict[str, list[Point]] = field(default_factory=dict)
    complaint: str | None = None


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a metrics.csv, its steps ascending; a last line that was cut short is left out.

    Raises:
        UserError: at the first line that is no such row.
    """
    check_plain(path, FILE_LIMIT)
    before = -1
    try:
        rows = csv.reader(_lines(path), strict=True)
        head = next(rows, [])
        for number, cells in enumerate(rows, 2):
            step = _step(cells[0]) if len(cells) == len(head) and head[:1] == ["step"] else None
            if step is None or step <= before:
                raise UserError(f"{path}: line {number} is no row of it")
            yield dict(zip(head, cells, strict=True))
            before = step
    except (OSError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error})") from None


def _lines(path: Path) -> Iterator[str]:
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        while (line := file.readline(LINE_LIMIT)).endswith("\n"):
            yield line
        if len(line) == LINE_LIMIT:
            raise UserError(f"{path}: a line has more than {LINE_LIMIT:,} characters; rnnscope writes none that long")


def _step(text: str) -> int | None:
    step = int(text) if text.isascii() and text.isdigit() and len(text) < 17 else LARGEST_STEP
    return step if step < LARGEST_STEP else None


def read_curves(path: Path, tags: list[str], most: int) -> Curves:
    """Return the curves of a metrics.csv, each of at most `most` points that draw the same line."""
    curves = Curves({tag: [] for tag in tags})
    try:
        for row in read_rows(path):
            for tag, points in curves.points.items():
                if (value := number(row.get(tag))) is not None:
                    points.append((int(row["step"]), value))
                    if len(points) >= 8 * most:
                        points[:] = thin(points, 4 * most)
    except UserError as error:
        curves.complaint = str(error)
    curves.points = {tag: thin(points, most) for tag, points in curves.points.items()}
    return curves


def thin(points: list[Point], most: int) -> list[Point]:
    """Return at most `most` of the points, steps ascending: the first, the last, and the lowest and highest of equal stretches.

    What a peak is to the eye stays one, which a mean of each stretch would flatten.
    """
    if len(points) <= most:
        return points
    first, last = points[0][0], points[-1][0]
    stretches: dict[int, list[Point]] = {}
    for point in points:
        stretches.setdefault((point[0] - first) * (most // 2 - 1) // (last - first + 1), []).append(point)
    extremes = [find(part, key=lambda point: point[1]) for part in stretches.values() for find in (min, max)]
    return sorted({points[0], points[-1], *extremes})


def number(text: str | None) -> float | None:
    """Return the finite number that a cell holds, None where it holds none."""
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def newest_rows(path: Path) -> tuple[Iterator[dict[str, str]], bool]:
    """Return the last rows of a metrics.csv, the newest first, and whether it ends with a whole line.

    Raises:
        UserError: when it cannot be read.
    """
    lines, whole = last_lines(path, TAIL, FILE_LIMIT)
    try:
        head = next(csv.reader(islice(_lines(path), 1)), [])
        size = path.stat().st_size
    except (OSError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error})") from None
    return _backwards(head, lines if size > TAIL else lines[1:]), whole


def _backwards(head: list[str], lines: list[str]) -> Iterator[dict[str, str]]:
    for line in reversed(lines):
        try:
            cells = next(csv.reader([line]), [])
        except csv.Error:
            return
        if len(cells) != len(head) or head[:1] != ["step"] or _step(cells[0]) is None:
            return
        yield dict(zip(head, cells, strict=True))
