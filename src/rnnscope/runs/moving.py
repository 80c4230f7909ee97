"""Moving whole run folders: to a different name, to the trash next to runs/, and back.

Each move is one rename, so that a kill never leaves a run in two places or half of one.
"""

import os
import re
import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from rnnscope.errors import UserError
from rnnscope.paths import outputs_folder
from rnnscope.runs.files import sync_folder
from rnnscope.runs.folder import RunFolder, check_run_name
from rnnscope.runs.lock import RunLock, is_locked

STAMP = "%Y-%m-%d_%H-%M-%S"  # name of a folder in the trash: when its runs were moved there
PURGED = ".purged"  # how the name of a folder that is being deleted begins


def trash_folder() -> Path:
    """Return the trash, which has each run at <time>/runs/<name>/<time of the run>."""
    return outputs_folder() / "trash"


def check_movable(run: RunFolder) -> None:
    """Check that a run may be moved.

    Raises:
        UserError: if it is in use, belongs to a sweep, or is not in outputs/runs.
    """
    aside = re.search(r"\.(failed|diverged)-\d+$", run.path.name)  # a job that a sweep has repeated
    if (run.path.parent / "sweep.yaml").exists() and not aside:
        sweep = run.path.parent.name
        raise UserError(f"{run.path} is a job of the sweep {sweep} and cannot be moved: the sweep would train it again")
    if not run.path.resolve().is_relative_to((outputs_folder() / "runs").resolve()):
        raise UserError(f"{run.path} is not in {outputs_folder() / 'runs'}: move it yourself")
    for part in (run, *(RunFolder(path) for path in run.reproductions.glob("*"))):
        if is_locked(part.lock):
            raise UserError(f"{part.path} is being trained by another process; wait for it, or stop it first")


def move_run(run: RunFolder, target: Path) -> None:
    """Move a run folder to `target`.

    Raises:
        UserError: if `target` exists already, or the run is in use.
    """
    with RunLock(run.lock):
        if os.path.lexists(target):
            raise UserError(f"{run.path} cannot be moved: {target} exists already")
        target.parent.mkdir(parents=True, exist_ok=True)
        run.path.rename(target)
    for folder in (target.parent, run.path.parent):
        sync_folder(folder)
    remove_empty(run.path.parent)


def remove_empty(folder: Path) -> None:
    """Remove a folder if it is empty, then its parents likewise, up to runs/ or trash/ in the outputs folder."""
    while folder.parent != outputs_folder() and folder != folder.parent:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def renamed(run: RunFolder, name: str) -> Path:
    """Return the path of a run once it is called `name`.

    Raises:
        UserError: for a name that no folder can have.
    """
    check_run_name(name)
    return outputs_folder() / "runs" / name / run.path.name


def trashed(run: RunFolder) -> Path:
    """Return the path of a run in the trash, if it is moved there now."""
    inner = run.path.resolve().relative_to(outputs_folder().resolve())
    return trash_folder() / datetime.now().strftime(STAMP) / inner


def restored(run: RunFolder) -> Path:
    """Return the path that a run in the trash came from."""
    return outputs_folder() / run.path.relative_to(trash_folder() / stamp_of(run))


def stamp_of(run: RunFolder) -> str:
    """Return the name of the folder in the trash that contains a run."""
    return run.path.relative_to(trash_folder()).parts[0]


def seconds_in_trash(run: RunFolder) -> float:
    """Return how long ago a run was moved to the trash; 0 if the name of the folder is not a time."""
    with suppress(ValueError):
        return (datetime.now() - datetime.strptime(stamp_of(run), STAMP)).total_seconds()
    return 0.0


def delete_run(run: RunFolder) -> None:
    """Delete a run in the trash. It is renamed first, so that half of it can never be restored."""
    with RunLock(run.lock):
        doomed = run.path.rename(trash_folder() / f"{PURGED}-{stamp_of(run)}-{os.getpid()}-{run.path.name}")
    shutil.rmtree(doomed)
    remove_empty(run.path.parent)


def finish_deleting() -> None:
    """Delete what a killed process had begun to delete."""
    for path in trash_folder().glob(f"{PURGED}-*"):
        shutil.rmtree(path)
