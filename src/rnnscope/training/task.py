"""A training as its callbacks see it: one optimizer step per window, with the state carried from window to window.

Truncated backpropagation through time: window k starts from the final state of window k - 1, but gradients stop there.
trainer_task.py has the methods that a `pl.Trainer` calls.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from rnnscope.data.batches import Window
from rnnscope.model.language_model import State, parts
from rnnscope.training.averaging import WeightAverage
from rnnscope.training.cuda_graph import GraphedStep
from rnnscope.training.optimizer_step import OptimizerStep, Outcome
from rnnscope.training.running_sums import RunningSums
from rnnscope.training.schedules import Plateau, Schedule
from rnnscope.training.state_resets import StateResets

# attributes that the task and callbacks set at every step; none of them is a parameter or a module
SET_BY_STEP = {"step", "tokens_seen", "epoch", "position", "carried", "learning_rate", "last_count", "correct", "gradient_norm"}
SET_BY_STEP |= {"penalty", "window", "look", "synchronizes", "ending"}  # the last three by callbacks


class LanguageModelTask(pl.LightningModule):
    """Trains the model of an `OptimizerStep` on windows.

    Args:
        take: takes a step.
        schedule: gives the learning rate of each step.
        resets: chooses the columns whose carried state is reset to zero; None for none.
        cuda_graph: whether `take_step` replays steps as a CUDA graph, which changes only their speed.
        average: of the weights, which `evaluated` puts in the place of the newest; None for none.
    """

    def __init__(
        self,
        take: OptimizerStep,
        schedule: Schedule,
        resets: StateResets | None = None,
        cuda_graph: bool = False,
        average: WeightAverage | None = None,
    ) -> None:
        super().__init__()
        self.model, self.precision, self.clips, self.collectives = take.model, take.precision, take.clips, take.collectives
        self.schedule, self.resets, self.average, self.plain_step = schedule, resets, average, take
        self._take = GraphedStep(take, resets is not None) if cuda_graph else take
        self.learning_rate = math.nan  # of the last step
        self.carried: State | None = None  # the state that the next window starts from
        self.step = 0  # optimizer steps done
        self.tokens_seen = 0
        self.epoch = 0
        self.window: Window | None = None  # the last window
        self.position: dict[str, int] = {}  # in the data, after the last window
        self.sums = RunningSums(take.clip_norm)  # since the last point of the curves
        self.watched = RunningSums()  # since the last validation, for a plateau schedule
        self.look = False  # a callback sets it to get the accuracy and gradient norm of the next step
        self.synchronizes = True  # whether all processes do so after this step: only then may callbacks end or save the run
        self.ending = False  # a callback sets it to make this step the last
        self.interrupted = False  # by a signal: then the run ends without another validation
        self.diverged: str | None = None  # what was not finite, if anything
        self._count, self._share = 0, torch.empty(())
        self.last_count = 0  # real targets of the last window
        self.correct: Tensor | None = None  # correct predictions of the last step, if `look` was set
        self.penalty: Tensor | None = None  # of the last step
        self.gradient_norm: Tensor | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set counters as a plain object does: torch checks whether each one is a parameter, which takes 25 us per step."""
        if name in SET_BY_STEP:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def take_step(self, window: Window) -> None:
        """Take one optimizer step on `window`, and add its loss and clipping to `sums`."""
        self._set_rate(window.epoch)
        state, kept = self._start(window)
        share = self._share_of(window.count)
        outcome = self._take(window.inputs.t(), window.targets.t(), state, kept, share, self.look)
        self._pass(window, outcome)
        self._count_step(outcome)

    def _start(self, window: Window) -> tuple[State | None, Tensor | None]:
        """Return the state that a window starts from, and the factors that reset some of its columns."""
        if window.fresh or self.carried is None:
            return None, None
        if self.resets is None:
            return self.carried, None
        return self.carried, self.resets.kept(self.step, parts(self.carried)[0])

    def _share_of(self, count: int) -> Tensor:
        """Return 1 / count as a scalar on the device; nearly all windows have the same count."""
        if count != self._count:
            # a window may have no target, if its only token is START
            self._count, self._share = count, torch.full((), 1 / max(count, 1), device=self.device)
        return self._share

    def _pass(self, window: Window, outcome: Outcome) -> None:
        """Store the state and position after a window, from which the next one starts."""
        self.carried, self.correct, self.penalty = outcome.state, outcome.correct, outcome.penalty
        self.window, self.epoch, self.position = window, window.epoch, window.position
        self.last_count = window.count
        self.tokens_seen += window.count
        if isinstance(self.schedule, Plateau):
            self.watched.add(outcome.nats, window.count)

    def _count_step(self, outcome: Outcome) -> None:
        self.step, self.gradient_norm = self.step + 1, outcome.gradient_norm
        self.sums.add(outcome.nats, self.last_count, outcome.clipping)
        if self.average is not None:
            self.average.add()

    def evaluated(self) -> AbstractContextManager:
        """Return the context in which the model has the weights that are validated, sampled and exported."""
        return nullcontext() if self.average is None else self.average.in_place()

    def observe(self, loss: float) -> None:
        """Tell the schedule and the average how a validation went; its loss is NaN where there is none."""
        if isinstance(self.schedule, Plateau):
            self.schedule.observe({"val/loss": loss, "train/loss": self.watched.take()})
        if self.average is not None:
            self.average.observe(loss)

    def _set_rate(self, epoch: int) -> None:
        rate = self.schedule.rate(self.step, epoch)
        if rate == self.learning_rate:
            return
        self.learning_rate = rate
        for group in self.plain_step.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):  # on a GPU, where a CUDA graph reads it
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def capture(self) -> dict[str, Any]:
        """Return all that the task needs, besides the weights, to continue exactly here, as plain values and tensors."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "tokens_seen": self.tokens_seen,
            "position": self.position,
            "carried": self.carried,
            "optimizer": self._optimizer_state(),
            "schedule": getattr(self.schedule, "state_dict", dict)(),
            "tally": self.sums.state(),
            "watched": self.watched.state(),
            **({} if self.average is None else {"average": self.average.state()}),
        }

    def _optimizer_state(self) -> dict[str, Any]:
        """Return the optimizer's `state_dict`, with learning rates as numbers."""
        state = self.plain_step.optimizer.state_dict()
        for group in state["param_groups"]:
            group["lr"] = float(group["lr"])
        return state

    def restore(self, saved: dict[str, Any]) -> None:
        """Restore what `capture` returned; the weights are restored with the model."""
        optimizer = self.plain_step.optimizer
        options = {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}
        optimizer.load_state_dict(saved["optimizer"])
        for group in optimizer.param_groups:
            group.update(options)  # those of the config, which may have changed since the checkpoint
        if options.get("momentum"):
            for parameter, state in optimizer.state.items():
                if "square_avg" in state:  # RMSprop without momentum until now: SGD makes the buffer itself
                    state.setdefault("momentum_buffer", torch.zeros_like(parameter))
        self._restore_progress(saved)

    def _restore_progress(self, saved: dict[str, Any]) -> None:
        self.step, self.epoch, self.tokens_seen = saved["step"], saved["epoch"], saved["tokens_seen"]
        self.position = saved["position"]
        wide = None if self.precision == "bf16" else torch.float32  # fused kernels take no state of a different precision
        self.carried = copied(saved["carried"], next(self.model.parameters()).device, wide)
        if saved["schedule"]:
            self.schedule.load_state_dict(saved["schedule"])  # type: ignore[union-attr]
        self.sums.restore(saved["tally"])
        self.watched.restore(saved["watched"])
        if self.average is not None and "average" in saved:
            self.average.restore(saved["average"])


def copied(values: Any, device: torch.device, dtype: torch.dtype | None = None) -> Any:
    """Copy every tensor of nested lists and tuples to `device`, and to `dtype` unless it is None."""
    if isinstance(values, (list, tuple)):
        return type(values)(copied(value, device, dtype) for value in values)
    return values.to(device, dtype, copy=True) if isinstance(values, Tensor) else values
