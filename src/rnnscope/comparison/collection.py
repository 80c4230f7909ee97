"""All runs under a folder, each in a line; what is broken there is said, and the rest go on."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rnnscope.comparison.run_summary import Summary, summarize
from rnnscope.errors import UserError
from rnnscope.runs.folder import RunFolder

DEPTH = 4  # of folders in which runs are looked for
MOST_RUNS = 20_000
INSIDE = ("checkpoints",)  # folders of a run, in which there are no runs
REPRODUCTIONS = "reproductions"  # of a run, or of a sweep's jobs


@dataclass
class Found:
    """The runs under a folder, and a line for each thing that is wrong there."""

    runs: list[Summary] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def read_runs(folder: Path, reproductions: bool = False) -> Found:
    """Read every run under `folder`, by name; a broken one becomes a complaint and the rest go on.

    Names are paths under `folder`, or under its runs/ and sweeps/ where it is an outputs folder. Runs that repeat another
    are left out unless there is nothing else.

    Args:
        reproductions: read those, too.

    Raises:
        UserError: when there are more than any table should hold.
    """
    found = Found()
    inner = [folder / kind for kind in ("runs", "sweeps") if (folder / kind).is_dir()]
    for root in inner or [folder]:
        for path in _run_folders(root, DEPTH, found.complaints, reproductions or REPRODUCTIONS in root.resolve().parts):
            if len(found.runs) + len(found.complaints) >= MOST_RUNS:
                raise UserError(f"folder={folder} has over {MOST_RUNS:,} runs: choose a folder inside it")
            _read_into(found, path, path.name if path == root else path.relative_to(root).as_posix())
    own = [run for run in found.runs if run.facts["reproduces"] is None]
    found.runs = sorted(found.runs if reproductions or not own else own, key=lambda run: run.name)
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
    """Yield the run folders in `folder`, those without run.json included: what they lack is for the reader to say."""
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
