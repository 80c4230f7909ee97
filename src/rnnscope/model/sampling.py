"""Generating ids: the state is carried, so each token costs the same however long the text is."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnscope.errors import UserError
from rnnscope.model.language_model import LanguageModel, State
from rnnscope.model.stepping import Stepper

TOGETHER = 64  # tokens drawn by a GPU before the host looks at them


@dataclass(frozen=True)
class SamplingOptions:
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


def draw(logits: Tensor, temperatures: Tensor, options: SamplingOptions, uniform: Tensor) -> Tensor:
    """Draw one id for each row of `logits` (count, V) at its temperature (count, 1); 0 takes the likeliest.

    `uniform`: a number from [0, 1) for each row, (count, 1) float64. It is compared with the running sum of the row's
    probabilities: the same draw on every device and thread count.
    """
    likeliest, first = logits.max(-1, keepdim=True)
    scaled = (logits - likeliest) / temperatures.clamp(min=1e-30)  # overflows downwards only: to probability 0
    steps = running_sum(keep_top(scaled, options.top_k, options.top_p).double().softmax(-1))
    total = steps[:, -1:]
    below = torch.nextafter(total, torch.zeros_like(total))  # rounding must not reach past the last token
    drawn = torch.searchsorted(steps, torch.minimum(uniform * total, below), right=True)
    drawn = drawn.clamp(max=logits.shape[-1] - 1)  # NaN, of weights that are lost, is above every sum
    return torch.where(temperatures == 0, first, drawn).squeeze(-1)


def running_sum(probabilities: Tensor) -> Tensor:
    """Return the running sums of each row; on a GPU, whose cumsum is not repeatable, as a product of matrices."""
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
        ordered = ordered.masked_fill(before >= top_p, -torch.inf)  # the likeliest has 0 before it and always stays
        logits = torch.empty_like(logits).scatter_(-1, order, ordered)
    return logits


@torch.inference_mode()
def generate(
    model: LanguageModel, prompt: list[int], length: int, temperatures: list[float], options: SamplingOptions, seed: int
) -> Iterator[list[int | None]]:
    """Yield the next id of each text, `length` times; None for a text that has drawn `options.end`.

    There is one text for each of `temperatures`. All start from `prompt` (at least one id) and advance together. The
    draws come from a generator of their own on the CPU, so that generating never disturbs training and a seed means the
    same on every device.

    Raises:
        UserError: for a temperature below 0.
    """
    assert prompt, "a prompt holds at least what comes before the first token"
    for temperature in temperatures:
        check_temperature(temperature)
    count = len(temperatures)
    stepper = Stepper(model, _read(model, prompt[:-1], count), count)
    first, heat = torch.full((count,), prompt[-1]), torch.tensor(temperatures).unsqueeze(-1)  # (count,), (count, 1)
    ended = [False] * count
    for ids in _drawn(stepper, first, heat, options, length, torch.Generator().manual_seed(seed)):
        ended = [over or id == options.end for over, id in zip(ended, ids, strict=True)]
        yield [None if over else id for id, over in zip(ids, ended, strict=True)]
        if all(ended):
            return


def _drawn(
    stepper: Stepper, ids: Tensor, heat: Tensor, options: SamplingOptions, length: int, generator: torch.Generator
) -> Iterator[list[int]]:
    """Yield the ids that come after `ids`, whether or not a text has ended."""
    if stepper.graphs and options.top_k is None and options.top_p is None:
        yield from GraphedDraws(stepper, ids, heat, options).drawn(length, generator)
        return
    device = stepper.model.head.weight.device
    penalty = options.forbidden(0, heat.new_zeros(1, stepper.model.vocabulary_size))
    for drawn in range(length):
        logits = stepper.step(ids.to(device)).float().cpu()
        if drawn == options.minimum_length:
            penalty = options.forbidden(drawn, logits)
        ids = draw(logits + penalty, heat, options, torch.rand(len(ids), 1, generator=generator, dtype=torch.float64))
        yield ids.tolist()


class GraphedDraws:
    """Draws token after token as a CUDA graph, and reads what was drawn only now and then.

    The uniform numbers are those that a CPU would draw with, so the texts are the same wherever they are generated, but
    for the rounding of the logits.
    """

    def __init__(self, stepper: Stepper, ids: Tensor, heat: Tensor, options: SamplingOptions) -> None:
        device = stepper.model.head.weight.device
        self.stepper, self.options = stepper, options
        self._ids, self._heat = ids.to(device), heat.to(device)
        self._uniform = torch.zeros(len(ids), 1, dtype=torch.float64, device=device)
        self._penalty = options.forbidden(0, self._heat.new_zeros(1, stepper.model.vocabulary_size))
        stepper.state = [tuple(part.clone() for part in layer) for layer in stepper.state]
        self._graph = self._record()

    def drawn(self, length: int, generator: torch.Generator) -> Iterator[list[int]]:
        """Yield the next ids, `length` times."""
        done = 0
        while done < length:
            if done == self.options.minimum_length:
                self._penalty.copy_(self.options.forbidden(done, self._penalty))
            ends = [length, done + TOGETHER, *([self.options.minimum_length] if done < self.options.minimum_length else [])]
            count = min(ends) - done
            yield from self._replay(count, generator)
            done += count

    def _replay(self, count: int, generator: torch.Generator) -> list[list[int]]:
        uniform = torch.rand(count, len(self._ids), 1, generator=generator, dtype=torch.float64).to(self._ids.device)
        rows = self._ids.new_empty(count, len(self._ids))
        for numbers, row in zip(uniform.unbind(), rows.unbind(), strict=True):
            self._uniform.copy_(numbers)
            self._graph.replay()
            row.copy_(self._ids)
        return rows.tolist()

    def _record(self) -> torch.cuda.CUDAGraph:
        before = [self._ids.clone(), *(part.clone() for layer in self.stepper.state for part in layer)]
        stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._body()
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(graph):
            self._body()
        now = [self._ids, *(part for layer in self.stepper.state for part in layer)]
        for tensor, value in zip(now, before, strict=True):
            tensor.copy_(value)
        return graph

    def _body(self) -> None:
        """Draw one token of each text, in place."""
        state = list(self.stepper.state)
        logits = self.stepper.step(self._ids).float() + self._penalty
        self._ids.copy_(draw(logits, self._heat, self.options, self._uniform))
        for old, new in zip(state, self.stepper.state, strict=True):
            for part, value in zip(old, new, strict=True):
                part.copy_(value)
        self.stepper.state = state


def _read(model: LanguageModel, prompt: list[int], count: int) -> State | None:
    """Return the state after `prompt` for each of `count` texts, None for an empty one."""
    if not prompt:
        return None
    was_training = model.training
    model.eval()
    _, state = model(torch.tensor([prompt] * count, device=model.head.weight.device))
    model.train(was_training)
    return state
