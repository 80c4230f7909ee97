"""Scoring: next-token cross-entropy in nats, always as a sum over a count (means of means are how scores go wrong).

`evaluate` touches nothing of training: no gradient, no dropout, no random number, a state of its own.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from rnnscope.model.language_model import LanguageModel, State
from rnnscope.model.precision import autocast

IGNORE = -100  # target of a padded position


class Window(Protocol):
    """What training and scoring need of a batch; data/batches.py makes them."""

    inputs: Tensor  # (batch, time)
    targets: Tensor  # (batch, time)
    count: int  # real targets
    fresh: bool  # whether the state starts from zero
    epoch: int
    position: dict[str, int]  # where the data goes on after this window


def sum_of_nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the sum of -log p(target) over the real targets, a scalar in float32.

    Args:
        logits: (time, batch, V), or with batch first.
        targets: ids in the same order, `IGNORE` where padded.
    """
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORE, reduction="sum")


def count_correct(logits: Tensor, targets: Tensor) -> Tensor:
    """Return how many targets are the likeliest token, a scalar; padded positions never are."""
    return (logits.max(-1).indices == targets).sum()  # argmax finds the same, but takes twice as long on a CPU


@dataclass
class Score:
    """What a model lost on some tokens: nats, and the tokens and characters they are spread over."""

    nats: float = 0.0
    tokens: int = 0
    correct: int = 0
    characters: int = 0

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nats / self.tokens if self.tokens else math.nan

    @property
    def accuracy(self) -> float:
        """Share of tokens that were the model's first guess."""
        return self.correct / self.tokens if self.tokens else math.nan

    @property
    def bits_per_character(self) -> float:
        """Bits per character of the text itself, so that levels and vocabularies can be compared."""
        return self.nats / math.log(2) / self.characters if self.characters else math.nan

    @property
    def perplexity(self) -> float:
        """e to the loss: the number of equally likely tokens the model chooses among."""
        return perplexity(self.loss)


def perplexity(nats: float) -> float:
    """Return e to a loss in nats per token, infinite where a float64 does not hold it."""
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf


@torch.no_grad()
def evaluate(model: LanguageModel, windows: Iterable[Window], precision: str, characters: int = 0) -> Score:
    """Return the score of `model` over all `windows`, in order; the state is carried where a window is not fresh.

    `characters` is the length of the text they cover, which bits per character divide by.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    # sums in place: a small tensor kept from each window would split the heap, and no window's memory be used again
    nats, correct = (torch.zeros((), dtype=kind, device=device) for kind in (torch.float64, torch.int64))
    tokens, state = 0, None
    for window in windows:
        score, hits, state = _score(model, window, state, device, precision)
        nats += score
        correct += hits
        tokens += window.count
    model.train(was_training)
    return Score(float(nats), tokens, int(correct), characters)


def _score(
    model: LanguageModel, window: Window, state: State | None, device: torch.device, precision: str
) -> tuple[Tensor, Tensor, State]:
    inputs, targets = window.inputs.to(device).t(), window.targets.to(device).t()
    with autocast(device.type, precision):
        logits, after = model.read(inputs, None if window.fresh else state)
    return sum_of_nats(logits, targets), count_correct(logits, targets), after
