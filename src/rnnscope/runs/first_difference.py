"""Where the metrics of two runs part: the steps that both have, side by side."""

from collections.abc import Iterator
from dataclasses import dataclass

from rnnscope.runs.verdict import Difference


@dataclass
class Parting:
    """The steps that both metrics.csv have, how many of them are the same, and the first value that is not."""

    steps: int = 0
    same: int = 0
    first: Difference | None = None


def parting(first: Iterator[dict[str, str]], second: Iterator[dict[str, str]]) -> Parting:
    """Compare rows step by step, in the columns that both have; a step or a value that only one has is no difference."""
    found = Parting()
    old, new = next(first, None), next(second, None)
    while old and new:
        before, after = int(old["step"]), int(new["step"])
        if before == after:
            found.steps += 1
            difference = _difference(old, new)
            found.same += difference is None
            found.first = found.first or difference
        old, new = next(first, None) if before <= after else old, next(second, None) if after <= before else new
    return found


def _difference(old: dict[str, str], new: dict[str, str]) -> Difference | None:
    for what, value in old.items():
        if value and new.get(what) and value != new[what]:
            return Difference(int(old["step"]), what, value, new[what])
    return None
