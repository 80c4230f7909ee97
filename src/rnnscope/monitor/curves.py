"""The training curves: loss, bits per character, accuracy, learning rate, gradient norm."""

import math
from functools import partial

import torch

from rnnscope.monitor.recorder import Recorder
from rnnscope.training.callback import Callback
from rnnscope.training.task import LanguageModelTask

FAR = 0.05  # a distance from ln V, as a share of it


def first_loss_line(loss: float, vocabulary_size: int) -> str | None:
    """Return a note if the loss of a fresh model's first step is far from ln V, the loss of equally likely tokens."""
    guessing = math.log(vocabulary_size)
    if not FAR * guessing < abs(loss - guessing) < math.inf:  # Divergence reports a loss that is not finite
        return None
    return (
        f"note: the first loss is {loss:.4f}, {loss / guessing - 1:+.0%} from the {guessing:.4f} of guessing blindly,"
        f" ln({vocabulary_size}): the initial weights prefer some tokens (see model.init and model.init_scale)"
    )


class TrainingCurves(Callback):
    """Records means over all steps since the last point, and the accuracy, penalty and gradient norm of the step itself.


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
        found = {  # tag -> a sum, and the count to divide it by
            "train/loss": (nats, sums.tokens),
            "train/penalty": (task.penalty, task.last_count),
            "train/accuracy": (task.correct, task.last_count),
            "gradient_norm/all": (task.gradient_norm, 1),
            "gradient_norm/clipped_fraction": (clipped if task.clips else None, sums.steps),
        }
        counts = {tag: count for tag, (total, count) in found.items() if total is not None}
        totals = torch.stack([total.double() for total, _ in found.values() if total is not None])
        self.recorder.read(totals, partial(self._curves, counts, task.learning_rate))
        sums.clear()

    def _curves(self, counts: dict[str, int], learning_rate: float, totals: list[float]) -> dict[str, float]:
        means = {tag: total / max(count, 1) for (tag, count), total in zip(counts.items(), totals, strict=True)}
        bits = means["train/loss"] / math.log(2) * self.tokens_per_character
        return {**means, "train/bits_per_character": bits, "learning_rate": learning_rate}
