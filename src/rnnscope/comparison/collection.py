"""Finding and reading all runs under a folder; broken ones are reported and skipped."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rnnscope.comparison.run_summary import Summary, summarize, with_known_texts
from rnnscope.errors import UserError
from rnnscope.runs.folder import RunFolder

DEPTH = 4  # levels of folders in which runs are searched for
MOST_RUNS = 20_000
INSIDE = ("checkpoints",)  # subfolders of a run that contain no runs
REPRODUCTIONS = "reproductions"  # folder of a run, or of a sweep


@dataclass
class Found:
    """The runs under a folder, and a message for each problem found there."""

    runs: list[Summary] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def read_runs(folder: Path, reproductions: bool = False) -> Found:
    """Read every run under `folder`, sorted by name; a broken run becomes a complaint.

    Names are paths relative to `folder`, or to its runs/ and sweeps/ if it is an outputs folder. Reproductions are left out
    unless there is nothing else.

    Args:
        reproductions: include reproductions.

    Raises:
        UserError: if there are more than `MOST_RUNS`.
    """
    found = Found()
    inner = [folder / kind for kind in ("runs", "sweeps") if (folder / kind).is_dir()]
    for root in inner or [folder]:
        for path in _run_folders(root, DEPTH, found.complaints, reproductions or REPRODUCTIONS in root.resolve().parts):
            if len(found.runs) + len(found.complaints) >= MOST_RUNS:
                raise UserError(f"folder={folder} has over {MOST_RUNS:,} runs: choose a folder inside it")
            _read_into(found, path, path.name if path == root else path.relative_to(root).as_posix())
    own = [run for run in found.runs if run.facts["reproduces"] is None]
    kept = sorted(found.runs if reproductions or not own else own, key=lambda run: run.name)
    found.runs = with_known_texts(kept)
    return found


def _read_into(found: Found, path: Path, name: str) -> None:
    try:
        run = summarize(RunFolder(path), name)
    except UserError as error:
        found.complaints.append(f"{error}; the run is left out")
        return
    found.runs.append(run)
    found.complaints += [run.complaint] if run.complaint else []


def _run_folders(folder: Path, depth: int, complaints: list[str], repeated: bool) -> Iterator[Path]:
    """Yield the run folders in `folder`, including incomplete ones without run.json."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        complaints.append(f"{folder} cannot be read ({error.strerror})")
        return
    names = {entry.name for entry in entries}
    if "run.json" in names:
        yield folder
        if repeated and REPRODUCTIONS in names:
            yield from _run_folders(folder / REPRODUCTIONS, 1, complaints, repeated)
        return
    inner: list[Path] = []
    for entry in entries:
        if not depth or entry.name.startswith(".") or entry.name in INSIDE or (entry.name == REPRODUCTIONS and not repeated):
            continue
        try:
            is_folder, is_link = entry.is_dir(), entry.is_symlink()
        except OSError as error:  # a link to where we may not look, or to itself
            complaints.append(f"{entry.path} cannot be read ({error.strerror})")
            continue
        if is_folder and is_link:
            complaints.append(f"{entry.path} is a link: links to folders are not followed")
        elif is_folder:
            inner += _run_folders(folder / entry.name, depth - 1, complaints, repeated)
    if not inner and names & {"config.yaml", "metrics.csv"}:
        yield folder
    yield from inner
