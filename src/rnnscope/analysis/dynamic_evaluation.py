"""Dynamic evaluation (Krause et al. 2018, arXiv 1709.07432): a copy of a model keeps learning from the text it is scored on.

After each segment of the text, once it is scored, its gradient moves the weights, and they are pulled towards the trained ones.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from rnnscope.model.language_model import LanguageModel, State, detach
from rnnscope.model.precision import autocast
from rnnscope.model.scoring import Score, Window, count_correct, sum_of_nats

EPSILON = 1e-5  # added to the size of a gradient, so that it is never zero
LR, DECAY = 1e-4, 1e-2  # to begin tuning with
FACTOR, MOVES = 3.0, 6  # between two values tried, and how far to go at most


class DynamicEvaluation:
    """A copy of `model` that learns while it is scored; `model` stays as it is.

    Args:
        sizes: of the gradients in training, as `gradient_sizes` returns them.
        lr: by how much a gradient of that size moves a weight.
        decay: the share of the way back to the trained weights that is gone after each segment, where `sizes` is average.
    """

    def __init__(self, model: LanguageModel, sizes: Sequence[Tensor], lr: float, decay: float) -> None:
        self.model = copied(model)
        self.weights = list(self.model.trained().values())
        self.trained = [weight.detach().clone() for weight in self.weights]
        mean = torch.cat([size.flatten() for size in sizes]).mean()
        self.rates = [lr / (size + EPSILON) for size in sizes]
        self.pulls = [(decay * size / mean).clamp(max=1) for size in sizes]

    def score(self, windows: Iterable[Window], precision: str, characters: int = 0) -> Score:
        """Return the score of the segments `windows` of one text, each scored before it is learned from."""
        score = Score(characters=characters)
        for window, targets, logits in carried_logits(self.model, windows, precision):
            nats = sum_of_nats(logits, targets)
            self._learn(gradients_of(nats, window, self.weights))
            score.nats += nats.item()
            score.tokens += window.count
            score.correct += int(count_correct(logits, targets))
        return score

    @torch.no_grad()
    def _learn(self, gradients: tuple[Tensor, ...]) -> None:
        """w = w - lr gradient / (size + epsilon) + decay size / mean(size) (trained - w)."""
        for weight, trained, rate, pull, gradient in zip(
            self.weights, self.trained, self.rates, self.pulls, gradients, strict=True
        ):
            weight += pull * (trained - weight) - rate * gradient


def copied(model: LanguageModel) -> LanguageModel:
    """Return a copy that drops nothing; its layers are in training mode, the only one in which cuDNN goes backward."""
    model = copy.deepcopy(model).eval()
    model.cells.train()
    return model


def carried_logits(model: LanguageModel, windows: Iterable[Window], precision: str) -> Iterator[tuple[Window, Tensor, Tensor]]:
    """Yield each window with its targets and logits, time first; the state is carried, and its gradients end at each window."""
    device = model.head.weight.device
    state: State | None = None
    for window in windows:
        inputs, targets = window.inputs.to(device).t(), window.targets.to(device).t()
        with autocast(device.type, precision):
            logits, after = model.read(inputs, None if window.fresh else state)
        state = detach(after)
        yield window, targets, logits


def gradients_of(nats: Tensor, window: Window, weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the gradient of the loss per token of a window, of each weight; zero for one that it does not use."""
    return torch.autograd.grad(nats / max(window.count, 1), weights, materialize_grads=True)


def gradient_sizes(model: LanguageModel, windows: Iterable[Window], precision: str) -> list[Tensor]:
    """Return the root of the mean square of each weight's gradient over `windows` of the training text: RMS_g."""
    model = copied(model)
    weights, count = list(model.trained().values()), 0
    squares = [torch.zeros_like(weight) for weight in weights]
    for window, targets, logits in carried_logits(model, windows, precision):
        count += 1
        for square, gradient in zip(squares, gradients_of(sum_of_nats(logits, targets), window, weights), strict=True):
            square += gradient**2
    return [(square / count).sqrt() for square in squares]


def tuned(loss: Callable[[float, float], float]) -> tuple[float, float]:
    """Return the learning rate and the decay of the lowest `loss(lr, decay)`, one tuned after the other."""
    lr = lowest(lambda lr: loss(lr, DECAY), LR)
    return lr, lowest(lambda decay: loss(lr, decay), DECAY)


def lowest(loss: Callable[[float], float], start: float) -> float:
    """Return where `loss` is lowest, going from `start` up by `FACTOR` while it falls, or else down."""
    best, least = start, loss(start)
    for factor in (FACTOR, 1 / FACTOR):
        for _ in range(MOVES):
            found = loss(best * factor)
            if not found < least:  # NaN too
                break
            best, least = best * factor, found
        if best != start:
            break
    return best
