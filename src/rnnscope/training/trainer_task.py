"""The LightningModule: a task as a `pl.Trainer` calls it, with a `Window` as batch.

rnnscope's own pipeline calls `take_step` instead, and passes many windows to Lightning as one batch (pipeline/lightning.py):
Lightning's hooks take half a millisecond, 4 % of a step of two layers of 128 units. Both take the same steps, bit for bit.
"""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from rnnscope.data.batches import Window
from rnnscope.errors import UserError
from rnnscope.model.scoring import Scorer
from rnnscope.training.callback import Callback
from rnnscope.training.randomness import random_state, restore_random_state, seed_all, seed_of_process
from rnnscope.training.task import LanguageModelTask, copied

CHECKPOINT_PART = "rnnscope"  # the key of the task's own part in Lightning's checkpoints
LOGGED = ("train/loss", "train/penalty", "learning_rate", "gradient_norm/all", "val/loss", "val/accuracy")  # for callbacks


class TrainerTask(LanguageModelTask):
    """Trains in any `pl.Trainer`.

    It logs `train/loss`, `learning_rate` and `gradient_norm/all` at each step, and `val/loss` and `val/accuracy` at each
    validation. The task sets the learning rate and clips the gradient itself; `gradient_clip_val` of a Trainer replaces its
    clipping. Lightning's checkpoints hold all that is needed to continue exactly.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.callbacks = Callback()
        self.start_random: dict[str, Any] | None = None  # state of the random numbers to start from; None for the current one

    @property
    def _alone(self) -> bool:
        """Whether there are no callbacks of rnnscope: then the task itself clears its sums and updates its schedule."""
        return type(self.callbacks) is Callback

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.plain_step.optimizer

    def on_train_start(self) -> None:
        """Restore the random numbers of `start_random`, which may come from a checkpoint."""
        if self.start_random is not None:
            restore_random_state(self.start_random)
            self.start_random = None
            if self.trainer.global_rank and not self.step:  # dropout of its own in each process
                seed_all(seed_of_process(torch.initial_seed(), self.trainer.global_rank))
        self.carried = copied(self.carried, self.device)
        if self.average is not None:
            self.average.to(self.device)
        self._set_rate(self.position.get("epoch", 0))
        self.callbacks.start(self)

    def on_train_batch_start(self, batch: Window, batch_idx: int) -> None:
        self.callbacks.before_step(self)

    def training_step(self, batch: Window, batch_idx: int) -> Tensor:
        """Return the mean loss over the real targets of a window, those of all processes together, and the penalties."""
        self._set_rate(batch.epoch)
        state, kept = self._start(batch)
        total, self._outcome = self.plain_step.loss(batch.inputs.t(), batch.targets.t(), state, kept, self.look)
        self._pass(batch, self._outcome)
        averaged = self.trainer.world_size if self.collectives is None else 1  # Lightning's DDP takes the mean of gradients
        return total * (self._share_of(batch.count) * averaged)

    def on_after_backward(self) -> None:
        if self.collectives is not None:
            self.plain_step.all_reduce(self.collectives, self._outcome)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as the Trainer is configured to, else as the task is."""
        done = self._outcome
        if gradient_clip_val is None:
            done.clipping, done.gradient_norm = self.plain_step.clip(True)
        else:
            done.gradient_norm = nn.utils.get_total_norm(self.plain_step.gradients(), foreach=True)
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        assert done.gradient_norm is not None
        self.log("step", float(self.step + 1))  # loggers use it as the x axis: optimizer steps, as everywhere in rnnscope
        self.log("train/loss", done.nats * self._share_of(self.last_count), prog_bar=True)
        if done.penalty is not None:
            self.log("train/penalty", done.penalty * self._share_of(self.last_count))
        self.log("learning_rate", self.learning_rate)
        self.log("gradient_norm/all", done.gradient_norm)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self._count_step(self._outcome)

    def on_train_batch_end(self, outputs: Any, batch: Window, batch_idx: int) -> None:
        self.callbacks.after_step(self)
        if self._alone:
            self.sums.clear()
        self._set_rate(self.position["epoch"])  # of the next step, for Lightning callbacks that read it before then

    def on_validation_epoch_start(self) -> None:
        self._scorer = Scorer(self.model, self.precision)

    def validation_step(self, batch: Window, batch_idx: int) -> None:
        with self.evaluated():  # for each window: whatever breaks off here leaves the newest weights
            self._scorer.add(batch)

    def on_validation_epoch_end(self) -> None:
        loss = self._log_score("val")
        fitting = self.trainer.state.fn == "fit" and not self.trainer.sanity_checking
        if self._alone and fitting:
            self.observe(loss)
            self._set_rate(self.position["epoch"])

    on_test_epoch_start, test_step = on_validation_epoch_start, validation_step

    def on_test_epoch_end(self) -> None:
        self._log_score("test")

    def _log_score(self, split: str) -> float:
        """Log the score of a split, over all processes, and return the loss in nats per token."""
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
        """Add what Lightning does not save: state and random numbers of each process, position in the data, sums."""
        part = self.capture()
        del part["optimizer"]  # Lightning saves it
        own = {"carried": part.pop("carried"), "random": random_state()}
        ranks = [own] * self.trainer.world_size
        if self.trainer.world_size > 1:
            torch.distributed.all_gather_object(ranks, own)
        checkpoint[CHECKPOINT_PART] = {**part, "ranks": ranks}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what `on_save_checkpoint` added.

        Raises:
            UserError: for a checkpoint of another module, or of a different number of processes.
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
