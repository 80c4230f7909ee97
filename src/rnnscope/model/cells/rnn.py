"""The simple recurrence (Elman 1990): one tanh layer that reads its own last output.

h' = tanh(W x + b + R h + d)
"""

import torch
from torch import Tensor, nn

from rnnscope.model.cells.cell import Cell


def step(read: Tensor, state: tuple[Tensor, ...], recurrent: Tensor, recurrent_bias: Tensor) -> tuple[Tensor, ...]:
    """Return (h',)."""
    return (torch.tanh(torch.addmm(read, state[0], recurrent)),)


RNN = Cell("rnn", nn.RNN, gates=1, state_parts=1, step=step, bf16_from=256)
