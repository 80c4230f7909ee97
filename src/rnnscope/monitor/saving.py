"""When a run is saved: before its first step, after a number of steps or minutes, at each new best, and at the end."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rnnscope.monitor.recorder import Recorder
from rnnscope.monitor.validation import Validation
from rnnscope.training.callback import Callback
from rnnscope.training.task import LanguageModelTask


@dataclass(eq=False)
class Saving(Callback):
    """Saves checkpoints. It comes last, so that a checkpoint holds everything that its step has done and written.

    Args:
        every: optimizer steps between checkpoints.
        minutes: the longest time between checkpoints, up to the next step at which callbacks are called; None for no limit.
            It has no influence on the training.
        keep_every: steps between checkpoints that are kept for good; None for none.
        begin: called once, before the first step of this process.
        save: called with whether this is the best so far, and the step if it is to be kept.
        agree: in a training of several processes, returns rank 0's value in each of them.
    """

    name = "Saving"
    recorder: Recorder
    validation: Validation
    every: int
    minutes: float | None
    keep_every: int | None
    begin: Callable[[], None]
    save: Callable[[bool, int | None], None]
    agree: Callable[[Any], Any] = lambda value: value

    def start(self, task: LanguageModelTask) -> None:
        self.begin()
        self._saved = time.monotonic()

    def after_step(self, task: LanguageModelTask) -> None:
        if task.diverged:  # the weights may not be finite: the last checkpoint is worth more than a new one
            return
        is_best = self.validation.best_step == task.step
        kept = task.step if self.keep_every and task.step % self.keep_every == 0 else None
        if task.step % self.every == 0 or task.ending or is_best or kept is not None or self._overdue(task):
            self.recorder.settle()  # a checkpoint refers to the rows before it
            self.save(is_best, kept)
            self._saved = time.monotonic()

    def _overdue(self, task: LanguageModelTask) -> bool:
        """Whether a checkpoint is due by the clock, and the losses since the last point are finite."""
        if not task.synchronizes or self.minutes is None or math.isinf(self.minutes):
            return False
        if not self.agree(time.monotonic() - self._saved >= 60 * self.minutes):
            return False
        self.recorder.settle()
        return math.isfinite(self.recorder.latest.get("train/loss", 0.0)) and math.isfinite(task.sums.nats)
