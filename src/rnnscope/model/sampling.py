"""Generating ids: the state is carried, so the time per token does not depend on the length of the text."""

from collections.abc import Iterator

import torch
from torch import Tensor

from rnnscope.model.drawing import SamplingOptions, check_temperature, draw
from rnnscope.model.graphed_sampling import GraphedDraws
from rnnscope.model.language_model import LanguageModel, State
from rnnscope.model.stepping import Stepper

BLOCK = 1024  # tokens of a prompt that are read at once


@torch.inference_mode()
def generate(
    model: LanguageModel,
    prompt: list[int] | Tensor,
    length: int,
    temperatures: list[float],
    options: SamplingOptions,
    seed: int,
) -> Iterator[list[int | None]]:
    """Yield the next id of each text, `length` times; None for a text that has drawn `options.end`.

    There is one text for each of `temperatures`. All start from `prompt` (at least one id) and advance together. With
    `options.again`, a text that has drawn `options.end` (which is then yielded) begins anew from `prompt`. The random
    numbers come from a separate generator on the CPU, so generating never affects training, and a seed gives the same
    numbers on every device.

    Raises:
        UserError: for a temperature below 0.
    """
    assert len(prompt), "a prompt has at least one id"
    for temperature in temperatures:
        check_temperature(temperature)
    count, ids = len(temperatures), torch.as_tensor(prompt)
    last = int(ids[-1])
    again = (options.end, last) if options.again and options.end is not None else None
    stepper = Stepper(model, _read(model, ids[:-1]), count, again)
    first = torch.full((count,), last)
    heat = torch.tensor(temperatures, dtype=torch.float32).unsqueeze(-1)  # (count, 1)
    ended = [False] * count
    for ids in _drawn(stepper, first, heat, options, length, torch.Generator().manual_seed(seed)):
        if again:
            yield list(ids)
            continue
        ended = [over or id == options.end for over, id in zip(ended, ids, strict=True)]
        yield [None if over else id for id, over in zip(ids, ended, strict=True)]
        if all(ended):
            return


def _drawn(
    stepper: Stepper, ids: Tensor, heat: Tensor, options: SamplingOptions, length: int, generator: torch.Generator
) -> Iterator[list[int]]:
    """Yield the ids that follow `ids`, whether or not a text has ended."""
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


def _read(model: LanguageModel, prompt: Tensor) -> State | None:
    """Return the state after `prompt` (tokens,), for one text; None for an empty prompt.

    The prompt is read once, however many texts begin with it, and block by block: it may be as long as a book.
    """
    was_training, state = model.training, None
    model.eval()
    for block in prompt.split(BLOCK) if len(prompt) else ():
        _, state = model.encode(block.long().unsqueeze(-1).to(model.head.weight.device), state)
    model.train(was_training)
    return state
