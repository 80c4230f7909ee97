"""Drawing the next token from logits."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rnnscope.errors import UserError

HOTTEST = torch.finfo(torch.float32).max  # temperature


@dataclass(frozen=True)
class SamplingOptions:
    """The tokens among which the next one is drawn.

    Args:
        top_k: keep only the k likeliest tokens.
        top_p: keep the smallest set of likeliest tokens with at least this probability (Holtzman et al. 2020).
        never: ids that are never drawn (UNK and START).
        end: the id that ends a text; None if there is none.
        minimum_length: the number of tokens before `end` may be drawn.
        again: whether a text that has ended begins anew from the prompt.

    Raises:
        UserError: for a value outside its range.
    """

    top_k: int | None = None
    top_p: float | None = None
    never: tuple[int, ...] = ()
    end: int | None = None
    minimum_length: int = 0
    again: bool = False

    def __post_init__(self) -> None:
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k={self.top_k} must be at least 1, or null to draw among all tokens")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"top_p={self.top_p} must lie in (0, 1], or null to draw among all tokens")
        if self.minimum_length < 0:
            raise UserError(f"minimum_length={self.minimum_length} must be at least 0")

    def forbidden(self, drawn: int, like: Tensor) -> Tensor:
        """Return a penalty to add to logits (count, V): -inf at ids that may not follow `drawn` tokens."""
        ids = list(self.never)
        if self.end is not None and drawn < self.minimum_length:
            ids.append(self.end)
        penalty = torch.zeros_like(like[:1])
        penalty[:, ids] = -torch.inf
        return penalty


def check_temperature(temperature: float, key: str = "temperature") -> None:
    """Raise `UserError` for a temperature that is negative, or not a number in float32."""
    if not 0 <= temperature <= HOTTEST:
        raise UserError(f"{key}={temperature} must lie between 0 (always the likeliest token) and {HOTTEST:.2g}")


def draw(logits: Tensor, temperatures: Tensor, options: SamplingOptions, uniform: Tensor) -> Tensor:
    """Draw one id for each row of `logits` (count, V) at its temperature (count, 1); 0 takes the likeliest.

    `uniform`: a number from [0, 1) for each row, (count, 1) float64. It is compared with the cumulative sum of the row's
    probabilities, so the draw is the same on every device and with any number of threads.
    """
    likeliest, first = logits.max(-1, keepdim=True)
    scaled = (logits - likeliest) / temperatures.clamp(min=1e-30)  # may overflow only to -inf, probability 0
    steps = running_sum(keep_top(scaled, options.top_k, options.top_p).double().softmax(-1))
    total = steps[:, -1:]
    below = torch.nextafter(total, torch.zeros_like(total))  # rounding must not go past the last token
    drawn = torch.searchsorted(steps, torch.minimum(uniform * total, below), right=True)
    drawn = drawn.clamp(max=logits.shape[-1] - 1)  # NaN, from weights that are not finite, exceeds every sum
    return torch.where(temperatures == 0, first, drawn).squeeze(-1)


def running_sum(probabilities: Tensor) -> Tensor:
    """Return the cumulative sums of each row; on a GPU, whose cumsum is not deterministic, by a matrix product."""
    if not probabilities.is_cuda:
        return probabilities.cumsum(-1)
    return probabilities @ probabilities.new_ones(2 * probabilities.shape[-1:]).triu()


def keep_top(logits: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """Return `logits` (count, V) with every token outside the top k and the top p at -inf."""
    if top_k is not None and top_k < logits.shape[-1]:
        smallest = logits.topk(top_k, -1).values[:, -1:]
        logits = logits.masked_fill(logits < smallest, -torch.inf)
    if top_p is not None and top_p < 1:
        ordered, order = logits.sort(-1, descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)  # probability of all likelier tokens
        beyond = before >= top_p
        beyond[:, 0] = False  # in float32 a top_p below 1e-45 is 0, which would exclude every token
        ordered = ordered.masked_fill(beyond, -torch.inf)
        logits = torch.empty_like(logits).scatter_(-1, order, ordered)
    return logits
