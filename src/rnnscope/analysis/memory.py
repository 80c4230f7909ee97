"""How far a model remembers: its loss with less context, the time constants of its units, and gradients through time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from rnnscope.model.language_model import LanguageModel
from rnnscope.model.tracing import gradient_through_time

LONGEST = 1024  # tokens of context
FAR = 128  # tokens before the context that are shuffled or replaced
TARGETS = 256  # largest number of predicted tokens
WORK = 2e12  # operations for all predictions: half a minute on two cores
TOLERANCE = 0.05  # share of the gain from context that may be missing at the horizon
FINE = 0.05  # relative precision of the horizon
LAGS, COLUMNS = 128, 8  # of the gradients through time

Losses = dict[int, float]  # nats per token by the length of the context


@dataclass(frozen=True)
class ContextLoss:
    """The losses of a model that knows only the last k tokens, by k.

    Args:
        truncated: nothing is before them: the state is zero.
        shuffled: the `FAR` tokens before them are in random order.
        replaced: the `FAR` tokens before them are from elsewhere in the text.
        targets: the number of predicted tokens.
    """

    truncated: Losses
    shuffled: Losses
    replaced: Losses
    targets: int

    @property
    def horizon(self) -> int:
        """The shortest context beyond which replacing the tokens costs at most `TOLERANCE` of what context gains.

        Replacing is used, since with nothing before the context the model takes a few tokens to recover from the zero state, so
        that the horizon would be longer.
        """
        return horizon(self.replaced, gain(self.truncated))

    @property
    def longest(self) -> int:
        """The longest context tried; a horizon of this length may be longer in fact."""
        return max(self.truncated)


def loss_by_context(model: LanguageModel, ids: np.ndarray, given: int | None = None) -> ContextLoss | None:
    """Return the losses on tokens of a text (time,) by the length of the context; None if the text is too short.

    Args:
        given: the id that is never a target.
    """
    longest = 1 << max((len(ids) - FAR) // 2, 1).bit_length() - 1
    lengths = [1 << power for power in range(min(longest, LONGEST).bit_length())]
    if lengths[-1] < 4:
        return None
    draw = np.random.default_rng(1)
    count = _affordable(model, lengths)
    places = np.arange(lengths[-1] + FAR, len(ids))
    at = np.sort(draw.permutation(places[ids[places] != given])[:count])  # of the tokens to predict
    loss = _loss_at(model, ids, at)
    elsewhere = _before(ids, draw.integers(FAR, len(ids), size=len(at)), FAR)

    def replaced(k: int) -> float:
        return loss(np.vstack([elsewhere, _before(ids, at, k)]))

    def shuffled(k: int) -> float:
        return loss(np.vstack([draw.permuted(_before(ids, at - k, FAR), axis=0), _before(ids, at, k)]))

    truncated = {k: loss(_before(ids, at, k)) for k in lengths}
    exchanged = refine({k: replaced(k) for k in lengths}, gain(truncated), replaced)
    return ContextLoss(truncated, {k: shuffled(k) for k in lengths}, exchanged, len(at))


def _affordable(model: LanguageModel, lengths: list[int]) -> int:
    """Return how many tokens to predict within `WORK` operations."""
    tokens = 4 * sum(lengths) + 2 * FAR * len(lengths)
    recurrent = sum(parameter.numel() for parameter in model.cells.parameters())
    return int(np.clip(WORK / (2 * recurrent * tokens), 32, TARGETS))


def _before(ids: np.ndarray, at: np.ndarray, count: int) -> np.ndarray:
    """Return the `count` tokens before each position: (count, positions)."""
    return ids[at - np.arange(count, 0, -1)[:, None]]


def _loss_at(model: LanguageModel, ids: np.ndarray, at: np.ndarray) -> Callable[[np.ndarray], float]:
    """Return a function from contexts (time, positions) to the loss on the tokens `at`, in nats per token."""
    device = model.head.weight.device
    targets = torch.from_numpy(ids[at]).to(device)

    def loss(contexts: np.ndarray) -> float:
        with torch.no_grad():
            hidden, _ = model.encode(torch.from_numpy(contexts).to(device))
            return float(F.cross_entropy(model.head(hidden[-1]).float(), targets))

    return loss


def gain(losses: Losses) -> float:
    """Return by how much the longest context lowers the loss, in nats per token, compared with the shortest."""
    return max(losses[min(losses)] - losses[max(losses)], 0.0)


def horizon(losses: Losses, gain: float) -> int:
    """Return the shortest context from which on no loss is more than `TOLERANCE` of `gain` above the last one."""
    lengths = sorted(losses)
    enough = losses[lengths[-1]] + TOLERANCE * gain
    short = max((k for k in lengths if losses[k] > enough), default=0)
    return min(k for k in lengths if k > short)


def refine(losses: Losses, gain: float, loss: Callable[[int], float]) -> Losses:
    """Return the losses with further lengths, found by bisection, so that the horizon has the precision `FINE`."""
    losses = dict(losses)
    while True:
        found = horizon(losses, gain)
        shorter = max((k for k in losses if k < found), default=found)
        if found - shorter <= max(1, FINE * found):
            return dict(sorted(losses.items()))
        middle = (shorter + found) // 2
        losses[middle] = loss(middle)


def time_constants(keep: np.ndarray) -> np.ndarray:
    """Return the number of tokens after which each unit keeps 1/e of its memory, (layer, unit).

    Args:
        keep: the share of the memory that a gate keeps at each token, (time, layer, unit). Over several tokens the shares
            multiply: a constant f gives -1 / ln f.
    """
    logarithms = np.log(np.clip(keep.astype(np.float64), 1e-12, 1 - 1e-9))
    return -1 / logarithms.mean(0)


def gradient_by_lag(model: LanguageModel, ids: np.ndarray) -> np.ndarray:
    """Return |dL/dh|, (lags,), by how many tokens h is before the token of the loss L, in nats.

    It is the root mean square over `COLUMNS` stretches of the text, fewer if the text is short.
    """
    time = min(LAGS, len(ids) - 1)
    starts = np.linspace(0, len(ids) - 1 - time, min(COLUMNS, len(ids) - time)).astype(int)
    windows = torch.from_numpy(ids[starts + np.arange(time + 1)[:, None]]).to(model.head.weight.device)
    norms = gradient_through_time(model, windows[:-1], windows[1:])  # of the mean loss: a stretch has 1/n of its own gradient
    return norms.cpu().numpy() * len(starts) ** 0.5
