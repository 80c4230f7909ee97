"""The gated recurrent unit (Cho et al. 2014), as cuDNN has it: the reset gate acts on what the state gives the candidate.

r, z = sigmoid(W x + b + R h + d), each with matrices of its own, stacked in the order r z n

n = tanh(W x + b + r (R h + d))
h' = (1 - z) n + z h
"""

import torch
from torch import Tensor, nn

from rnnscope.model.cells.cell import CANDIDATE, Cell


def step_with_gates(
    read: Tensor, state: tuple[Tensor, ...], recurrent: Tensor, recurrent_bias: Tensor
) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
    """Return r, z, n by name, and (h',)."""
    xr, xz, xn = read.chunk(3, -1)
    hr, hz, hn = torch.addmm(recurrent_bias, state[0], recurrent).chunk(3, -1)
    reset, update = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    fresh = (xn + reset * hn).tanh()
    return {"reset": reset, "update": update, CANDIDATE: fresh}, (fresh + update * (state[0] - fresh),)


def step(read: Tensor, state: tuple[Tensor, ...], recurrent: Tensor, recurrent_bias: Tensor) -> tuple[Tensor, ...]:
    """Return (h',)."""
    return step_with_gates(read, state, recurrent, recurrent_bias)[1]


GRU = Cell("gru", nn.GRU, gates=3, state_parts=1, step=step, bf16_from=256, adds_biases=False, step_with_gates=step_with_gates)
