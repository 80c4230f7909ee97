"""Finding runs: `latest`, a folder, or a unique prefix of a run's name."""

from collections.abc import Iterator
from pathlib import Path

from rnnscope.errors import UserError
from rnnscope.paths import outputs_folder
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.record import Record


def find_run(run: str, key: str = "run") -> RunFolder:
    """Return the run that `run` names: a folder, `latest`, or a unique prefix of its name.

    The latest is the newest with weights that is not a reproduction. A run's name is its path under outputs/runs or
    outputs/sweeps; a prefix may leave out folders in front. A reproduction is meant only where no other run fits.

    Args:
        key: what the name was given as, for messages.

    Raises:
        UserError: when it names no run, or more than one.
    """
    root = outputs_folder()
    if run == "latest":
        return _latest(root, key)
    folder = Path(run)
    if (folder / "config.yaml").is_file():
        return RunFolder(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{key}={run}: this folder is not a run (it has no config.yaml)")
    runs = {found: (name_of(found, root), found.path.name) for found in iterate_runs(root)}
    whole = [found for found, names in runs.items() if run in names]  # lr-0.1 is not lr-0.15
    matches = whole or [found for found, names in runs.items() if any(name.startswith(run) for name in names)]
    matches = [found for found in matches if not _repeats(found)] or matches
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = ", ".join(runs[found][0] for found in matches[:3])
        raise UserError(
            f"{key}={run} fits {len(matches)} runs ({names}{', ...' if len(matches) > 3 else ''}): write more of the name"
        )
    if not runs:
        raise UserError(f"{key}={run}: there are no runs under {root}; train one with: rnnscope train")
    raise UserError(f"{key}={run}: neither a run folder nor the name of any of the {len(runs)} runs under {root}")


def iterate_runs(root: Path) -> Iterator[RunFolder]:
    """Yield every run under outputs/runs and outputs/sweeps."""
    for kind in ("runs", "sweeps"):
        for config in sorted((root / kind).glob("*/*/config.yaml")):
            yield RunFolder(config.parent)


def name_of(folder: RunFolder, root: Path) -> str:
    """Return `<name>/<time>`, as people type it."""
    return str(folder.path.relative_to(root)).partition("/")[2]


def _latest(root: Path, key: str) -> RunFolder:
    able = [run for run in iterate_runs(root) if run.weights.exists() or any(run.checkpoints.glob("*.ckpt"))]
    if not able:
        raise UserError(f"{key}=latest: there is no run with a checkpoint under {root}; train one with: rnnscope train")
    return max(able, key=_newness)


def _newness(folder: RunFolder) -> tuple[bool, str, str]:
    """What the latest run has most of.

    That it repeats no other run: whoever reproduced some steps goes on with what they trained. Then when it began, by its own
    record, which survives copying; then its name, for runs of the same second.
    """
    try:
        return not _repeats(folder), str(Record.read(folder.record).values.get("started", "")), folder.path.name
    except UserError:
        return False, "", folder.path.name


def _repeats(folder: RunFolder) -> bool:
    """Whether `rnnscope reproduce` made this run."""
    try:
        return Record.read(folder.record).get("parent.reproduced", bool, False)
    except UserError:
        return False
