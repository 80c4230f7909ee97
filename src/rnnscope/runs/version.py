"""The format version of a file: which one this rnnscope reads, and what to do about any other."""

from typing import Any

from rnnscope.errors import UserError, shown


def check_version(key: str, found: Any, known: int, source: str) -> None:
    """Raise a `UserError` unless the version `found` at `key` of a file is the `known` one."""
    if type(found) is int and found > known:
        raise UserError(f"{source}: a newer rnnscope wrote it ({key} {shown(found)}; this one reads {known}); update rnnscope")
    if type(found) is not int or found != known:
        raise UserError(
            f"{source}: {key} {shown(found)} is not one this rnnscope reads ({known}); use the version that wrote it"
        )
