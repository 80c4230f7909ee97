"""The curves of a run, read from its metrics.csv: as many points as a screen shows, and never more in memory."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from rnnscope.errors import UserError
from rnnscope.runs.journal import read_rows

Point = tuple[int, float]


@dataclass
class Curves:
    """Points `(step, value)` of each tag, steps ascending; `complaint` says why they end before the file does."""

    points: dict[str, list[Point]] = field(default_factory=dict)
    complaint: str | None = None


def read_curves(path: Path, tags: list[str], most: int) -> Curves:
    """Return the curves of a metrics.csv, each of at most `most` points that draw the same line."""
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


def finite(text: str | None) -> float | None:
    """Return the finite number that a cell holds, None where it holds none."""
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
