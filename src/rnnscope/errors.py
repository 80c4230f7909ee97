"""The one exception whose message is meant for the person at the terminal."""

import errno
from collections.abc import Iterable
from typing import Any

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(ValueError):
    """Something the user can mend. The message is one line: what was found, where, what to do.

    The command line prints it without a traceback; every other exception is a defect of rnnscope and keeps its own.
    """


class WrongEncoding(UserError):
    """A text is not in the encoding that it is read in; `found` is the message without what to do."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(f"{found}: {remedy}")
        self.found = found


def shown(value: Any) -> str:
    """Return a value of a file that anybody may have written, for a message: short, on one line, whatever it is."""
    short = value is None or isinstance(value, (str, float, bool)) or (isinstance(value, int) and value.bit_length() < 64)
    return repr(value)[:40] if short else f"of type {type(value).__name__}"


def reason(error: Exception) -> str:
    """Return what went wrong with a file that the message names: one line."""
    text = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return text.splitlines()[0]


def unknown_part(key: str, name: object, known: Iterable[str]) -> str:
    """Return what to say of a cell, optimizer or schedule that nobody has registered."""
    return f"{key}={name} is unknown; choose from: {', '.join(known)}; a part of your own needs plugins=[its module]"
