"""Writing files so that a reader, or a machine that stops, never meets half of one."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

TEMPORARY = re.compile(r"\..+\.\d+")  # what a process that was killed leaves: .<name>.<process>


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, make sure it is on disk, and put it in the place of `path`.

    A device or a pipe (/dev/null, /dev/stdout) is written to as it is: root could replace it for everybody.
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
    """Make sure that the names of the files in `folder` are on disk: a rename is not, by itself, after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 in one step."""
    replace_file(path, lambda temporary: temporary.write_bytes(text.encode()))


def remove_temporaries(folder: Path) -> None:
    """Remove the temporary files that a killed process left in `folder`; nobody may be writing there now."""
    for path in folder.glob(".*.*"):
        if TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink()


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
