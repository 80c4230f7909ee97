"""Writing files atomically: no reader ever sees half a file, and no crash or power cut leaves one."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

TEMPORARY = re.compile(r"\..+\.\d+")  # what a killed process leaves: .<name>.<process id>


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file next to `path`, sync it to disk, and rename it to `path`.

    A device or pipe (/dev/null, /dev/stdout) is written to directly: as root, a rename would replace it system-wide.
    """
    if path.exists() and not path.is_file():
        write(path)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Sync the names of the files in `folder` to disk: otherwise a rename may not survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    replace_file(path, lambda temporary: temporary.write_bytes(text.encode()))


def remove_temporaries(folder: Path) -> None:
    """Remove the temporary files that a killed process left in `folder`; no process may be writing there now."""
    for path in folder.glob(".*.*"):
        if TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink()


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
