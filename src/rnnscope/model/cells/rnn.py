"""The simple recurrence (Elman 1990): one tanh layer that reads its own last output.

h' = tanh(W x + b + R h + d)
"""

import torch
from torch import Tensor, nn

from rnnscope.model.cells.cell import Cell, Parts, StepWeights
from rnnscope.model.cells.sequence import HandWritten, Pointwise, add_biases, run_window


def step(read: Tensor, state: Parts, weights: StepWeights) -> tuple[dict[str, Tensor], Parts]:
    """Return no gates, and (h',)."""
    return {}, (torch.tanh(torch.addmm(read, state[0], weights.recurrent)),)


class RNNPointwise(Pointwise):
    def views(self, gates: Tensor, hidden_size: int) -> Parts:
        return (gates,)

    def forward(self, views: Parts, state: Parts, after: Parts, extra: Parts) -> None:
        torch.tanh(views[0], out=after[0])

    def factors(self, gates: Tensor, states: Parts, extra: Parts) -> Parts:
        written = states[0][1:]
        return (torch.addcmul(written.new_ones(()), written, written, value=-1),)  # 1 - h'^2

    def backward(self, factors: Parts, gradients: Parts, before: Parts) -> None:
        factors[0].mul_(gradients[0])


class RNNLayer(HandWritten, nn.RNN):
    """nn.RNN, with a faster hand-written sequence on a CPU."""

    def window(self, inputs: Tensor, state: Parts | None) -> tuple[Tensor, Parts]:
        weights = self.weight_ih_l0, self.weight_hh_l0
        return run_window(RNNPointwise(), inputs, state, weights, (add_biases(self), None))


RNN = Cell("rnn", RNNLayer, gates=1, state_parts=1, step=step, bf16_from=256)
