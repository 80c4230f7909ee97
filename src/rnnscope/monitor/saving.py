"""When a run is saved: every so many steps, at each new best, and at the end. What is saved is the command's business."""

from collections.abc import Callable

from rnnscope.monitor.monitors import Monitor
from rnnscope.monitor.validation import Validation
from rnnscope.training.task import LanguageModelTask


class Saving(Monitor):
    """Stands last, so that a checkpoint holds everything its step has done and written.

    Args:
        every: optimiser steps between checkpoints.
        keep_every: steps between checkpoints kept for good, None for none.
        save: called with whether this is the best so far, and the step if it is to be kept.
    """

    def __init__(
        self, validation: Validation, every: int, keep_every: int | None, save: Callable[[bool, int | None], None]
    ) -> None:
        self.validation, self.every, self.keep_every, self.save = validation, every, keep_every, save

    def after_step(self, task: LanguageModelTask) -> None:
        if task.diverged:  # the weights may be lost already: the last checkpoint is worth more than this one
            return
        kept = task.step if self.keep_every and task.step % self.keep_every == 0 else None
        if task.step % self.every == 0 or task.ending or self.validation.is_best or kept is not None:
            self.save(self.validation.is_best, kept)
