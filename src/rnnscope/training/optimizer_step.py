"""One optimizer step, tensors in and tensors out: forward, backward, clipping, update."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from rnnscope.model.language_model import LanguageModel, State, detach, parts
from rnnscope.model.precision import autocast
from rnnscope.model.scoring import count_correct, sum_of_nats
from rnnscope.training.distributed.collectives import Collectives
from rnnscope.training.penalties import Penalties


@dataclass(slots=True)
class Outcome:
    """The results of a step. The numbers are scalars on the model's device, and nothing has waited for them.

    Args:
        state: after the window, detached.
        nats: the sum of the losses of all real targets.
        correct: how many targets were the likeliest token; None unless it was asked for.
        penalty: what was added to `nats`; None without penalties.
        clipping: the norm of the gradient before it was clipped, or with `clip_value` the share of its elements that were
            clamped; None without clipping.
        gradient_norm: before clipping; None unless it was asked for or is known anyway.
    """

    state: State
    nats: Tensor
    correct: Tensor | None
    penalty: Tensor | None
    clipping: Tensor | None = None
    gradient_norm: Tensor | None = None


class OptimizerStep:
    """Takes one step of `optimizer` on the mean loss of a window.

    Args:
        precision: `float32` or `bf16` (autocast; weights and optimizer stay float32).
        clip_norm: a gradient with a larger norm is scaled down to this one; None for no limit.
        clip_value: every element of the gradient is clamped to +- this value; None for no limit.
        collectives: the connection to the other processes that train the same model; None for a single process.
        penalties: what is added to the loss to go backward from; None for nothing.
    """

    def __init__(
        self,
        model: LanguageModel,
        optimizer: torch.optim.Optimizer,
        precision: str = "float32",
        clip_norm: float | None = None,
        clip_value: float | None = None,
        collectives: Collectives | None = None,
        penalties: Penalties | None = None,
    ) -> None:
        self.model, self.optimizer, self.precision = model, optimizer, precision
        self.clip_norm, self.clip_value, self.collectives, self.penalties = clip_norm, clip_value, collectives, penalties
        self.clips = clip_norm is not None or clip_value is not None
        self.parameters = list(model.trained().values())

    def __call__(
        self, inputs: Tensor, targets: Tensor, state: State | None, kept: Tensor | None, share: Tensor, look: bool
    ) -> Outcome:
        """Take the step.

        Args:
            inputs, targets: ids, (time, batch).
            state: that the window starts from; its tensors may be changed. None starts from zero.
            kept: 0 for the columns that are reset to zero, 1 for the others: (batch, 1). None keeps all.
            share: 1 / real targets, those of all processes: a scalar.
            look: whether the accuracy and the norm of the gradient are wanted.
        """
        total, outcome = self.loss(inputs, targets, state, kept, look)
        for parameter in self.parameters:
            parameter.grad = None  # what optimizer.zero_grad does, in a tenth of the time
        total.backward(share)  # of the mean: dividing first would cost two more operations
        if self.collectives is not None:
            self.all_reduce(self.collectives, outcome)
        outcome.clipping, outcome.gradient_norm = self.clip(look)
        self.optimizer.step()
        return outcome

    def loss(
        self, inputs: Tensor, targets: Tensor, state: State | None, kept: Tensor | None, look: bool
    ) -> tuple[Tensor, Outcome]:
        """Return the sum of the losses and penalties, to go backward from, and what is known of the step before that."""
        if state is not None and kept is not None:
            for part in parts(state):
                part.mul_(kept)
        with self._autocast:
            written, after = self.model.run_layers(inputs, state)
            dropped = self.model.drop_output(written)
            logits = self.model.head(dropped)
        nats = sum_of_nats(logits, targets)
        correct = count_correct(logits.detach(), targets) if look else None
        penalty = self.penalties(written, dropped, targets) if self.penalties else None
        total = nats if penalty is None else nats + penalty
        return total, Outcome(detach(after), nats.detach(), correct, None if penalty is None else penalty.detach())

    @cached_property
    def _autocast(self) -> AbstractContextManager:
        device = self.parameters[0].device
        return autocast(device.type, self.precision)  # one for all steps: creating it takes longer than entering it

    def all_reduce(self, collectives: Collectives, outcome: Outcome) -> None:
        """Sum what each process found over all of them; each has divided by the targets of the whole window."""
        collectives.all_reduce([*self.gradients(), outcome.nats])
        if outcome.correct is not None:
            collectives.all_reduce([outcome.correct])
            if outcome.penalty is not None:  # asked for in the same steps
                collectives.all_reduce([outcome.penalty])

    def clip(self, look: bool) -> tuple[Tensor | None, Tensor | None]:
        """Clip the gradient in place, and return `clipping` and `gradient_norm` of the outcome."""
        if self.clip_norm is not None:
            norm = nn.utils.clip_grad_norm_(self.parameters, self.clip_norm, foreach=True)
            return norm, norm
        norm = nn.utils.get_total_norm(self.gradients(), foreach=True) if look else None
        return None if self.clip_value is None else self._clip_by_value(self.clip_value), norm

    def _clip_by_value(self, limit: float) -> Tensor:
        """Clamp every element to +-limit, and return the share of elements that exceeded it."""
        gradients = self.gradients()
        beyond = torch.stack([(gradient.abs() > limit).sum() for gradient in gradients]).sum()
        nn.utils.clip_grad_value_(self.parameters, limit, foreach=True)
        return beyond / sum(gradient.numel() for gradient in gradients)

    def gradients(self) -> list[Tensor]:
        return [parameter.grad for parameter in self.parameters if parameter.grad is not None]
