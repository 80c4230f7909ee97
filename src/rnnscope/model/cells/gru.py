"""The gated recurrent unit (Cho et al. 2014) in cuDNN's form: the reset gate scales the product R h of the candidate.

r, z = sigmoid(W x + b + R h + d), each with its own matrices, stacked in the order r z n

n = tanh(W x + b + r (R h + d))
h' = (1 - z) n + z h
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnnscope.model.cells.cell import CANDIDATE, Cell, Parts, StepWeights
from rnnscope.model.cells.sequence import HandWritten, Pointwise, run_window


def step(read: Tensor, state: Parts, weights: StepWeights) -> tuple[dict[str, Tensor], Parts]:
    """Return r, z, n by name, and (h',)."""
    xr, xz, xn = read.chunk(3, -1)
    hr, hz, hn = torch.addmm(weights.recurrent_bias, state[0], weights.recurrent).chunk(3, -1)
    reset, update = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    fresh = (xn + reset * hn).tanh()
    return {"reset": reset, "update": update, CANDIDATE: fresh}, (fresh + update * (state[0] - fresh),)


class GRUPointwise(Pointwise):
    """The columns are s r z n, where s = R h + d is the state's contribution to the candidate."""

    def views(self, gates: Tensor, hidden_size: int) -> Parts:
        return *gates.split(hidden_size, -1), gates[..., hidden_size : 3 * hidden_size]

    def forward(self, views: Parts, state: Parts, after: Parts, extra: Parts) -> None:
        s, r, z, n, rz = views
        rz.sigmoid_()
        n.addcmul_(r, s).tanh_()
        torch.lerp(n, state[0], z, out=after[0])

    def factors(self, gates: Tensor, states: Parts, extra: Parts) -> Parts:
        s, r, z, n = gates.chunk(4, -1)
        into = torch.empty_like(gates)
        ds, dr, dz, dn = into.chunk(4, -1)
        one = gates.new_ones(())
        slope = torch.addcmul(one, n, n, value=-1)  # 1 - n^2
        torch.addcmul(slope, slope, z, value=-1, out=dn)  # (1 - z) (1 - n^2)
        torch.mul(dn, r, out=ds)
        torch.mul(ds, torch.addcmul(s, s, r, value=-1), out=dr)  # dn s r (1 - r)
        torch.mul(states[0][:-1] - n, torch.addcmul(z, z, z, value=-1), out=dz)  # (h - n) z (1 - z)
        return into, into.unflatten(-1, (4, -1)), z

    def backward(self, factors: Parts, gradients: Parts, before: Parts) -> None:
        _, gates, z = factors
        gates.mul_(gradients[0].unsqueeze(1))
        before[0].addcmul_(gradients[0], z)


class GRULayer(HandWritten, nn.GRU):
    """nn.GRU, with a faster hand-written sequence on a CPU."""

    def window(self, inputs: Tensor, state: Parts | None) -> tuple[Tensor, Parts]:
        size = self.hidden_size
        weights = self.weight_ih_l0, self.weight_hh_l0.roll(size, 0)  # the candidate's product comes first
        if not self.bias:
            return run_window(GRUPointwise(), inputs, state, weights, (None, inputs.new_zeros(size)))
        added, apart = self.bias_hh_l0.split([2 * size, size])
        return run_window(GRUPointwise(), inputs, state, weights, (self.bias_ih_l0 + F.pad(added, (0, size)), apart))


GRU = Cell("gru", GRULayer, gates=3, state_parts=1, step=step, bf16_from=256, adds_biases=False)
