"""A folder that is either complete or absent: one process at a time fills it, and may be killed at any moment."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rnnscope.errors import UserError
from rnnscope.lock import Lock

MANIFEST = "manifest.json"
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


def cached(folder: Path, fill: Callable[[Path], dict[str, Any]], say: Callable[[str], None]) -> dict[str, Any]:
    """The manifest of `folder`, made by `fill(temporary folder)` if it does not exist yet.

    `fill` writes the files and returns the manifest; the folder gets its name once everything is written. A second
    process that needs the same folder waits. What a killed process left is removed. Errors: `UserError` for a full or
    unwritable disk.
    """
    found = read_manifest(folder)
    if found is not None:
        return found
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return _fill_alone(folder, fill, say)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise UserError(
            f"{folder.parent}: the encoded text cannot be written ({error.strerror}): "
            "free some space, allow writing there, or set RNNSCOPE_OUTPUTS to a different folder"
        ) from None


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a complete folder, or None if it is incomplete: a file is missing or has the wrong size."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        whole = all((folder / name).stat().st_size == size for name, size in manifest["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return manifest if whole else None


def _fill_alone(folder: Path, fill: Callable[[Path], dict[str, Any]], say: Callable[[str], None]) -> dict[str, Any]:
    lock = Lock(folder.with_name(folder.name + ".lock"))
    if not lock.acquire(wait=False):
        say("waiting for another process that is encoding the same text")
        lock.acquire()
    try:
        return read_manifest(folder) or _fill(folder, fill)
    finally:
        lock.release()


def _fill(folder: Path, fill: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    partial = folder.with_name(folder.name + ".partial")
    for stale in (partial, folder):
        if stale.exists():
            shutil.rmtree(stale)
    partial.mkdir()
    try:
        manifest = fill(partial)
        manifest["files"] = {path.name: path.stat().st_size for path in sorted(partial.iterdir())}
        (partial / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=True), "utf-8")
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return manifest
