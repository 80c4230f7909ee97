"""Where the metrics of two runs begin to differ, row by row."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from rnnscope.runs.journal import Row


@dataclass(frozen=True)
class Difference:
    """A recorded value and the different one that was found now."""

    step: int
    what: str
    recorded: str
    now: str

    @property
    def size(self) -> float:
        """The absolute difference; infinite if one of them is not a number."""
        try:
            gap = abs(float(self.recorded) - float(self.now))
        except ValueError:
            return math.inf
        return math.inf if math.isnan(gap) else gap


@dataclass
class CommonSteps:
    """The number of steps that two metrics.csv have in common, how many of them are equal, and the first difference."""

    steps: int = 0
    same: int = 0
    first: Difference | None = None


def first_difference(recorded: Iterator[Row], now: Iterator[Row]) -> CommonSteps:
    """Compare rows in the columns that both have; a step or value that only one has is ignored."""
    found = CommonSteps()
    for old, new in by_step(recorded, now):
        if old and new:
            found.steps += 1
            difference = row_difference(old, new, [key for key in old if old[key] and new.get(key)])
            found.same += difference is None
            found.first = found.first or difference
    return found


def by_step(recorded: Iterator[Row], now: Iterator[Row]) -> Iterator[tuple[Row | None, Row | None]]:
    """Yield the rows of each step in pairs, with None for a run that has no row of that step."""
    old, new = next(recorded, None), next(now, None)
    while old or new:
        before, after = (int(row["step"]) if row else math.inf for row in (old, new))
        yield old if before <= after else None, new if after <= before else None
        old, new = next(recorded, None) if before <= after else old, next(now, None) if after <= before else new


def row_difference(old: Row, new: Row, columns: list[str]) -> Difference | None:
    """Return the first difference between two rows of one step, in order of `columns`."""
    what = next((column for column in columns if old[column] != new[column]), None)
    return None if what is None else Difference(int(old["step"]), what, old[what], new[what])
