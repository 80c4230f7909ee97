"""A text from a pipe can be read only once, so it is copied to the cache and read from there."""

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import IO

from rnnscope.data.config import CorpusConfig
from rnnscope.errors import UserError

PIPED = "piped"  # folder of the cache
OPEN_FILES = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")  # a shell turns <(command) into one of these
SUFFIXES = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ": ".xz", b"PK\x03\x04": ".zip"}  # by the first bytes


def keep_piped(config: CorpusConfig, cache_dir: Path, say: Callable[[str], None]) -> None:
    """Copy what `-`, a FIFO or an open file of the process delivers; the paths in `config` become those of the copies.

    Raises `UserError` if nothing comes, or if it cannot be kept.
    """
    for key in ("path", "val_path", "test_path"):
        path = getattr(config, key)
        if path and _is_piped(path):
            setattr(config, key, str(_copy(path, f"dataset.corpus.{key}", cache_dir.resolve() / PIPED, say)))


def _is_piped(path: str) -> bool:
    if path == "-" or path.startswith(OPEN_FILES):
        return True
    with suppress(OSError, ValueError):
        mode = os.stat(path).st_mode
        return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
    return False


def _copy(path: str, key: str, folder: Path, say: Callable[[str], None]) -> Path:
    name = "standard input" if path == "-" else path
    if path == "-" and (sys.stdin is None or sys.stdin.isatty()):
        what = "closed" if sys.stdin is None else "a terminal"
        raise UserError(f"{key}=-: standard input is {what}: pipe a text into it (command | rnnscope ...)")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with nullcontext(sys.stdin.buffer) if path == "-" else open(path, "rb") as pipe:
            copy, size = _kept(pipe, folder)
    except OSError as error:
        raise UserError(
            f"{key}={path}: {name} cannot be copied to {folder} ({error.strerror}): give the path of a file"
        ) from None
    if not size:
        copy.unlink()
        raise UserError(
            f"{key}={path}: {name} is empty: check the program that writes to it; a pipe can be read only once, so a sweep or"
            " several processes need a file"
        )
    say(f"read {size:,} bytes from {name} and kept them in {copy}")
    return copy


def _kept(pipe: IO[bytes], folder: Path) -> tuple[Path, int]:
    """Copy a pipe to a file named after its content; return the file and its size in bytes."""
    digest, size, suffix = hashlib.sha256(), 0, ""
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        try:
            while block := pipe.read(1 << 20):
                if not size:
                    suffix = next((suffix for magic, suffix in SUFFIXES.items() if block.startswith(magic)), "")
                digest.update(block)
                size += file.write(block)
            file.flush()
            place = folder / f"{digest.hexdigest()[:32]}{suffix}"
            os.replace(file.name, place)
        except BaseException:
            os.unlink(file.name)
            raise
    return place, size
