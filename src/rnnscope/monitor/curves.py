"""The training curves: loss, bits per character, accuracy, learning rate, gradient norm."""

import math
from dataclasses import dataclass

import torch

from rnnscope.monitor.recorder import Recorder
from rnnscope.training.callback import Callback
from rnnscope.training.task import LanguageModelTask


class TrainingCurves(Callback):
    """Every `every` steps: means over all steps since the last point; accuracy and norm of the step itself.

    Args:
        every: optimizer steps between points.
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
        sums = task.sums
        nats, clipped = sums.on_device(task.device).unbind()
        found = {"nats": nats, "clipped": clipped, "correct": task.correct, "norm": task.gradient_norm}
        numbers = {name: value.double() for name, value in found.items() if value is not None}
        totals = Totals(sums.tokens, sums.steps, task.last_count, task.learning_rate, task.clips)
        self.recorder.read(
            torch.stack(list(numbers.values())), lambda read: self._curves(dict(zip(numbers, read, strict=True)), totals)
        )
        sums.clear()

    def _curves(self, read: dict[str, float], totals: "Totals") -> dict[str, float]:
        loss = read["nats"] / totals.tokens
        values = {"train/loss": loss, "train/bits_per_character": loss / math.log(2) * self.tokens_per_character}
        values["learning_rate"] = totals.learning_rate
        if "correct" in read:
            values["train/accuracy"] = read["correct"] / totals.last_count
        if "norm" in read:
            values["gradient_norm/all"] = read["norm"]
        if totals.clips:
            values["gradient_norm/clipped_fraction"] = read["clipped"] / totals.steps
        return values


@dataclass(frozen=True)
class Totals:
    """What the sums of a point are spread over, real targets, steps and those of the last window; and the rate of the step."""

    tokens: int
    steps: int
    last_count: int
    learning_rate: float
    clips: bool
