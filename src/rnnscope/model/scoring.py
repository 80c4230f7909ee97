"""Scoring: next-token cross-entropy in nats, always as a sum divided by a count (a mean of means would be wrong).

`evaluate` does not affect training: it has a state of its own, and uses no gradient, dropout or random number.
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
    """A batch as training and scoring use it; data/batches.py makes them."""

    inputs: Tensor  # (batch, time)
    targets: Tensor  # (batch, time)
    count: int  # real targets
    fresh: bool  # whether the state starts from zero
    epoch: int
    position: dict[str, int]  # where the data continues after this window


def sum_of_nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the sum of -log p(target) over the real targets, a scalar in float32.

    Args:
        logits: (time, batch, V) or (batch, time, V).
        targets: ids in the same order, `IGNORE` in padding.
    """
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORE, reduction="sum")


def count_correct(logits: Tensor, targets: Tensor) -> Tensor:
    """Return how many targets are the likeliest token, a scalar; padding never counts."""
    return (logits.max(-1).indices == targets).sum()  # argmax finds the same, but takes twice as long on a CPU


@dataclass
class Score:
    """The loss of a model on some tokens: a sum in nats, and the numbers of tokens and characters.

    `unknown` of the tokens are outside the vocabulary, where they were counted: nothing tells how well those are predicted.
    """

    nats: float = 0.0
    tokens: int = 0
    correct: int = 0
    characters: int = 0
    unknown: int = 0

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nats / self.tokens if self.tokens else math.nan

    @property
    def accuracy(self) -> float:
        """Share of tokens that the model ranked first."""
        return self.correct / self.tokens if self.tokens else math.nan

    @property
    def bits_per_character(self) -> float:
        """Bits per character of the text, which can be compared across levels and vocabularies."""
        return self.nats / math.log(2) / self.characters if self.characters else math.nan

    @property
    def perplexity(self) -> float:
        """e to the power of the loss: the number of equally likely tokens that the model chooses from."""
        return perplexity(self.loss)


def perplexity(nats: float) -> float:
    """Return e to the power of a loss in nats per token, infinite if it exceeds float64."""
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
    """Scores windows one after the other, carrying the state unless a window is fresh. The model must be in eval mode."""

    def __init__(self, model: Reader, precision: str) -> None:
        self.model, self.precision, self.device = model, precision, next(model.parameters()).device
        # summed in place: a small tensor kept from each window would fragment the heap, and its memory would not be reused
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
        """Return the score so far; `characters` is the length of the text, for bits per character."""
        return Score(float(self.nats), self.tokens, int(self.correct), characters)


def evaluate(model: Reader, windows: Iterable[Window], precision: str, characters: int = 0) -> Score:
    """Return the score of `model` over all `windows`, in order.

    If several processes share the rows of the windows, `tokens` counts those of all, and the sums are this process's part.
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
