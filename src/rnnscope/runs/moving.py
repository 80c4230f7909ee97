"""Moving whole run folders: to another name, to the trash beside runs/, and back.

Each move is one rename, which a kill cannot cut in two: a run is here or there, and always whole.
"""

import os
import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from rnnscope.errors import UserError
from rnnscope.paths import outputs_folder
from rnnscope.runs.files import sync_folder
from rnnscope.runs.folder import RunFolder, check_run_name
from rnnscope.runs.lock import RunLock, is_locked

STAMP = "%Y-%m-%d_%H-%M-%S"  # of a folder in the trash: when its runs were moved there
PURGED = ".purged"  # beginning of the name of what is being deleted


def trash_folder() -> Path:
    """Return the folder of trashed runs, each at <time>/runs/<name>/<time of the run>."""
    return outputs_folder() / "trash"


def check_movable(run: RunFolder) -> None:
    """Refuse to move a run that is in use, or not in outputs/runs.

    Raises:
        UserError: with the reason.
    """
    if (run.path.parent / "sweep.yaml").exists():
        sweep = run.path.parent.name
        raise UserError(f"{run.path} is a job of the sweep {sweep}, which would train it again: it stays where its sweep is")
    if not run.path.resolve().is_relative_to((outputs_folder() / "runs").resolve()):
        raise UserError(f"{run.path} is not in {outputs_folder() / 'runs'}: move it yourself")
    for part in (run, *(RunFolder(path) for path in run.reproductions.glob("*"))):
        if is_locked(part.lock):
            raise UserError(f"{part.path} is being trained by another process; wait for it, or stop it first")


def move_run(run: RunFolder, target: Path) -> None:
    """Move a run folder to `target`, with all that is in it.

    Raises:
        UserError: when something is there already, or the run is in use.
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
    """Remove a folder, and those above it within the outputs folder's runs/ and trash/, where nothing is left in them."""
    while folder.parent != outputs_folder() and folder != folder.parent:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def renamed(run: RunFolder, name: str) -> Path:
    """Return where a run goes that is to be called `name`.

    Raises:
        UserError: for a name that no folder can have.
    """
    check_run_name(name)
    return outputs_folder() / "runs" / name / run.path.name


def trashed(run: RunFolder) -> Path:
    """Return where a run goes that is moved to the trash now."""
    inner = run.path.resolve().relative_to(outputs_folder().resolve())
    return trash_folder() / datetime.now().strftime(STAMP) / inner


def restored(run: RunFolder) -> Path:
    """Return where a run in the trash came from."""
    return outputs_folder() / run.path.relative_to(trash_folder() / stamp_of(run))


def stamp_of(run: RunFolder) -> str:
    """Return the name of the folder in the trash in which a run is."""
    return run.path.relative_to(trash_folder()).parts[0]


def seconds_in_trash(run: RunFolder) -> float:
    """Return how long ago a run was moved to the trash; 0 where somebody else named the folder."""
    with suppress(ValueError):
        return (datetime.now() - datetime.strptime(stamp_of(run), STAMP)).total_seconds()
    return 0.0


def delete_run(run: RunFolder) -> None:
    """Delete a run in the trash. It is renamed first: no half of it can ever be restored."""
    with RunLock(run.lock):
        doomed = run.path.rename(trash_folder() / f"{PURGED}-{stamp_of(run)}-{os.getpid()}-{run.path.name}")
    shutil.rmtree(doomed)
    remove_empty(run.path.parent)


def finish_deleting() -> None:
    """Delete what an earlier process that was killed had begun to delete."""
    for path in trash_folder().glob(f"{PURGED}-*"):
        shutil.rmtree(path)
