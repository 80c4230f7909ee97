"""Finding runs: `latest`, a folder, or the beginning of a run's name."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rnnscope.errors import UserError
from rnnscope.paths import PACKAGE, example_run, outputs_folder
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.record import Record


def find_run(run: str, key: str = "run") -> RunFolder:
    """Return the run that `run` names: a folder, `latest`, or a unique prefix of a name.

    `latest` is the newest run with weights that is not a reproduction. All runs in one folder of outputs/runs share the name
    of that folder, which means the newest of them; with the time appended, the name means one run. The jobs of a sweep are
    called <sweep>/<job>, or <job> alone. `examples/<name>` came with the package. A reproduction is found only if no other
    run fits.

    Args:
        key: the key that gave the name, for messages.

    Raises:
        UserError: if it names no run, or runs with different names.
    """
    root = outputs_folder()
    if not run:
        raise UserError(f"{key}= is empty: give a run folder, the name of a run, or latest")
    if run == "latest":
        return _latest(root, key)
    folder = Path(os.path.expanduser(run))
    for place in (folder, root / "runs" / run, root / "sweeps" / run):  # the name of a reproduction begins with its run's
        if os.path.isfile(place / "config.yaml"):
            return RunFolder(place)
    if (shipped := example_run(run)) is not None:
        return RunFolder(shipped)
    if os.path.isdir(folder) and any(folder.iterdir()):
        raise UserError(f"{key}={run}: this folder is not a run (it has no config.yaml)")
    if folder.suffix == ".ckpt" and os.path.isfile(folder):
        raise UserError(f"{key}={run} is a checkpoint, but {key}= takes a run here: {key}={folder.parent.parent}")
    runs = {found: name_of(found, root) for found in iterate_runs(root)}
    matches = next(filter(None, _matches(run, runs)), list[RunFolder]())
    names = list(dict.fromkeys(_shared_name(found, runs[found]) for found in matches))
    if len(names) == 1:
        return max(matches, key=_newness)
    if matches:
        listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise UserError(f"{key}={run} fits {len(names)} runs ({listed}): write more of the name")
    if not runs:
        raise UserError(f"{key}={run}: there are no runs under {root}; train one with: rnnscope train")
    raise UserError(f"{key}={run}: neither a run folder nor the name of any of the {len(runs)} runs under {root}")


def typed_name(run: RunFolder) -> str:
    """Return what `run=` takes for this run: the short name of one under outputs/runs or in the package, else its path."""
    for root in ((outputs_folder() / "runs").absolute(), PACKAGE):
        if (path := run.path.absolute()).is_relative_to(root):
            return str(path.relative_to(root))
    return str(run.path)


def find_checkpoint(run: str, checkpoint: str) -> tuple[RunFolder, str]:
    """Return the run and checkpoint that the user means: the path of a checkpoint names both.

    Raises:
        UserError: if the run does not exist, or two different checkpoints are named.
    """
    path = Path(os.path.expanduser(run))
    if path.suffix != ".ckpt" or not os.path.isfile(path):
        return find_run(run), checkpoint
    if checkpoint not in ("best", path.stem, path.name):
        raise UserError(f"run={run} is a checkpoint, and checkpoint={checkpoint} a different one: leave one of them out")
    return find_run(str(path.absolute().parent.parent)), path.stem


def _matches(run: str, runs: dict[RunFolder, str]) -> Iterator[list[RunFolder]]:
    """Yield the runs with exactly this name, then those whose name begins with it; lr-0.1 is not lr-0.15."""
    named = {found: (name, found.path.name, _shared_name(found, name)) for found, name in runs.items()}
    yield [found for found, names in named.items() if run in names]
    begins = [found for found, names in named.items() if any(name.startswith(run) for name in names)]
    yield [found for found in begins if not _repeats(found)]
    yield begins


def _shared_name(folder: RunFolder, name: str) -> str:
    """Return the name that all runs in one folder of outputs/runs share; a job of a sweep has a name of its own."""
    return name.partition("/")[0] if folder.path.parents[1].name == "runs" else name


def iterate_runs(root: Path) -> Iterator[RunFolder]:
    """Yield every run under outputs/runs and outputs/sweeps."""
    for kind in ("runs", "sweeps"):
        for config in sorted((root / kind).glob("*/*/config.yaml")):
            yield RunFolder(config.parent)


def name_of(folder: RunFolder, root: Path) -> str:
    """Return `<name>/<time>`, as users type it."""
    return str(folder.path.relative_to(root)).partition("/")[2]


def _latest(root: Path, key: str) -> RunFolder:
    able = [run for run in iterate_runs(root) if run.weights.exists() or any(run.checkpoints.glob("*.ckpt"))]
    if not able:
        raise UserError(f"{key}=latest: no run under {root} has a checkpoint; train one with: rnnscope train")
    return max(able, key=_newness)


def _newness(folder: RunFolder) -> tuple[bool, str, str]:
    """Return a sort key: the latest run has the largest.

    Runs that are not reproductions come last, since users continue with what they trained. Then the recorded start counts,
    which survives copying, then the name.
    """
    with suppress(UserError):
        return not _repeats(folder), str(Record.read(folder.record).values.get("started", "")), folder.path.name
    return False, "", folder.path.name


def _repeats(folder: RunFolder) -> bool:
    """Whether this run is a reproduction."""
    with suppress(UserError):
        return Record.read(folder.record).get("parent.reproduced", bool, False)
    return False
