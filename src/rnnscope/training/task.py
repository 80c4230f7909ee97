"""The LightningModule: one optimiser step per window, with the state carried from window to window.

Truncated backpropagation through time: window k starts from the state in which window k-1 ended, but gradients stop at
the border.

Two things keep the pipeline beside a bare loop where a step takes 13 ms (two layers of 128 units on two cores).
Optimisation is manual in Lightning's sense, without its closures; and Lightning's batch is a stretch of windows, so that
its hooks, half a millisecond together, run once for many steps. The task counts its own steps: `trainer.global_step`
stays 0.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from rnnscope.model.language_model import LanguageModel, State, detach, parts
from rnnscope.model.precision import autocast
from rnnscope.model.scoring import Window, count_correct, sum_of_nats
from rnnscope.training.exchange import Exchange
from rnnscope.training.resets import Resets
from rnnscope.training.schedules import Plateau, Schedule
from rnnscope.training.tally import Tally


class Watcher:
    """What looks on while a task trains; this one does not. monitor/monitors.py has the one that does."""

    def start(self, task: "LanguageModelTask") -> None:
        """Called once, before the first step of this process."""

    def before_step(self, task: "LanguageModelTask") -> None:
        """Called before each step: `task.step` steps are done."""

    def after_step(self, task: "LanguageModelTask") -> None:
        """Called after each step: `task.step` counts it. Setting `task.ending` makes it the last."""


class LanguageModelTask(pl.LightningModule):
    """Trains a `LanguageModel` on windows.

    Args:
        model: what is trained.
        optimizer: over the model's parameters.
        schedule: says the learning rate of each step.
        precision: `float32` or `bf16` (autocast; weights and optimiser stay float32).
        clip_norm: the gradient is scaled down to this norm when longer; None leaves it.
        clip_value: every element of the gradient is clamped to +- this; None leaves it.
        resets: says which columns start a window from zero, though they carry a state; None for none.
        exchange: with the other processes that train the same model; None where this is the only one.
    """

    def __init__(
        self,
        model: LanguageModel,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        precision: str = "float32",
        clip_norm: float | None = None,
        clip_value: float | None = None,
        resets: Resets | None = None,
        exchange: Exchange | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.schedule, self.precision = model, schedule, precision
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.resets, self.exchange = resets, exchange
        self._optimizer = optimizer
        self._parameters_list = list(model.parameters())
        self.watcher = Watcher()
        self.carried: State | None = None  # the state that the next window starts from
        self.step = 0  # optimiser steps done
        self.tokens_seen = 0
        self.epoch = 0
        self.position: dict[str, int] = {}  # of the data, after the last window trained on
        self.tally = Tally(clip_norm)  # since the last point of the curves
        self.watched = Tally()  # since the last validation: what a plateau schedule looks at
        self.look = False  # a monitor sets it to have the next step's accuracy and norm
        self.meeting = True  # whether all processes meet after this step: else no monitor may end the run, nor save it
        self.ending = False  # a monitor sets it: this step is the last
        self.interrupted = False  # by a signal: then it leaves without looking once more
        self.diverged: str | None = None  # what was not finite, once something was not
        self._count, self._share = 0, torch.empty(())
        self.last_count = 0  # real targets of the last window
        self.correct: Tensor | None = None  # of the step that was looked at
        self.gradient_norm: Tensor | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set counters and the like as any object does: torch first looks whether each is a module, 25 us in every step."""
        if isinstance(value, nn.Module):
            super().__setattr__(name, value)
        else:
            object.__setattr__(self, name, value)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self._optimizer

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch  # a stretch makes its windows when it comes to them

    def on_train_start(self) -> None:
        self.watcher.start(self)

    def training_step(self, stretch: Iterable[Any], batch_idx: int) -> None:
        """Take a step on each window of a stretch, Lightning's batch; the watcher looks before and after each."""
        for window in stretch:
            self.watcher.before_step(self)
            # without waiting for the copy: Lightning's own way would, at every step
            self.take_step(window if self.device.type == "cpu" else window.pin_memory().to(self.device, non_blocking=True))
            self.watcher.after_step(self)
            if self.ending:
                self.trainer.should_stop = True
                return

    def take_step(self, window: Window) -> None:
        """Take one optimiser step on `window`; the sums of its loss and clipping are left in `tally`."""
        optimizer = self._optimizer  # Lightning's wrapper around it would cost 0.05 ms a step
        self._set_rate(window.epoch)
        with self._autocast:
            logits, state = self.model.read(window.inputs.t(), None if window.fresh else self._state())
        self.carried, targets = detach(state), window.targets.t()
        nats = sum_of_nats(logits, targets)
        if self.look:
            self.correct = count_correct(logits.detach(), targets)
        for parameter in self._parameters_list:
            parameter.grad = None  # what optimizer.zero_grad does, in a tenth of the time
        # of the mean: dividing first would cost two more operations; Lightning's manual_backward adds hooks for nobody
        nats.backward(self._share_of(window.count, nats))
        nats = nats.detach()
        if self.exchange is not None:
            self._add_up(self.exchange, nats)
        clipping = self._clip()
        optimizer.step()
        self.step, self.epoch, self.position = self.step + 1, window.epoch, window.position
        self.last_count = window.count
        self.tokens_seen += window.count
        self.tally.add(nats, window.count, clipping)
        if isinstance(self.schedule, Plateau):
            self.watched.add(nats, window.count)

    def _share_of(self, count: int, nats: Tensor) -> Tensor:
        """Return 1 / count as a scalar like `nats`; nearly all windows have the same."""
        if count != self._count:
            self._count, self._share = count, nats.new_full((), 1 / count)
        return self._share

    def _add_up(self, exchange: Exchange, nats: Tensor) -> None:
        """Make sums over all processes of what this one found: each has divided by the targets of the whole window."""
        exchange.add_up([*self._gradients(), nats])
        if self.look and self.correct is not None:
            exchange.add_up([self.correct])

    @cached_property
    def _autocast(self) -> AbstractContextManager:
        return autocast(self.device.type, self.precision)  # one for all steps: to make it takes longer than to enter it

    def _state(self) -> State | None:
        """Return the state to start from, with some columns set back to zero."""
        if self.resets is not None and self.carried is not None:
            all_parts = parts(self.carried)
            kept = self.resets.kept(self.step, all_parts[0])
            for part in all_parts:
                part.mul_(kept)
        return self.carried

    def _set_rate(self, epoch: int) -> None:
        rate = self.schedule.rate(self.step, epoch)
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def _clip(self) -> Tensor | None:
        """Clip the gradient in place; return its norm before, or the share of clipped elements; None without clipping."""
        if self.clip_value is not None:
            return self._clip_by_value(self.clip_value)
        if self.clip_norm is not None:
            self.gradient_norm = nn.utils.clip_grad_norm_(self._parameters_list, self.clip_norm, foreach=True)
            return self.gradient_norm
        if self.look:
            self.gradient_norm = nn.utils.get_total_norm(self._gradients(), foreach=True)
        return None

    def _clip_by_value(self, limit: float) -> Tensor:
        """Clamp every element to +-limit and return the share of elements that were beyond it."""
        gradients = self._gradients()
        if self.look:
            self.gradient_norm = nn.utils.get_total_norm(gradients, foreach=True)
        beyond = torch.stack([(gradient.abs() > limit).sum() for gradient in gradients]).sum()
        nn.utils.clip_grad_value_(self._parameters_list, limit, foreach=True)
        return beyond / sum(gradient.numel() for gradient in gradients)

    def _gradients(self) -> list[Tensor]:
        return [parameter.grad for parameter in self._parameters_list if parameter.grad is not None]

    @property
    def clips(self) -> bool:
        """Whether gradients are clipped at all."""
        return self.clip_norm is not None or self.clip_value is not None

    @property
    def learning_rate(self) -> float:
        """The rate of the last step."""
        return self._optimizer.param_groups[0]["lr"]

    def capture(self) -> dict[str, Any]:
        """Return all that the task needs besides the weights to go on exactly here, as plain values and tensors."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "tokens_seen": self.tokens_seen,
            "position": self.position,
            "carried": self.carried,
            "optimizer": self._optimizer.state_dict(),
            "schedule": getattr(self.schedule, "state_dict", dict)(),
            "tally": self.tally.state(),
            "watched": self.watched.state(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Put back what `capture` returned; the weights are the model's own matter."""
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
        self.tally.restore(saved["tally"])
        self.watched.restore(saved["watched"])


def _copied(values: Any, device: torch.device) -> Any:
    """Copy every tensor of nested lists and tuples to `device`."""
    if isinstance(values, (list, tuple)):
        return type(values)(_copied(value, device) for value in values)
    return values.to(device, copy=True) if isinstance(values, Tensor) else values
