"""Generating on a GPU, with a step and a draw in one CUDA graph; sampling.py does the same without a graph."""

from collections.abc import Iterator

import torch
from torch import Tensor

from rnnscope.model.drawing import SamplingOptions, draw
from rnnscope.model.stepping import Stepper

TOGETHER = 64  # tokens that a GPU draws before the host reads them


class GraphedDraws:
    """Draws token after token with a CUDA graph, and reads many of them at a time.

    The uniform numbers are those that a CPU would draw with, so the texts are the same on every device, except for the
    rounding of the logits.
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
