"""The training curves: loss, bits per character, accuracy, learning rate, gradient norm."""

import math

from rnnscope.monitor.monitors import Monitor
from rnnscope.monitor.recorder import Recorder
from rnnscope.training.task import LanguageModelTask


class TrainingCurves(Monitor):
    """Every `every` steps: means over all steps since the last point; accuracy and norm of the step itself.

    Args:
        every: optimiser steps between points.
        tokens_per_character: of the training split: 1 for characters, about 0.2 for words.
    """

    name = "TrainingCurves"

    def __init__(self, recorder: Recorder, every: int, tokens_per_character: float) -> None:
        self.recorder, self.every, self.tokens_per_character = recorder, every, tokens_per_character

    def before_step(self, task: LanguageModelTask) -> None:
        task.look = (task.step + 1) % self.every == 0

    def after_step(self, task: LanguageModelTask) -> None:
        if not task.look:
            return
        task.look = False
        tally = task.tally
        loss = tally.nats / tally.tokens
        values = self.recorder.values
        values["train/loss"] = loss
        values["train/bits_per_character"] = loss / math.log(2) * self.tokens_per_character
        if task.correct is not None:
            values["train/accuracy"] = int(task.correct) / task.last_count
        values["learning_rate"] = task.learning_rate
        if task.gradient_norm is not None:
            values["gradient_norm/all"] = float(task.gradient_norm)
        if task.clips:
            values["gradient_norm/clipped_fraction"] = tally.clipped / tally.steps
        tally.clear()
