"""The long short-term memory (Hochreiter & Schmidhuber 1997): the state is an output h and a gated memory c.

i, f, o = sigmoid(W x + b + R h + d) and g = tanh(...), each with its own matrices, stacked in the order i f g o

c' = f c + i g    with the forget gate f of Gers et al. 2000
h' = o tanh(c')
"""

import torch
from torch import Tensor, nn

from rnnscope.model.cells.cell import CANDIDATE, Cell, Parts, StepWeights


def step(read: Tensor, state: Parts, weights: StepWeights) -> tuple[dict[str, Tensor], Parts]:
    """Return i, f, g, o by name, and (h', c')."""
    return gated(torch.addmm(read, state[0], weights.recurrent), state[1])


def gated(sums: Tensor, memory: Tensor) -> tuple[dict[str, Tensor], Parts]:
    """Return the gates, given their `sums` before the nonlinearity (count, 4 x hidden_size), and the next state (h', c')."""
    i, f, g, o = sums.chunk(4, -1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    memory = f * memory + i * g
    return {"input": i, "forget": f, CANDIDATE: g, "output": o}, (o * memory.tanh(), memory)


LSTM = Cell("lstm", nn.LSTM, gates=4, state_parts=2, step=step, bf16_from=1, forget_gate=1)
