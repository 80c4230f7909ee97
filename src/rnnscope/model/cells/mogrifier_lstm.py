"""The Mogrifier LSTM: input and hidden state gate each other before each step (Melis, Kocisky & Blunsom, arXiv 1909.01792).

In rounds i = 1, 2, ... x and h are updated alternately. The matrix of a round is full, or a product of two of low rank:

x = 2 sigmoid(Q_i h) x    in odd rounds, equation 1
h = 2 sigmoid(R_i x) h    in even rounds, equation 2

An LSTM step on the updated x and h follows.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rnnscope.model.cells.cell import Cell, Parts, StepWeights
from rnnscope.model.cells.lstm import gated
from rnnscope.model.cells.peephole_lstm import PeepholePointwise
from rnnscope.model.cells.sequence import add_product, by_step, product_format, read, state_gradients, weight_gradient


def mogrify(x: Tensor, h: Tensor, rounds: Sequence[Callable[[Tensor], Tensor]]) -> Parts:
    """Return x and h after all rounds; each element of `rounds` multiplies with the matrix of that round."""
    for number, multiply in enumerate(rounds):
        if number % 2:
            h = 2 * multiply(x).sigmoid() * h
        else:
            x = 2 * multiply(h).sigmoid() * x
    return x, h


def step(read: Tensor, state: Parts, weights: StepWeights) -> tuple[dict[str, Tensor], Parts]:
    """Return i, f, g, o by name, and (h', c'); `read` is the input."""
    x, h = mogrify(read, state[0], cast(Any, weights.layer).rounds)
    return gated(torch.addmm(weights.multiply(x), h, weights.recurrent), state[1])


class MogrifierLSTM(nn.Module):
    """One layer, with nn.LSTM's parameter names, shapes and initial values, but a single bias; and a matrix for each round.

    Args:
        rounds: number of updates, of x and h together.
        rank: rank of the matrices; None for full ones.
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, rounds: int = 5, rank: int | None = None) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight_ih_l0 = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh_l0 = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias_ih_l0 = nn.Parameter(torch.empty(4 * hidden_size)) if bias else None
        sizes = (hidden_size, input_size), (input_size, hidden_size)
        self.rounds = nn.ModuleList([_matrix(*sizes[number % 2], rank) for number in range(rounds)])
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def forward(self, inputs: Tensor, state: Parts | None = None) -> tuple[Tensor, Parts]:
        """Return the layer's output (time, batch, hidden_size), and (h, c) after the window."""
        low = product_format(inputs, self.weight_hh_l0)
        with torch.autocast(inputs.device.type, enabled=False):
            weight = torch.cat([self.weight_ih_l0, self.weight_hh_l0], 1)
            if state is None:
                state = (weight.new_zeros(1, inputs.shape[1], self.hidden_size),) * 2
            halves = [_whole(*part.parameters()) / 2 for part in self.rounds]
            written, *after = _Window.apply(low, inputs.to(weight.dtype), *state, weight, self.bias_ih_l0, *halves)
        return written, tuple(after)


def _matrix(columns: int, rows: int, rank: int | None) -> nn.Sequential:
    """Return a matrix (rows, columns), or two factors of it with the given rank."""
    sizes = [(columns, rows)] if rank is None else [(columns, rank), (rank, rows)]
    return nn.Sequential(*(nn.Linear(*size, bias=False) for size in sizes))


def _whole(right: Tensor, left: Tensor | None = None) -> Tensor:
    """Return the matrix of a round as one: up to a few hundred units, one product is faster than two small ones."""
    return right if left is None else left @ right


class _Window(torch.autograd.Function):
    """The hand-written forward and backward pass over a window, as in sequence.py; tests compare it with the pure `step`.

    A round is computed as x + x tanh(Q_i h / 2), which equals 2 sigmoid(Q_i h) x with one operation fewer; the matrices
    passed in are halved for it. The LSTM part is a peephole LSTM with zero peepholes.
    """

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, ...]:
        low, inputs, h, c, weight, bias, *halves = arguments
        (time, batch, features), size = inputs.shape, h.shape[-1]
        states = inputs.new_empty(2, time + 1, batch, size).unbind()
        states[0][0], states[1][0] = h[0], c[0]
        joint, gates = inputs.new_empty(time, batch, features + size), inputs.new_empty(time, batch, 4 * size)
        squashed = [inputs.new_empty(time, batch, len(half)) for half in halves]
        changed = [torch.empty_like(values) for values in squashed]  # x or h after each round
        laid, *matrices = (matrix.to(low).t().contiguous() for matrix in (weight, *halves))
        pointwise, peepholes = PeepholePointwise(), (weight.new_zeros(3, size),)
        slots, views = by_step(states), by_step(pointwise.views(gates, size))
        for at, (x, both, sums, *kept) in enumerate(by_step((inputs, joint, gates, *squashed, *changed))):
            h = slots[at][0]
            for number, matrix in enumerate(matrices):
                by, after = kept[number], kept[len(matrices) + number]
                source, target = (x, h) if number % 2 else (h, x)
                read(by, source.to(low), matrix, None)
                torch.addcmul(target, target, by.tanh_(), out=after)
                x, h = (x, after) if number % 2 else (after, h)
            torch.cat([x, h], -1, out=both)
            read(sums, both.to(low), laid, bias)
            pointwise.forward(views[at], slots[at], slots[at + 1], peepholes)
        ctx.pointwise, ctx.low, ctx.bias = pointwise, low, bias is not None
        ctx.save_for_backward(joint, gates, *states, *peepholes, weight, *halves, *squashed, *changed)
        return states[0][1:].to(low), *(part[-1:].clone() for part in states)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:  # type: ignore[override]
        joint, gates, hidden, memory, peepholes, weight, *rest = ctx.saved_tensors
        rounds, low, states = len(rest) // 3, ctx.low, (hidden, memory)
        halves, squashed, changed = rest[:rounds], rest[rounds : 2 * rounds], rest[2 * rounds :]
        totals = state_gradients(states, grad_outputs)
        factors = ctx.pointwise.factors(gates, states, (peepholes,))
        products = [after - after * by for after, by in zip(changed, squashed, strict=True)]  # overwritten by their gradients
        before, features = torch.empty_like(joint), joint.shape[-1] - hidden.shape[-1]
        laid, *matrices = (matrix.to(low) for matrix in (weight, *halves))
        parts, slots = by_step(factors), by_step(totals)
        steps = by_step((before, before[..., :features], before[..., features:], *squashed, *products))
        for at, (both, x, h, *kept) in reversed(list(enumerate(steps))):
            ctx.pointwise.backward(parts[at], slots[at + 1], slots[at])
            read(both, parts[at][0].to(low), laid, None)
            for number in reversed(range(rounds)):
                by, product = kept[number], kept[rounds + number]
                source, target = (x, h) if number % 2 else (h, x)
                product.mul_(target)
                target.addcmul_(target, by)
                add_product(source, product, matrices[number])
            slots[at][0].add_(h)
        read_by = [joint, hidden[:-1], *changed[:-1]]
        found = [weight_gradient(of, source, low) for of, source in zip([factors[0], *products], read_by, strict=False)]
        bias = factors[0].sum((0, 1)) if ctx.bias else None
        return None, before[..., :features], *(total[:1] for total in totals), found[0], bias, *found[1:]


MOGRIFIER_LSTM = Cell(
    "mogrifier_lstm",
    MogrifierLSTM,
    gates=4,
    state_parts=2,
    step=step,
    bf16_from=256,
    forget_gate=1,
    gates_input=True,
    keys=("rounds", "rank"),
)
