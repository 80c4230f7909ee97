"""Scoring: next-token cross-entropy in nats, always as a sum over a count (means of means are how scores go wrong).

`evaluate` touches nothing of training: no gradient, no dropout, no random number, a state of its own.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from rnnscope.model.language_model import State
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


class Reader(Protocol):
    """What can be scored: a `LanguageModel`, or a `torch.nn.Module` that reads as one."""

    training: bool

    def read(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]: ...

    def parameters(self) -> Iterator[Tensor]: ...

    def train(self, mode: bool = True) -> Any: ...


class Scorer:
    """Scores windows one after the other; the state is carried where a window is not fresh. The model must not be training."""

    def __init__(self, model: Reader, precision: str) -> None:
        self.model, self.precision, self.device = model, precision, next(model.parameters()).device
        # sums in place: a small tensor kept from each window would split the heap, and no window's memory be used again
        self.nats = torch.zeros((), dtype=torch.float64, device=self.device)
        self.correct = torch.zeros((), dtype=torch.int64, device=self.device)
        self.tokens, self._state = 0, None

    @torch.no_grad()
    def add(self, window: Window) -> None:
        self.tokens += window.count
        if not len(window.inputs):  # a process whose share of the rows is empty
            return
        inputs, targets = window.inputs.to(self.device).t(), window.targets.to(self.device).t()
        with autocast(self.device.type, self.precision):
            logits, self._state = self.model.read(inputs, None if window.fresh else self._state)
        self.nats += sum_of_nats(logits, targets)
        self.correct += count_correct(logits, targets)

    def score(self, characters: int = 0) -> Score:
        """Return the score so far; `characters` is the length of the text, which bits per character divide by."""
        return Score(float(self.nats), self.tokens, int(self.correct), characters)


def evaluate(model: Reader, windows: Iterable[Window], precision: str, characters: int = 0) -> Score:
    """Return the score of `model` over all `windows`, in order.

    Of windows whose rows several processes share, the tokens are those of all, the rest is this process's part of the sums.
    """
    was_training = model.training
    model.train(False)
    scorer = Scorer(model, precision)
    try:
        for window in windows:
            scorer.add(window)
    finally:
        model.train(was_training)
    return scorer.score(characters)
