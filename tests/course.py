"""The lessons of docs/course.md, as its commands and as what they leave in a folder."""

import csv
import json
import re
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).parents[1] / "docs" / "course.md").read_text(encoding="utf-8")
LESSONS = {int(lesson[0]): re.findall(r"^\$ (.*)$", lesson, re.M) for lesson in PAGE.split("\n## ")[1:]}


def runs(folder: Path) -> dict[str, Path]:
    """Return the run folders that a lesson left, by the names of the runs, or of a sweep's jobs."""
    found = {}
    for path in (folder / "outputs").glob("*/*/*/config.yaml"):
        kind, name, job, _ = path.relative_to(folder / "outputs").parts
        found[job if kind == "sweeps" else name] = path.parent
    return found


def column(run: Path, name: str) -> dict[int, float]:
    """Return a curve of metrics.csv: its values by step."""
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return {int(row["step"]): float(row[name]) for row in csv.DictReader(file) if row.get(name)}


def last(run: Path, name: str) -> float:
    return list(column(run, name).values())[-1]


def page_data(page: Path) -> dict[str, Any]:
    """Return what a page of `rnnscope visualize` draws."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.S)
    return json.loads(found)
