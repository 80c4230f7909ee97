"""What tests hold a message to: the key, the value found and the remedy, in one line; its English may change."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from rnnscope.errors import UserError


def lacks(message: str, parts: tuple[object, ...]) -> list[str]:
    """Return the parts that a message lacks.

    A part counts where it stands by itself: `lr` does not in `optimizer.lr`, nor 1 in 1.5 or -1, nor `x=1` in `+x=1`.
    The longest come first, and no place counts twice: a part that is given twice must be there twice.
    """
    missing = []
    for part in sorted(map(str, parts), key=len, reverse=True):
        message, found = re.subn(rf"(?<![\w.+~-]){re.escape(part)}(?!\w|[.-]\w)", "|", message, count=1)
        missing += [] if found else [part]
    return missing


def assert_says(message: str, *parts: object) -> None:
    """Assert that a message is one line and has each of the parts."""
    assert "\n" not in message, message
    assert not lacks(message, parts), f"{lacks(message, parts)} not in {message!r}"


@contextmanager
def user_error(*parts: object) -> Iterator[pytest.ExceptionInfo[UserError]]:
    """Assert that a UserError is raised whose message has each of the parts."""
    with pytest.raises(UserError) as error:
        yield error
    assert_says(str(error.value), *parts)


def error_line(printed: str) -> str:
    """Return the error that a command printed, without its prefix; nothing else may be there."""
    prefix, end = "rnnscope: error: ", "\n"
    assert printed.startswith(prefix), printed
    assert printed.endswith(end), printed
    assert printed.count(end) == 1, printed
    return printed[len(prefix) : -1]


def line_with(text: str, *parts: object) -> str:
    """Return the only line of a text that has each of the parts."""
    found = [line for line in text.splitlines() if not lacks(line, parts)]
    assert len(found) == 1, f"{len(found)} lines have {parts}: {text}"
    return found[0]


def counted(changes: Mapping[str, int], *parts: object) -> int:
    """Return the count of the only change to a text whose description has each of the parts."""
    (count,) = [count for description, count in changes.items() if not lacks(description, parts)]
    return count
