"""When a run ends: after a number of steps, after some time, or after a signal."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from rnnscope.interrupts import ends
from rnnscope.training.callback import Callback, Cut
from rnnscope.training.task import LanguageModelTask

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]


@dataclass(eq=False)
class Budget(Callback):
    """Stops at step `total_steps`, after `max_minutes` of training, or at the end of the step in which a signal arrives.

    A signal, or `pause_at`, interrupts the run, which can be resumed; at the last step of its budget, the run is finished all
    the same.

    SIGINT (Ctrl-C), SIGTERM, SIGHUP (the terminal was closed) and SIGUSR1 (which some clusters send before they preempt a
    job) let the run finish its step, save and exit; a second Ctrl-C exits at once. Under `nohup`, SIGHUP stays ignored.
    Handlers that were set before, such as that of a sweep, are called too.

    Args:
        total_steps: None for no limit.
        max_minutes: over all sessions of the run; None for no limit.
        seconds: returns how long the run has trained, earlier sessions included.
        pause_at: interrupt the run after this step; None for never.
        asked: returns the name of another reason to stop, such as a sweep that was stopped; None without one.
        agree: in a training of several processes, returns rank 0's value in each of them.
    """

    name = "Budget"
    total_steps: int | None
    max_minutes: float | None
    seconds: Callable[[], float]
    pause_at: int | None = None
    asked: Callable[[], str | None] = lambda: None
    agree: Callable[[Any], Any] = lambda value: value

    def __post_init__(self) -> None:
        self.signal: str | None = None
        self._handlers: dict[int, Any] = {}
        self._closing = False

    def start(self, task: LanguageModelTask) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._handlers[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._closing:
            return
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number).name
        before = self._handlers.get(number)
        if callable(before) and not ends(before):
            before(number, frame)

    def check(self) -> None:
        """Interrupt a lengthy operation if a signal has arrived.

        Raises:
            Cut: if one has.
        """
        if self.signal is not None:
            raise Cut

    def after_step(self, task: LanguageModelTask) -> None:
        self.signal = self.signal or self.asked()
        over_steps = self.total_steps is not None and task.step >= self.total_steps
        over_time = left = False
        if task.synchronizes:
            over_time = self.max_minutes is not None and self.seconds() >= 60 * self.max_minutes
            over_time, left = self.agree([over_time, self.signal is not None])
        if over_steps or over_time or left or task.step == self.pause_at:
            task.ending, task.interrupted = True, not (over_steps or over_time)

    @contextmanager
    def closing(self) -> Generator[None]:
        """Ignore signals while the end of a run is recorded, then restore the earlier handlers."""
        self._closing = True
        for number in self._handlers:  # Lightning has put back those from before the training
            signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
