"""The long short-term memory (Hochreiter & Schmidhuber 1997): a memory c beside the output h, behind gates.

i, f, o = sigmoid(W x + b + R h + d) and g = tanh(...), each with matrices of its own, stacked in the order i f g o

c' = f c + i g    with the forget gate f of Gers et al. 2000
h' = o tanh(c')
"""

import torch
from torch import Tensor, nn

from rnnscope.model.cells.cell import CANDIDATE, Cell


def step_with_gates(
    read: Tensor, state: tuple[Tensor, ...], recurrent: Tensor, recurrent_bias: Tensor
) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
    """Return i, f, g, o by name, and (h', c')."""
    i, f, g, o = torch.addmm(read, state[0], recurrent).chunk(4, -1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    memory = f * state[1] + i * g
    return {"input": i, "forget": f, CANDIDATE: g, "output": o}, (o * memory.tanh(), memory)


def step(read: Tensor, state: tuple[Tensor, ...], recurrent: Tensor, recurrent_bias: Tensor) -> tuple[Tensor, ...]:
    """Return (h', c')."""
    return step_with_gates(read, state, recurrent, recurrent_bias)[1]


LSTM = Cell("lstm", nn.LSTM, gates=4, state_parts=2, step=step, bf16_from=1, forget_gate=1, step_with_gates=step_with_gates)
