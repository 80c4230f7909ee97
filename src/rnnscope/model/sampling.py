"""Generating ids: the state is carried, so each token costs the same however long the text is."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnscope.errors import UserError
from rnnscope.model.language_model import LanguageModel, State
from rnnscope.model.stepping import Stepper


@dataclass(frozen=True)
class Choice:
    """Among which tokens the next one is drawn.

    Args:
        top_k: keep only the k likeliest tokens.
        top_p: keep the fewest likeliest tokens that together have this probability (Holtzman et al. 2020).
        never: ids that are never drawn (UNK and START).
        end: the id that ends a text, None without one.
        minimum_length: tokens before `end` may be drawn.

    Raises:
        UserError: for a value outside its range.
    """

    top_k: int | None = None
    top_p: float | None = None
    never: tuple[int, ...] = ()
    end: int | None = None
    minimum_length: int = 0

    def __post_init__(self) -> None:
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k={self.top_k} must be at least 1, or null to draw among all tokens")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"top_p={self.top_p} must lie in (0, 1], or null to draw among all tokens")

    def forbidden(self, drawn: int, like: Tensor) -> Tensor:
        """Return what to add to logits (count, V): -inf at ids that may not come after `drawn` tokens."""
        ids = list(self.never)
        if self.end is not None and drawn < self.minimum_length:
            ids.append(self.end)
        penalty = torch.zeros_like(like[:1])
        penalty[:, ids] = -torch.inf
        return penalty


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that means nothing."""
    if not 0 <= temperature < float("inf"):
        raise UserError(f"temperature={temperature} must be 0 or above; 0 always takes the likeliest token")


def draw(logits: Tensor, temperatures: Tensor, choice: Choice, generator: torch.Generator) -> Tensor:
    """Draw one id for each row of `logits` (count, V) at its temperature (count, 1); 0 takes the likeliest."""
    likeliest, first = logits.max(-1, keepdim=True)
    scaled = (logits - likeliest) / temperatures.clamp(min=1e-30)  # overflows downwards only: to probability 0
    probabilities = keep_top(scaled, choice.top_k, choice.top_p).double().softmax(-1)
    # one uniform number a row, compared with the running sum: the same draw on every device and thread count
    steps = probabilities.cumsum(-1)
    total = steps[:, -1:]
    below = torch.nextafter(total, torch.zeros_like(total))  # rounding must not reach past the last token
    uniform = torch.rand(len(logits), 1, generator=generator, dtype=torch.float64)
    drawn = torch.searchsorted(steps, torch.minimum(uniform * total, below), right=True)
    return torch.where(temperatures == 0, first, drawn).squeeze(-1)


def keep_top(logits: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """Return `logits` (count, V) with every token outside the top k and the top p at -inf."""
    if top_k is not None and top_k < logits.shape[-1]:
        smallest = logits.topk(top_k, -1).values[:, -1:]
        logits = logits.masked_fill(logits < smallest, -torch.inf)
    if top_p is not None and top_p < 1:
        ordered, order = logits.sort(-1, descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)  # probability of all likelier tokens
        ordered = ordered.masked_fill(before >= top_p, -torch.inf)  # the likeliest has 0 before it and always stays
        logits = torch.empty_like(logits).scatter_(-1, order, ordered)
    return logits


@torch.inference_mode()
def generate(
    model: LanguageModel, prompt: list[int], length: int, temperatures: list[float], choice: Choice, seed: int
) -> Iterator[list[int | None]]:
    """Yield the next id of each text, `length` times; None for a text that has drawn `choice.end`.

    There is one text for each of `temperatures`. All start from `prompt` (at least one id) and advance together. The
    draws come from a generator of their own on the CPU, so that generating never disturbs training and a seed means the
    same on every device.

    Raises:
        UserError: for a temperature below 0.
    """
    assert prompt, "a prompt holds at least what comes before the first token"
    for temperature in temperatures:
        check_temperature(temperature)
    generator = torch.Generator().manual_seed(seed)
    count, device = len(temperatures), model.head.weight.device
    heat = torch.tensor(temperatures).unsqueeze(-1)  # (count, 1)
    stepper = Stepper(model, _read(model, prompt[:-1], count), count)
    ids, ended = torch.full((count,), prompt[-1]), torch.zeros(count, dtype=torch.bool)
    penalty = choice.forbidden(0, heat.new_zeros(1, model.vocabulary_size))
    for drawn in range(length):
        logits = stepper.step(ids.to(device)).float().cpu()  # drawn on the CPU: running sums on a GPU are not repeatable
        if drawn == choice.minimum_length:
            penalty = choice.forbidden(drawn, logits)
        ids = draw(logits + penalty, heat, choice, generator)
        if choice.end is not None:
            ended |= ids == choice.end
        yield [None if over else id for id, over in zip(ids.tolist(), ended.tolist(), strict=True)]
        if choice.end is not None and ended.all():
            return


def _read(model: LanguageModel, prompt: list[int], count: int) -> State | None:
    """Return the state after `prompt` for each of `count` texts, None for an empty one."""
    if not prompt:
        return None
    was_training = model.training
    model.eval()
    _, state = model(torch.tensor([prompt] * count, device=model.head.weight.device))
    model.train(was_training)
    return state
