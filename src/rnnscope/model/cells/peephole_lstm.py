"""The peephole LSTM: its gates also see the memory c (Gers & Schmidhuber 2000), in Graves's form.

Graves 2013 (arXiv 1308.0850), equations 7 to 11. The matrices are stacked in the order i f g o; the three peephole vectors
p are the last rows of the recurrent weight:

i, f = sigmoid(W x + R h + p c + b)
g = tanh(W x + R h + b)
c' = f c + i g
o = sigmoid(W x + R h + p c' + b)
h' = o tanh(c')
"""

import torch
from torch import Tensor, nn

from rnnscope.model.cells.cell import CANDIDATE, Cell, Parts, StepWeights
from rnnscope.model.cells.sequence import Pointwise, run_window


def step(read: Tensor, state: Parts, weights: StepWeights) -> tuple[dict[str, Tensor], Parts]:
    """Return i, f, g, o by name, and (h', c'); the last three columns of `weights.recurrent` are the peepholes."""
    pi, pf, po = weights.recurrent[:, -3:].unbind(1)
    i, f, g, o = torch.addmm(read, state[0], weights.recurrent[:, :-3]).chunk(4, -1)
    i, f, g = (i + pi * state[1]).sigmoid(), (f + pf * state[1]).sigmoid(), g.tanh()
    memory = f * state[1] + i * g
    o = (o + po * memory).sigmoid()
    return {"input": i, "forget": f, CANDIDATE: g, "output": o}, (o * memory.tanh(), memory)


class PeepholePointwise(Pointwise):
    """The columns are i f g o; the extra weights are the peepholes, (3, hidden_size)."""

    state_parts = 2

    def views(self, gates: Tensor, hidden_size: int) -> Parts:
        both = gates[..., : 2 * hidden_size]
        return *gates.split(hidden_size, -1), both, both.unflatten(-1, (2, hidden_size))

    def forward(self, views: Parts, state: Parts, after: Parts, extra: Parts) -> None:
        i, f, g, o, both, pair = views
        memory, peepholes = after[1], extra[0]
        pair.addcmul_(state[1].unsqueeze(1), peepholes[:2])
        both.sigmoid_()
        torch.mul(f, state[1], out=memory).addcmul_(i, g.tanh_())
        o.addcmul_(memory, peepholes[2]).sigmoid_()
        torch.tanh(memory, out=after[0]).mul_(o)

    def factors(self, gates: Tensor, states: Parts, extra: Parts) -> Parts:
        """Return the gates' factors; dh'/dc', including the path through o; and dc'/dc, including those through i and f."""
        i, f, g, o = gates.chunk(4, -1)
        before, memory, peepholes = states[1][:-1], states[1][1:], extra[0]
        into = torch.empty_like(gates)
        di, df, dg, do = into.chunk(4, -1)
        torch.mul(g, i - i * i, out=di)
        torch.mul(before, f - f * f, out=df)
        torch.addcmul(i, i * g, g, value=-1, out=dg)  # i (1 - g^2)
        squashed = memory.tanh()
        torch.mul(squashed, o - o * o, out=do)
        to_memory = torch.addcmul(o, o * squashed, squashed, value=-1).addcmul_(do, peepholes[2])
        to_before = torch.addcmul(f, di, peepholes[0]).addcmul_(df, peepholes[1])
        return into, into.unflatten(-1, (4, -1))[..., :3, :], do, to_memory, to_before

    def backward(self, factors: Parts, gradients: Parts, before: Parts) -> None:
        _, ifg, o, to_memory, to_before = factors
        memory = gradients[1].addcmul_(gradients[0], to_memory)
        ifg.mul_(memory.unsqueeze(1))
        o.mul_(gradients[0])
        torch.mul(memory, to_before, out=before[1])

    def extra_gradients(self, gradient: Tensor, states: Parts) -> Parts:
        di, df, _, do = gradient.chunk(4, -1)
        before, memory = states[1][:-1], states[1][1:]
        return (torch.stack([(seen * part).sum((0, 1)) for seen, part in ((di, before), (df, before), (do, memory))]),)


class PeepholeLSTM(nn.Module):
    """One layer, with nn.LSTM's parameter names, shapes and initial values, but one bias, and peepholes in `weight_hh_l0`."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight_ih_l0 = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh_l0 = nn.Parameter(torch.empty(4 * hidden_size + 3, hidden_size))
        self.bias_ih_l0 = nn.Parameter(torch.empty(4 * hidden_size)) if bias else None
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def forward(self, inputs: Tensor, state: Parts | None = None) -> tuple[Tensor, Parts]:
        """Return the layer's output (time, batch, hidden_size), and (h, c) after the window."""
        weights, peepholes = self.weight_hh_l0[:-3], self.weight_hh_l0[-3:]
        return run_window(
            PeepholePointwise(), inputs, state, (self.weight_ih_l0, weights), (self.bias_ih_l0, None), (peepholes,)
        )


PEEPHOLE_LSTM = Cell("peephole_lstm", PeepholeLSTM, gates=4, state_parts=2, step=step, bf16_from=256, forget_gate=1)
