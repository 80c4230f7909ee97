"""Telling the jobs of a sweep to end, wherever they run: a signal becomes a mark in the sweep's folder that each job sees."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Self

from rnnscope.sweeps.job_folder import service_folder

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EVERY = 1.0  # seconds between two looks at the mark


class Stop:
    """Notices SIGINT and SIGTERM while it is entered, passing them on to who noticed them before, and looks for the mark.

    Args:
        sweep: the sweep's folder.
        on_signal: called with the name of the first signal; the sweeping process leaves the mark.
    """

    def __init__(self, sweep: Path, on_signal: Callable[[str], None] | None = None) -> None:
        self.mark = mark_of(sweep)
        self.signal: str | None = None
        self._on_signal = on_signal
        self._handlers: dict[int, Any] = {}
        self._looked = -EVERY

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number).name
        if self._on_signal is not None:
            self._on_signal(self.signal)
        before = self._handlers.get(number)
        if callable(before) and before is not signal.default_int_handler:
            before(number, frame)

    def asked(self) -> str | None:
        """Return what asked this process to end, None while nothing did; cheap enough for every step."""
        if self.signal is None and time.monotonic() - self._looked >= EVERY:
            self._looked = time.monotonic()
            if self.mark.exists():
                self.signal = self.mark.read_text(encoding="utf-8").strip() or "the sweep was stopped"
        return self.signal


def mark_of(sweep: Path) -> Path:
    """Return the file whose being there tells every job of the sweep to end."""
    return service_folder(sweep) / "stop"
