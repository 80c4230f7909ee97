"""Text from the command line and to the terminal: Unicode in, UTF-8 out, whatever the locale is."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rnnscope.errors import UserError


def prepare_output() -> None:
    """Let stdout and stderr take any text: files and pipes get UTF-8, a terminal gets `?` for what it cannot show."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the parent process
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 it stays open
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")


class Output:
    """Stdout that knows when it cannot be written.

    Args:
        stream: the real stdout.
        needed: whether a command has nothing to do once its reader has left, as in `rnnscope sample | head`. Otherwise what
            it prints from then on is dropped, and it still does its work.
    """

    def __init__(self, stream: Any, needed: bool) -> None:
        self._stream, self._needed = stream, needed
        self.failure: OSError | None = None  # why it can no longer be written

    def write(self, text: str) -> int:
        self._attempt(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def discard(self) -> None:
        """Send what is still to be written nowhere: Python tries once more when it exits."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def _attempt(self, function: Callable[..., object], *arguments: str) -> None:
        try:
            function(*arguments)
        except OSError as error:
            self.failure = error
            if self._needed or not isinstance(error, BrokenPipeError):
                raise
            self.discard()


def check_text(text: str, key: str) -> None:
    """Raise `UserError` for text, given for `key`, that is not valid: Python turns bytes that are not UTF-8 into surrogates."""
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] Python's callers may give anything
        raise UserError(f"{key} must be text, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        found = f"the byte 0x{code - 0xDC00:02X}" if 0xDC80 <= code <= 0xDCFF else f"the surrogate U+{code:04X}"
        remedy = "write text in UTF-8, and rename a file or folder that has such a name"
        raise UserError(f"{key}: character {error.start + 1} is {found}, which is not UTF-8: {remedy}") from None


def check_argument(argument: str) -> None:
    """Do as `check_text` for an argument of a command line, `key=value` or an option."""
    if not isinstance(argument, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UserError(f"an argument must be text such as 'key=value', not {type(argument).__name__}")
    key, _, value = argument.partition("=")
    check_text(key, "a key")
    check_text(value, key)


def read_stdin(key: str) -> str:
    """Return all of stdin, for `key`, with line feeds as line ends.

    Raises:
        UserError: if it is closed, or not UTF-8.
    """
    return "".join(stdin_lines(key)).replace("\r\n", "\n").replace("\r", "\n")


def stdin_lines(key: str) -> Iterator[str]:
    """Yield the lines of stdin as they arrive, each with its line end; see `read_stdin`."""
    if sys.stdin is None:
        raise UserError(f"{key}=-: stdin is closed: pipe a text into it")
    for number, line in enumerate(iter(sys.stdin.buffer.readline, b""), 1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            where = f"line {number} of stdin has the byte 0x{line[error.start]:02X}, which is not UTF-8 ({error.reason})"
            raise UserError(f"{key}=-: {where}: convert it, as in iconv -f latin1 -t utf-8") from None
