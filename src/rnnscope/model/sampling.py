"""Generating ids: the state is carried, so each token costs the same however long the text is."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnscope.errors import UserError
from rnnscope.model.language_model import LanguageModel


@dataclass(frozen=True)
class Choice:
    """How the next token is drawn from the model's probabilities.

    Args:
        temperature: logits are divided by it; 0 takes the likeliest token.
        top_k: keep only the k likeliest tokens.
        top_p: keep the fewest likeliest tokens that together have this probability (Holtzman et al. 2020).
        never: ids that are never drawn (UNK and START).
        end: the id that ends a text, None without one.
        minimum_length: tokens before `end` may be drawn.

    Raises:
        UserError: for a value outside its range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    never: tuple[int, ...] = ()
    end: int | None = None
    minimum_length: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"temperature={self.temperature} must be 0 or above; 0 always takes the likeliest token")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k={self.top_k} must be at least 1, or null to draw among all tokens")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"top_p={self.top_p} must lie in (0, 1], or null to draw among all tokens")


def choose(logits: Tensor, choice: Choice, generator: torch.Generator, drawn: int = 0) -> Tensor:
    """Draw one id for each row of `logits` (count, V); `drawn` is how many tokens each text has already."""
    logits = logits.float()
    forbidden = list(choice.never)
    if choice.end is not None and drawn < choice.minimum_length:
        forbidden.append(choice.end)
    if forbidden:
        logits[:, forbidden] = -torch.inf
    if choice.temperature == 0:
        return logits.argmax(-1)
    logits = logits - logits.max(-1, keepdim=True).values  # a small temperature then overflows downwards, to probability 0
    logits = keep_top(logits / max(choice.temperature, 1e-30), choice.top_k, choice.top_p)
    # one uniform number a row, compared with the running sum: the same draw on every device and thread count
    steps = logits.double().softmax(-1).cumsum(-1)
    below = torch.nextafter(steps[:, -1:], torch.zeros_like(steps[:, -1:]))  # rounding must not reach past the last token
    uniform = torch.rand(len(logits), 1, generator=generator, dtype=torch.float64).to(logits.device)
    return torch.searchsorted(steps, torch.minimum(uniform * steps[:, -1:], below), right=True).squeeze(-1)


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
    model: LanguageModel, prompt: list[int], length: int, choice: Choice, seed: int, count: int = 1
) -> Iterator[list[int | None]]:
    """Yield the next id of each of `count` texts, `length` times; None for a text that has drawn `choice.end`.

    All texts start from `prompt` (at least one id) and advance together. The draws come from a generator of their own
    on the CPU, so that generating never disturbs training and a seed means the same on every device.
    """
    assert prompt, "a prompt holds at least what comes before the first token"
    generator = torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        tokens = torch.tensor([prompt] * count, device=device)  # (count, time)
        state, ended = None, torch.zeros(count, dtype=torch.bool)
        for drawn in range(length):
            logits, state = model(tokens, state)
            ids = choose(logits[:, -1], choice, generator, drawn)
            tokens = ids[:, None]
            ids = ids.cpu()
            if choice.end is not None:
                ended |= ids == choice.end
            yield [None if over else int(id) for id, over in zip(ids, ended, strict=True)]
            if ended.all():
                return
    finally:
        model.train(was_training)
