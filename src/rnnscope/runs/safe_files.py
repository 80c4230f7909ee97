"""Reading files of a run from an unknown source: links are not followed, pipes not waited for, huge files not read."""

import stat
from pathlib import Path

from rnnscope.errors import UserError


def check_plain(path: Path, limit: int) -> int:
    """Return the size in bytes of an ordinary file.

    Raises:
        UserError: if it is missing, a link, not an ordinary file, or larger than `limit` bytes.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    if stat.S_ISLNK(found.st_mode):
        raise UserError(f"{path} is a link: links in a run folder are not followed")
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path} is not an ordinary file")
    if found.st_size > limit:
        raise UserError(f"{path} has {found.st_size:,} bytes, more than the limit of {limit:,}")
    return found.st_size


def last_lines(path: Path, most: int, limit: int) -> tuple[list[str], bool]:
    """Return the complete lines in the last `most` bytes of a file, and whether the file ends with a complete line.

    Raises:
        UserError: as `check_plain`.
    """
    size = check_plain(path, limit)
    try:
        with path.open("rb") as file:
            file.seek(max(0, size - most))
            read = file.read(most)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    lines = read.decode("utf-8", "replace").split("\n")
    return lines[1 if size > most else 0 : -1], not read or read.endswith(b"\n")
