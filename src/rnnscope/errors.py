"""The one exception whose message is meant for the person at the terminal."""

import errno
from collections.abc import Iterable
from typing import Any

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DAMAGED = "it is damaged; restore it from a copy of the run folder"
NO_FILES = (errno.EMFILE, errno.ENFILE)
MORE_FILES = "allow more of them (ulimit -n 4096)"


class UserError(ValueError):
    """A mistake that the user can correct. The message is one line: what was found, where, and what to do.

    The command line prints it without a traceback; any other exception is a bug in rnnscope and keeps its traceback.
    """


def unreadable(path: object, error: BaseException) -> UserError:
    """Return the error for a file of a run that cannot be read, which says why, and what to do."""
    denied = isinstance(error, PermissionError)
    return UserError(f"{path} cannot be read ({reason(error)}): {'check its permissions' if denied else DAMAGED}")


class WrongText(UserError):
    """A text is not what its keys say; `found` is the message without the remedy."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(f"{found}: {remedy}")
        self.found = found


class WrongEncoding(WrongText):
    """A text is not valid in its encoding."""


class NotText(WrongText):
    """A file cannot be read, or is not text."""


class WrongColumn(WrongText):
    """A table lacks the column."""


def check_least(key: str, value: float | None, least: int, otherwise: str = "") -> None:
    """Raise a `UserError` unless a value is a whole number of at least `least`, or None; `otherwise` says what None means."""
    check_whole(key, value)
    if value is not None and value < least:
        raise UserError(f"{key}={value} must be at least {least}{otherwise and f', or {otherwise}'}")


def check_whole(key: str, value: Any) -> None:
    """Raise a `UserError` unless a value is a whole number or None: Python's callers may give anything."""
    if value is not None and not hasattr(value, "__index__"):
        raise UserError(f"{key}={value!r} must be a whole number")


def check_seed(seed: int) -> None:
    """Raise a `UserError` for a seed that torch does not take, or takes for a different one."""
    check_whole("seed", seed)
    if not 0 <= seed < 2**63:
        raise UserError(f"seed={seed} must be at least 0 and less than 2^63")


def check_choice(key: str, value: object, known: Iterable[str]) -> None:
    """Raise a `UserError` if a value is not one of the `known` ones."""
    names = list(known)
    if value not in names:
        raise UserError(unknown_value(key, value, names))


def shown(value: Any) -> str:
    """Return a value from an untrusted file for use in a message: short, and on one line."""
    short = value is None or isinstance(value, (str, float, bool)) or (isinstance(value, int) and value.bit_length() < 64)
    return repr(value)[:40] if short else f"of type {type(value).__name__}"


def unknown_value(key: str, value: object, known: Iterable[str]) -> str:
    """Return the message for a value that is not among the `known` ones."""
    return f"{key}={value} is unknown; choose from: {', '.join(known)}"


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
        lack = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        if gpu or lack or "DefaultCPUAllocator" in str(error):
            return f"{'GPU ' if gpu else ''}memory ({reason(error)})"
        error = error.__cause__ or error.__context__
    return None


def unknown_part(key: str, name: object, known: Iterable[str]) -> str:
    """Return the message for a cell, optimizer or schedule that is not registered."""
    return f"{unknown_value(key, name, known)}; for one of your own, add plugins=[its_module]"
