"""The LightningModule: one optimizer step per window, with the state carried from window to window.

Truncated backpropagation through time: window k starts from the state in which window k-1 ended, but gradients stop at
the border.

Two things keep the pipeline beside a bare loop where a step takes 13 ms (two layers of 128 units on two cores).
Optimization is manual in Lightning's sense, without its closures; and Lightning's batch is a stretch of windows, so that
its hooks, half a millisecond together, run once for many steps. The task counts its own steps: `trainer.global_step`
stays 0.
"""

import math
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from rnnscope.model.language_model import State, parts
from rnnscope.model.scoring import Window
from rnnscope.training.callback import Callback
from rnnscope.training.cuda_graph import GraphedStep
from rnnscope.training.optimizer_step import OptimizerStep
from rnnscope.training.running_sums import RunningSums
from rnnscope.training.schedules import Plateau, Schedule
from rnnscope.training.state_resets import StateResets

# attributes that are set at every step, by the task and by callbacks: never parameters or modules
SET_BY_STEP = {"step", "tokens_seen", "epoch", "position", "carried", "learning_rate", "last_count", "correct", "gradient_norm"}
SET_BY_STEP |= {"look", "synchronizes", "ending"}  # by callbacks


class LanguageModelTask(pl.LightningModule):
    """Trains the model of an `OptimizerStep` on windows.

    Args:
        take: takes one step.
        schedule: says the learning rate of each step.
        resets: says which columns start a window from zero, though they carry a state; None for none.
        cuda_graph: whether steps are replayed as a CUDA graph, which changes nothing but their speed.
    """

    def __init__(
        self, take: OptimizerStep, schedule: Schedule, resets: StateResets | None = None, cuda_graph: bool = False
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.precision, self.clips, self.collectives = take.model, take.precision, take.clips, take.collectives
        self.schedule, self.resets, self._optimizer = schedule, resets, take.optimizer
        self._take = GraphedStep(take, resets is not None) if cuda_graph else take
        self.learning_rate = math.nan  # of the last step
        self.callbacks = Callback()
        self.carried: State | None = None  # the state that the next window starts from
        self.step = 0  # optimizer steps done
        self.tokens_seen = 0
        self.epoch = 0
        self.position: dict[str, int] = {}  # of the data, after the last window trained on
        self.sums = RunningSums(take.clip_norm)  # since the last point of the curves
        self.watched = RunningSums()  # since the last validation: what a plateau schedule looks at
        self.look = False  # a callback sets it to have the next step's accuracy and norm
        self.synchronizes = True  # all processes do after this step: else no callback may end the run, nor save it
        self.ending = False  # a callback sets it: this step is the last
        self.interrupted = False  # by a signal: then it leaves without looking once more
        self.diverged: str | None = None  # what was not finite, once something was not
        self._count, self._share = 0, torch.empty(())
        self.last_count = 0  # real targets of the last window
        self.correct: Tensor | None = None  # of the step that was looked at
        self.gradient_norm: Tensor | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set counters and the like as any object does: torch looks whether each is a parameter, 25 us in every step."""
        if name in SET_BY_STEP:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self._optimizer

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch  # a stretch makes its windows when it comes to them

    def on_train_start(self) -> None:
        self.callbacks.start(self)

    def training_step(self, stretch: Iterable[Any], batch_idx: int) -> None:
        """Take a step on each window of a stretch, Lightning's batch; callbacks are called before and after each."""
        for window in stretch:
            self.callbacks.before_step(self)
            self.take_step(window)
            self.callbacks.after_step(self)
            if self.ending:
                self.trainer.should_stop = True
                return

    def take_step(self, window: Window) -> None:
        """Take one optimizer step on `window`; the sums of its loss and clipping are left in `sums`."""
        self._set_rate(window.epoch)
        state, kept = (None, None) if window.fresh else self._state()
        share = self._share_of(window.count)
        outcome = self._take(window.inputs.t(), window.targets.t(), state, kept, share, self.look)
        self.carried, self.correct, self.gradient_norm = outcome.state, outcome.correct, outcome.gradient_norm
        self.step, self.epoch, self.position = self.step + 1, window.epoch, window.position
        self.last_count = window.count
        self.tokens_seen += window.count
        self.sums.add(outcome.nats, window.count, outcome.clipping)
        if isinstance(self.schedule, Plateau):
            self.watched.add(outcome.nats, window.count)

    def _share_of(self, count: int) -> Tensor:
        """Return 1 / count as a scalar on the device; nearly all windows have the same."""
        if count != self._count:
            self._count, self._share = count, torch.full((), 1 / count, device=self.device)
        return self._share

    def _state(self) -> tuple[State | None, Tensor | None]:
        """Return the state to start from, and which of its columns are kept."""
        if self.resets is None or self.carried is None:
            return self.carried, None
        return self.carried, self.resets.kept(self.step, parts(self.carried)[0])

    def _set_rate(self, epoch: int) -> None:
        rate = self.schedule.rate(self.step, epoch)
        if rate == self.learning_rate:
            return
        self.learning_rate = rate
        for group in self._optimizer.param_groups:
            if isinstance(group["lr"], Tensor):  # on a GPU: a graph reads it there
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def capture(self) -> dict[str, Any]:
        """Return all that the task needs besides the weights to go on exactly here, as plain values and tensors."""
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
        }

    def _optimizer_state(self) -> dict[str, Any]:
        """Return torch's own state of the optimizer, with rates as numbers."""
        state = self._optimizer.state_dict()
        for group in state["param_groups"]:
            group["lr"] = float(group["lr"])
        return state

    def restore(self, saved: dict[str, Any]) -> None:
        """Put back what `capture` returned; the weights are restored with the model."""
        device = next(self.model.parameters()).device
        options = {key: value for key, value in self._optimizer.param_groups[0].items() if key != "params"}
        self.step, self.epoch, self.tokens_seen = saved["step"], saved["epoch"], saved["tokens_seen"]
        self.position = saved["position"]
        self.carried = _copied(saved["carried"], device)
        self._optimizer.load_state_dict(saved["optimizer"])
        for group in self._optimizer.param_groups:
            group.update(options)  # the config's: it may have changed since, and else they are the same
        if saved["schedule"]:
            self.schedule.load_state_dict(saved["schedule"])  # type: ignore[union-attr]
        self.sums.restore(saved["tally"])
        self.watched.restore(saved["watched"])


def _copied(values: Any, device: torch.device) -> Any:
    """Copy every tensor of nested lists and tuples to `device`."""
    if isinstance(values, (list, tuple)):
        return type(values)(_copied(value, device) for value in values)
    return values.to(device, copy=True) if isinstance(values, Tensor) else values
