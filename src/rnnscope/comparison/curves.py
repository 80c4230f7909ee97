"""The curves of a run, read from metrics.csv: no more points than a screen can show are kept in memory."""

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rnnscope.errors import UserError
from rnnscope.runs.journal import Row, read_rows

Point = tuple[int, float]


@dataclass
class Curves:
    """Points `(step, value)` by tag, steps ascending; `complaint` says why they end before the file does."""

    points: dict[str, list[Point]] = field(default_factory=dict)
    complaint: str | None = None


def read_curves(path: Path, tags: list[str], most: int) -> Curves:
    """Return the curves in a metrics.csv, each reduced to at most `most` points that draw the same line."""
    curves = Curves({tag: [] for tag in tags})
    try:
        for row in read_rows(path):
            for tag, points in curves.points.items():
                if (value := finite(row.get(tag))) is not None:
                    points.append((int(row["step"]), value))
                    if len(points) >= 8 * most:
                        points[:] = thin(points, 4 * most)
    except UserError as error:
        curves.complaint = str(error)
    curves.points = {tag: thin(points, most) for tag, points in curves.points.items()}
    return curves


def mean_rows(paths: list[Path]) -> Iterator[tuple[int, dict[str, tuple[float, float]]]]:
    """Yield each step that all files have, with the mean and standard deviation of each column.

    Raises:
        UserError: at the first line that is not a row.
    """
    journals = [read_rows(path) for path in paths]
    rows = [next(journal, None) for journal in journals]
    while all(rows):
        steps = [int(row["step"]) for row in rows if row]
        if min(steps) == max(steps):
            yield steps[0], _spreads([row for row in rows if row])
        behind = [step < max(steps) or min(steps) == max(steps) for step in steps]
        rows = [next(journal, None) if late else row for late, journal, row in zip(behind, journals, rows, strict=True)]


def _spreads(rows: list[Row]) -> dict[str, tuple[float, float]]:
    """Return the mean and standard deviation of each column in which all rows have a finite number."""
    found = {}
    for tag in rows[0]:
        values = [value for row in rows if (value := finite(row.get(tag))) is not None]
        if len(values) == len(rows) and tag != "step":
            found[tag] = statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
    return found


def mean_curves(paths: list[Path], tags: list[str], most: int) -> tuple[Curves, Curves]:
    """Return the mean curves of several metrics.csv and their standard deviations, at most `most` points each."""
    means, deviations = Curves({tag: [] for tag in tags}), Curves({tag: [] for tag in tags})
    try:
        for step, spreads in mean_rows(paths):
            for tag in tags:
                if tag in spreads:
                    means.points[tag].append((step, spreads[tag][0]))
                    deviations.points[tag].append((step, spreads[tag][1]))
    except UserError as error:
        means.complaint = str(error)
    for curves in (means, deviations):
        curves.points = {tag: points[:: -max(1, -(-len(points) // most))][::-1] for tag, points in curves.points.items()}
    return means, deviations


def thin(points: list[Point], most: int) -> list[Point]:
    """Return at most `most` of the points, steps ascending: the first, the last, and the extremes of equal stretches.

    Peaks stay visible, which averaging each stretch would flatten.
    """
    if len(points) <= most:
        return points
    first, last = points[0][0], points[-1][0]
    stretches: dict[int, list[Point]] = {}
    for point in points:
        stretches.setdefault((point[0] - first) * (most // 2 - 1) // (last - first + 1), []).append(point)
    extremes = [find(part, key=lambda point: point[1]) for part in stretches.values() for find in (min, max)]
    return sorted({points[0], points[-1], *extremes})


def finite(text: str | None) -> float | None:
    """Return the finite number in a cell, or None if there is none."""
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
