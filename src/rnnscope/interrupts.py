"""How a command ends after SIGINT (Ctrl-C) or SIGTERM: at once, and with one line.

A training that has begun finishes its step and saves instead (see monitor/budget.py).
"""

import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STATUS = 130  # of a command that was interrupted
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def ended_by_signals() -> Generator[None]:
    """Let both signals end the code in the block; a signal that is ignored, as in background jobs of a shell, stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    ours = [number for number, handler in before.items() if handler in (signal.SIG_DFL, signal.default_int_handler)]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])


def end(number: int, frame: FrameType | None) -> None:
    """Unwind the stack; during an import exit at once, since a half-imported module may swallow the exception.

    Raises:
        KeyboardInterrupt: unless something is being imported.
    """
    for repeated in SIGNALS:  # a second one would interrupt what handles the first
        if signal.getsignal(repeated) is end:
            signal.signal(repeated, exit_at_once)
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            exit_at_once(number, frame)
        frame = frame.f_back
    raise KeyboardInterrupt


def exit_at_once(number: int, frame: FrameType | None) -> None:
    """End the process without unwinding the stack."""
    say_so()
    os._exit(STATUS)


def ignore_signals() -> None:
    """Ignore both signals while Python exits: they would interrupt functions that libraries run then, with a traceback."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def say_so() -> int:
    """Print that the command was interrupted, and return the exit status."""
    print("rnnscope: interrupted", file=sys.stderr, flush=True)
    return STATUS


def ends(handler: Any) -> bool:
    """Whether the handler of a signal only ends the process: one that replaces it need not call it."""
    return handler in (end, exit_at_once, signal.default_int_handler)
