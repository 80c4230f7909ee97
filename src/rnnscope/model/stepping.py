"""One token at a time: the recurrences written out as matrix products on weights laid side by side.

The fused kernels are made for whole windows; called for a single step they rearrange all weights each time. Written
out, a step of 2 x 512 units takes a tenth of the time on a CPU. `LanguageModel.forward` is the plain twin.
"""

import torch
from torch import Tensor, nn

from rnnscope.model.language_model import LanguageModel, State


class Stepper:
    """A model frozen for generating: `step` reads one id of each text and scores the next.

    Args:
        model: its weights are copied as they are now.
        state: what `model.forward` returned for the texts so far; None starts from zero.
        count: number of texts.
    """

    def __init__(self, model: LanguageModel, state: State | None, count: int) -> None:
        self.model = model
        self._layers = [_side_by_side(layer) for layer in model.cells if isinstance(layer, nn.RNNBase)]
        self._step = {"rnn": _step_rnn, "lstm": _step_lstm, "gru": _step_gru}[model.cell]
        self.state = [_flat(part) for part in state] if state is not None else self._zero_state(count)

    def _zero_state(self, count: int) -> list[tuple[Tensor, ...]]:
        parts = 2 if self.model.cell == "lstm" else 1
        zero = self.model.head.weight.new_zeros(count, self.model.hidden_size)
        return [(zero,) * parts for _ in range(self.model.num_layers)]

    def step(self, ids: Tensor) -> Tensor:
        """Return logits (count, V) for the token after `ids` (count,), and move the state on."""
        hidden = self.model.embed(ids)
        for index, weights in enumerate(self._layers):
            self.state[index] = self._step(hidden, self.state[index], weights)
            hidden = self.model.join(index, hidden, self.state[index][0])
        return self.model.head(hidden)


def _flat(part: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return one layer's state (1, count, hidden) as a tuple of (count, hidden)."""
    return tuple(tensor[0] for tensor in part) if isinstance(part, tuple) else (part[0],)


def _side_by_side(layer: nn.RNNBase) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return W^T (features, gates), R^T (hidden, gates) and both biases (gates,), contiguous."""
    named = dict(layer.named_parameters())
    w, r = named["weight_ih_l0"].t().contiguous(), named["weight_hh_l0"].t().contiguous()
    zero = w.new_zeros(w.shape[1])
    return w, r, named.get("bias_ih_l0", zero), named.get("bias_hh_l0", zero)


Weights = tuple[Tensor, Tensor, Tensor, Tensor]


def _step_rnn(x: Tensor, state: tuple[Tensor, ...], weights: Weights) -> tuple[Tensor, ...]:
    w, r, b, c = weights
    return (torch.tanh(torch.addmm(torch.addmm(b + c, x, w), state[0], r)),)


def _step_lstm(x: Tensor, state: tuple[Tensor, ...], weights: Weights) -> tuple[Tensor, ...]:
    w, r, b, c = weights
    gates = torch.addmm(torch.addmm(b + c, x, w), state[0], r)
    i, f, g, o = gates.chunk(4, -1)
    memory = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    return o.sigmoid() * memory.tanh(), memory


def _step_gru(x: Tensor, state: tuple[Tensor, ...], weights: Weights) -> tuple[Tensor, ...]:
    w, r, b, c = weights
    (xr, xz, xn), (hr, hz, hn) = torch.addmm(b, x, w).chunk(3, -1), torch.addmm(c, state[0], r).chunk(3, -1)
    update = (xz + hz).sigmoid()
    fresh = (xn + (xr + hr).sigmoid() * hn).tanh()
    return (fresh + update * (state[0] - fresh),)
