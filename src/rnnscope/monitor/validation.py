"""Validation during training, with a state of its own and no random numbers; the best loss, early stopping, plateaus."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rnnscope.model.scoring import Score
from rnnscope.monitor.divergence import stop_diverged
from rnnscope.monitor.recorder import Recorder
from rnnscope.training.callback import Callback
from rnnscope.training.saved_state import SavedState
from rnnscope.training.task import LanguageModelTask


def due(task: LanguageModelTask, every: int) -> bool:
    """Whether to validate or sample after this step: every `every` steps, and after the last one unless interrupted."""
    return not task.diverged and (task.step % every == 0 or (task.ending and not task.interrupted))


@dataclass(eq=False)
class Validation(Callback):
    """Computes the loss of the val split every `every` steps and at the end.

    Args:
        every: optimizer steps between validations.
        score: scores the model of a task on the val split; None if that is empty: then the newest weights are the best.
        tokens_per_character: of the val split.
        words: whether to record the perplexity.
        patience: stop after this many validations without a new best; None for never.
        report: called with the step and loss of each validation; returns a reason to stop, or None.
    """

    name = "Validation"
    recorder: Recorder
    every: int
    score: Callable[[LanguageModelTask], Score] | None
    tokens_per_character: float
    words: bool
    patience: int | None
    report: Callable[[int, float], str | None] | None = None

    def __post_init__(self) -> None:
        self.best, self.best_step, self.bad_looks = math.inf, 0, 0
        self.stopped_early = False
        self.reason: str | None = None
        self._restored: str | None = None  # the reason in the checkpoint that the run continues from

    def after_step(self, task: LanguageModelTask) -> None:
        if not due(task, self.every):
            return
        if self.score is None:
            self.best_step = task.step
            task.observe(math.nan)
            return
        score = self.score(task)
        self._record(score)
        if not math.isfinite(score.loss):
            stop_diverged(task, f"val/loss is {score.loss}")
            return
        self._compare(score.loss, task.step)
        task.observe(score.loss)
        if self.report is not None and not task.ending:
            self.reason = self.report(task.step, score.loss)
        self._stop_early(task)

    def start(self, task: LanguageModelTask) -> None:
        self.stopped_early, self._restored, self.reason = False, self.reason, None  # a finished run may be continued

    def again(self, task: LanguageModelTask) -> None:
        self.reason = self._restored
        self._stop_early(task)

    def _stop_early(self, task: LanguageModelTask) -> None:
        if self.reason or (self.patience is not None and self.bad_looks >= self.patience):
            self.stopped_early = task.ending = True
            task.interrupted = False  # even if a signal came in this step, the run is finished

    def _record(self, score: Score) -> None:
        bits = score.loss / math.log(2) * self.tokens_per_character
        values = {"val/loss": score.loss, "val/bits_per_character": bits, "val/accuracy": score.accuracy}
        if self.words:
            values["val/perplexity"] = score.perplexity
        self.recorder.values |= values

    def _compare(self, loss: float, step: int) -> None:
        better = loss < self.best
        self.bad_looks = 0 if better else self.bad_looks + 1
        if better:
            self.best, self.best_step = loss, step
        bits = self.best / math.log(2) * self.tokens_per_character
        self.recorder.values |= {"best/loss": self.best, "best/bits_per_character": bits}

    def state(self) -> dict[str, Any]:
        ended = {"stopped_early": True, "reason": self.reason} if self.stopped_early else {}
        return {"best": self.best, "best_step": self.best_step, "bad_looks": self.bad_looks, **ended}

    def restore(self, state: SavedState) -> None:
        self.best, self.best_step = state.number("best"), state.count("best_step")
        self.bad_looks = state.count("bad_looks")
        self.stopped_early = state.has("stopped_early")
        self.reason = state.text("reason") if self.stopped_early else None
