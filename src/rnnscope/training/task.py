"""The LightningModule: one optimizer step per window, with the state carried from window to window.

Truncated backpropagation through time: window k starts from the state in which window k-1 ended, but gradients stop at
the border.

A task trains in any `pl.Trainer`, where a batch is a `Window`. rnnscope's own pipeline calls `take_step` instead and
shows Lightning a stretch of windows as one batch (pipeline/lightning.py): Lightning's hooks, half a millisecond together,
are 4 % of a step of two layers of 128 units. Both take the same steps to the bit.
"""

import math
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from rnnscope.data.batches import Window
from rnnscope.errors import UserError
from rnnscope.model.language_model import State, parts
from rnnscope.model.scoring import Scorer
from rnnscope.training.callback import Callback
from rnnscope.training.cuda_graph import GraphedStep
from rnnscope.training.optimizer_step import OptimizerStep, Outcome
from rnnscope.training.randomness import random_state, restore_random_state, seed_all, seed_of_process
from rnnscope.training.running_sums import RunningSums
from rnnscope.training.schedules import Plateau, Schedule
from rnnscope.training.state_resets import StateResets

# attributes that are set at every step, by the task and by callbacks: never parameters or modules
SET_BY_STEP = {"step", "tokens_seen", "epoch", "position", "carried", "learning_rate", "last_count", "correct", "gradient_norm"}
SET_BY_STEP |= {"window", "look", "synchronizes", "ending"}  # the last three by callbacks
CHECKPOINT_PART = "rnnscope"  # what Lightning's checkpoints call the task's own part


class LanguageModelTask(pl.LightningModule):
    """Trains the model of an `OptimizerStep` on windows.

    In a `pl.Trainer` it logs `train/loss`, `learning_rate` and `gradient_norm/all` at each step and `val/loss` and
    `val/accuracy` at each validation. The learning rate and the clipping of the gradient are the task's own; a Trainer's
    `gradient_clip_val` takes the place of the latter. A checkpoint of Lightning's holds all that it takes to go on exactly.

    Args:
        take: takes one step.
        schedule: says the learning rate of each step.
        resets: says which columns start a window from zero, though they carry a state; None for none.
        cuda_graph: whether `take_step` replays steps as a CUDA graph, which changes nothing but their speed.
    """

    def __init__(
        self, take: OptimizerStep, schedule: Schedule, resets: StateResets | None = None, cuda_graph: bool = False
    ) -> None:
        super().__init__()
        self.model, self.precision, self.clips, self.collectives = take.model, take.precision, take.clips, take.collectives
        self.schedule, self.resets, self.plain_step = schedule, resets, take
        self._take = GraphedStep(take, resets is not None) if cuda_graph else take
        self.learning_rate = math.nan  # of the last step
        self.callbacks = Callback()
        self.carried: State | None = None  # the state that the next window starts from
        self.step = 0  # optimizer steps done
        self.tokens_seen = 0
        self.epoch = 0
        self.window: Window | None = None  # the last one trained on
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
        self.start_random: dict[str, Any] | None = None  # random numbers to start with in a `pl.Trainer`; None: those at hand

    def __setattr__(self, name: str, value: Any) -> None:
        """Set counters and the like as any object does: torch looks whether each is a parameter, 25 us in every step."""
        if name in SET_BY_STEP:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def take_step(self, window: Window) -> None:
        """Take one optimizer step on `window`; the sums of its loss and clipping are left in `sums`."""
        self._set_rate(window.epoch)
        state, kept = self._start(window)
        share = self._share_of(window.count)
        outcome = self._take(window.inputs.t(), window.targets.t(), state, kept, share, self.look)
        self._pass(window, outcome)
        self._count_step(outcome)

    def _start(self, window: Window) -> tuple[State | None, Tensor | None]:
        """Return the state that a window starts from, and which of its columns are kept."""
        if window.fresh or self.carried is None:
            return None, None
        if self.resets is None:
            return self.carried, None
        return self.carried, self.resets.kept(self.step, parts(self.carried)[0])

    def _share_of(self, count: int) -> Tensor:
        """Return 1 / count as a scalar on the device; nearly all windows have the same."""
        if count != self._count:
            self._count, self._share = count, torch.full((), 1 / count, device=self.device)
        return self._share

    def _pass(self, window: Window, outcome: Outcome) -> None:
        """Note where a window ended: the next one starts there."""
        self.carried, self.correct = outcome.state, outcome.correct
        self.window, self.epoch, self.position = window, window.epoch, window.position
        self.last_count = window.count
        self.tokens_seen += window.count
        if isinstance(self.schedule, Plateau):
            self.watched.add(outcome.nats, window.count)

    def _count_step(self, outcome: Outcome) -> None:
        self.step, self.gradient_norm = self.step + 1, outcome.gradient_norm
        self.sums.add(outcome.nats, self.last_count, outcome.clipping)

    def _set_rate(self, epoch: int) -> None:
        rate = self.schedule.rate(self.step, epoch)
        if rate == self.learning_rate:
            return
        self.learning_rate = rate
        for group in self.plain_step.optimizer.param_groups:
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
        state = self.plain_step.optimizer.state_dict()
        for group in state["param_groups"]:
            group["lr"] = float(group["lr"])
        return state

    def restore(self, saved: dict[str, Any]) -> None:
        """Put back what `capture` returned; the weights are restored with the model."""
        optimizer = self.plain_step.optimizer
        options = {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}
        optimizer.load_state_dict(saved["optimizer"])
        for group in optimizer.param_groups:
            group.update(options)  # the config's: it may have changed since, and else they are the same
        self._restore_progress(saved)

    def _restore_progress(self, saved: dict[str, Any]) -> None:
        self.step, self.epoch, self.tokens_seen = saved["step"], saved["epoch"], saved["tokens_seen"]
        self.position = saved["position"]
        self.carried = _copied(saved["carried"], next(self.model.parameters()).device)
        if saved["schedule"]:
            self.schedule.load_state_dict(saved["schedule"])  # type: ignore[union-attr]
        self.sums.restore(saved["tally"])
        self.watched.restore(saved["watched"])

    # From here on: what a `pl.Trainer` calls.

    @property
    def _alone(self) -> bool:
        """Whether nothing of rnnscope's watches: then the task itself looks after its sums and its schedule."""
        return type(self.callbacks) is Callback

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.plain_step.optimizer

    def on_train_start(self) -> None:
        """Start from the random numbers that were kept for this, or those of the checkpoint it goes on from."""
        if self.start_random is not None:
            restore_random_state(self.start_random)
            self.start_random = None
            if self.trainer.global_rank and not self.step:  # dropout of its own in each process
                seed_all(seed_of_process(torch.initial_seed(), self.trainer.global_rank))
        self.carried = _copied(self.carried, self.device)
        self._set_rate(self.position.get("epoch", 0))
        self.callbacks.start(self)

    def on_train_batch_start(self, batch: Window, batch_idx: int) -> None:
        self.callbacks.before_step(self)

    def training_step(self, batch: Window, batch_idx: int) -> Tensor:
        """Return the mean loss of a window's real targets, those of all processes together, to go backward from."""
        self._set_rate(batch.epoch)
        state, kept = self._start(batch)
        nats, after, correct = self.plain_step.loss(batch.inputs.t(), batch.targets.t(), state, kept, self.look)
        self._outcome = Outcome(after, nats.detach(), None, correct, None)
        self._pass(batch, self._outcome)
        averaged = self.trainer.world_size if self.collectives is None else 1  # Lightning's DDP takes the mean of gradients
        return nats * (self._share_of(batch.count) * averaged)

    def on_after_backward(self) -> None:
        if self.collectives is not None:
            self.plain_step.all_reduce(self.collectives, self._outcome.nats, self._outcome.correct)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as the task was told to; or as the Trainer was, where it has been told."""
        done = self._outcome
        if gradient_clip_val is None:
            done.clipping, done.gradient_norm = self.plain_step.clip(True)
        else:
            done.gradient_norm = nn.utils.get_total_norm(self.plain_step.gradients(), foreach=True)
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        assert done.gradient_norm is not None
        self.log("step", float(self.step + 1))  # loggers take it for the x axis: optimizer steps, as everywhere here
        self.log("train/loss", done.nats * self._share_of(self.last_count), prog_bar=True)
        self.log("learning_rate", self.learning_rate)
        self.log("gradient_norm/all", done.gradient_norm)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self._count_step(self._outcome)

    def on_train_batch_end(self, outputs: Any, batch: Window, batch_idx: int) -> None:
        self.callbacks.after_step(self)
        if self._alone:
            self.sums.clear()  # nobody else does
        self._set_rate(self.position["epoch"])  # that of the next step, for whoever looks before it

    def on_validation_epoch_start(self) -> None:
        self._scorer = Scorer(self.model, self.precision)

    def validation_step(self, batch: Window, batch_idx: int) -> None:
        self._scorer.add(batch)

    def on_validation_epoch_end(self) -> None:
        loss = self._log_score("val")
        fitting = self.trainer.state.fn == "fit" and not self.trainer.sanity_checking
        if self._alone and fitting and isinstance(self.schedule, Plateau):
            self.schedule.observe({"val/loss": loss, "train/loss": self.watched.take()})
            self._set_rate(self.position["epoch"])

    on_test_epoch_start, test_step = on_validation_epoch_start, validation_step

    def on_test_epoch_end(self) -> None:
        self._log_score("test")

    def _log_score(self, split: str) -> float:
        """Log what has been scored of a split, by all processes together, and return the loss in nats per token."""
        score = self._scorer.score()
        if self.trainer.world_size > 1:
            sums = torch.tensor([score.nats, score.correct], dtype=torch.float64, device=self.device)
            nats, correct = self.trainer.strategy.reduce(sums, reduce_op="sum").tolist()
            score = replace(score, nats=nats, correct=round(correct))
        self.score = score
        self.log("step", float(self.step), batch_size=1)
        self.log(f"{split}/loss", score.loss, prog_bar=True, batch_size=1)
        self.log(f"{split}/accuracy", score.accuracy, batch_size=1)
        return score.loss

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not know: the carried state and random numbers of each process, place in the data, sums."""
        part = self.capture()
        del part["optimizer"]  # which Lightning saves itself
        own = {"carried": part.pop("carried"), "random": random_state()}
        ranks = [own] * self.trainer.world_size
        if self.trainer.world_size > 1:
            torch.distributed.all_gather_object(ranks, own)
        checkpoint[CHECKPOINT_PART] = {**part, "ranks": ranks}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what `on_save_checkpoint` added.

        Raises:
            UserError: for a checkpoint of something else, or of a different number of processes.
        """
        part = checkpoint.get(CHECKPOINT_PART)
        if part is None:
            raise UserError("this checkpoint was not saved by rnnscope's LanguageModelTask: give one that was")
        saved, now = len(part["ranks"]), self.trainer.world_size
        if saved != now:
            raise UserError(f"this checkpoint was saved by {saved} processes, not {now}: use Trainer(devices={saved})")
        own = part["ranks"][self.trainer.global_rank]
        self._restore_progress({**part, "carried": own["carried"]})
        self.start_random, self.learning_rate = own["random"], math.nan


def _copied(values: Any, device: torch.device) -> Any:
    """Copy every tensor of nested lists and tuples to `device`."""
    if isinstance(values, (list, tuple)):
        return type(values)(_copied(value, device) for value in values)
    return values.to(device, copy=True) if isinstance(values, Tensor) else values
