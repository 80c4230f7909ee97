"""The one exception whose message is meant for the person at the terminal."""

import errno
from collections.abc import Iterable
from typing import Any

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_FILES = (errno.EMFILE, errno.ENFILE)
MORE_FILES = "allow more of them (ulimit -n 4096)"


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


def reason(error: BaseException) -> str:
    """Return what went wrong with a file that the message names: one line."""
    text = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return text.splitlines()[0]


def lack_of_memory(error: BaseException | None) -> str | None:
    """Return which memory was too small, and for what, as in `GPU memory (tried to allocate 9 GiB)`; None for another error.

    torch, which is not imported here, reports the memory of the CPU by words alone, and a lack of it while it writes by others.
    """
    while error is not None:
        gpu = type(error).__name__ == "OutOfMemoryError"
        if gpu or isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
            return f"{'GPU ' if gpu else ''}memory ({reason(error)})"
        error = error.__cause__ or error.__context__
    return None


def unknown_part(key: str, name: object, known: Iterable[str]) -> str:
    """Return what to say of a cell, optimizer or schedule that nobody has registered."""
    return f"{key}={name} is unknown; choose from: {', '.join(known)}; a part of your own needs plugins=[its module]"
