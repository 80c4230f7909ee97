"""The list of `rnnscope runs`: each run with its status, age, size and tags, its reproductions below it."""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rnnscope.comparison.collection import REPRODUCTIONS
from rnnscope.comparison.run_summary import Summary
from rnnscope.comparison.select import BEST
from rnnscope.format import one_line, plain, table_lines

HEAD = ["run", "status", "bits/char", "age", "size", "tags", "note"]
WIDEST = 60  # characters of a note
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def size_of(folder: Path) -> int:
    """Return the size in bytes of all files in a folder."""
    total = 0
    for place, _, names in os.walk(folder):
        total += sum(os.lstat(os.path.join(place, name)).st_size for name in names)
    return total


def size_text(size: int) -> str:
    """Return a readable number of bytes: 420 kB, 1.3 MB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def age_text(started: Any) -> str:
    """Return how long ago a run started: 3 d, 2 h, 5 min; empty if its record does not say."""
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds()
    except (TypeError, ValueError):
        return ""
    return next((f"{seconds / unit:.0f} {name}" for unit, name in UNITS if seconds >= unit), "now")


def families(runs: Iterable[Summary]) -> list[tuple[Summary, list[Summary]]]:
    """Return runs, newest first, each with all its reproductions; one whose parent is missing comes by itself."""
    ordered = sorted(runs, key=lambda run: plain(run.facts["started"]), reverse=True)
    places = {os.path.realpath(run.folder.path): run.name for run in ordered}
    below: dict[str, list[Summary]] = {run.name: [] for run in ordered}
    alone = []
    for run in ordered:
        parent = places.get(os.path.realpath(place_of_parent(run))) if run.facts["reproduces"] else None
        (below[parent] if parent not in (None, run.name) else alone).append(run)

    def family(run: Summary) -> list[Summary]:
        return [member for child in below[run.name] for member in (child, *family(child))]

    return [(run, family(run)) for run in alone]


def place_of_parent(run: Summary) -> str:
    """Return the folder of the run that a reproduction repeats: by its own path, else as recorded."""
    path = run.folder.path
    if path.parent.name == REPRODUCTIONS:
        return str(path.parents[1])
    if len(path.parents) > 2 and path.parents[1].name == REPRODUCTIONS:  # of a sweep: reproductions/<time>/<job>
        return str(path.parents[2] / path.name)
    return str(run.facts["reproduces"])


def lines_of(runs: Iterable[Summary]) -> list[str]:
    """Return the list as the lines of a table."""
    rows = [HEAD]
    for run, reproductions in families(runs):
        rows.append(_row(run, run.name, str(run.facts["status"])))
        for child in reproductions:
            stamp = child.name.rpartition("reproductions/")[2]
            rows.append(_row(child, f"  reproduced {stamp}", str(child.facts["verdict"] or child.facts["status"])))
    return table_lines([[one_line(cell) for cell in row] for row in rows], left=(0, 1, 5, 6))


def _row(run: Summary, name: str, status: str) -> list[str]:
    bits, tags, note = run.number(BEST), run.value("tags"), str(run.value("note") or "")
    result, tagged = "" if bits is None else f"{bits:.4f}", ", ".join(tags) if isinstance(tags, list) else ""
    shown = note if len(note) <= WIDEST else f"{note[: WIDEST - 1]}\u2026"
    return [name, status, result, age_text(run.facts["started"]), size_text(size_of(run.folder.path)), tagged, shown]


def values_of(run: Summary) -> dict[str, Any]:
    """Return the facts about a run that `json=true` prints."""
    keys = ("run", "folder", "status", BEST, "started", "tags", "note", "reproduces", "verdict")
    return {**{key: run.value(key) for key in keys}, "bytes": size_of(run.folder.path)}
