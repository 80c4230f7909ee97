"""Files and folders of the cache, each either complete or absent: the process that writes one may be killed at any moment."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rnnscope.errors import UserError
from rnnscope.lock import Lock

MANIFEST = "manifest.json"
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


def cached(folder: Path, fill: Callable[[Path], dict[str, Any]], say: Callable[[str], None]) -> dict[str, Any]:
    """Return the manifest of `folder`, which `fill(temporary folder)` makes if it does not exist yet.

    `fill` writes the files and returns the manifest; the folder gets its name once everything is written. A second
    process that needs the same folder waits. What a killed process left is removed. Raises `UserError` if the disk is full
    or not writable.
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
        first = "" if error.errno == errno.ENOTDIR else "free some space, allow writing there, or "
        remedy = f"{first}set RNNSCOPE_OUTPUTS to a different folder"
        raise UserError(f"{folder.parent}: the encoded text cannot be written ({error.strerror}): {remedy}") from None


def cached_file(path: Path, content: bytes) -> Path:
    """Return `path`, and write `content` to it unless it is there. Raises `UserError` if it cannot be written."""
    try:
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(content)
            os.replace(file.name, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}): free some space, or allow writing there") from None
    return path


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a complete folder; None if a file is missing or has the wrong size."""
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
