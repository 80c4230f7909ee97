"""When a run ends: after so many steps, after so long, or when it is asked to."""

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from rnnscope.interrupts import ends
from rnnscope.training.callback import Callback, Cut
from rnnscope.training.task import LanguageModelTask

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]


@dataclass(eq=False)
class Budget(Callback):
    """Stops at step `total_steps`, after `max_minutes` of training, or at the end of the step in which a signal came.

    A signal, or `pause_at`, interrupts: the run could go on. At the last step of its budget a run ends all the same.

    SIGINT (Ctrl-C), SIGTERM, SIGHUP (the terminal was closed) and SIGUSR1 (which some clusters send before they preempt) finish
    the step, save and leave; a second Ctrl-C leaves at once. Under `nohup`, which ignores SIGHUP, it stays ignored. Handlers
    that were set before, a sweep's for one, are called too.

    Args:
        total_steps: None for no such limit.
        max_minutes: None for no such limit; counted over all sessions of the run.
        seconds: how long the run has trained, earlier sessions included.
        pause_at: leave after this step as if interrupted; None for never.
        asked: what else asks to leave, a sweep that was stopped for one; None while nothing does.
        agree: returns what rank 0 gives it, in each of several processes; called where they synchronize.
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

    def start(self, task: LanguageModelTask) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._handlers[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number).name
        before = self._handlers.get(number)
        if callable(before) and not ends(before):
            before(number, frame)

    def check(self) -> None:
        """Break off what may take long, where a signal came.

        Raises:
            Cut: then.
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

    def restore_handlers(self) -> None:
        """Put the earlier signal handlers back."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
