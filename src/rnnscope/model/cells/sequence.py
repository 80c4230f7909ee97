"""Hand-written forward and backward passes over a window, for cells that torch runs step by step on a CPU.

The input's contribution to the gates is one matrix product over the whole window, and so is the gradient of each weight.
Each step is then one product with the state and a few in-place operations. Tests compare the result with the cell's `step`.
"""

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rnnscope.model.cells.cell import Parts


class Pointwise(Protocol):
    """The elementwise part of a cell's step, forward and backward.

    `gates` (time, batch, width) has a column for each sum of products. The last columns start as the input's contribution;
    the state's product is added to the first ones. A cell that needs the two separately for one of its gates, as a GRU does,
    has a `width` of one gate more than its weights.
    """

    state_parts = 1

    def views(self, gates: Tensor, hidden_size: int) -> Parts:
        """Return the views of `gates` that `forward` works on, (time, batch, ...) each."""
        ...

    def forward(self, views: Parts, state: Parts, after: Parts, extra: Parts) -> None:
        """Apply the gates of one step in place and write the next state to `after`; its first part is h, the layer's output."""
        ...

    def factors(self, gates: Tensor, states: Parts, extra: Parts) -> Parts:
        """Return the derivatives that `backward` multiplies with, for the whole window.

        The first has the shape of `gates`; `backward` turns it in place into the gradient of `gates`. Each part of `states`
        is (time + 1, batch, hidden_size).
        """
        ...

    def backward(self, factors: Parts, gradients: Parts, before: Parts) -> None:
        """Compute the gradient of one step's gates in place, given the `gradients` of the state after it.

        The elementwise part of the gradient of the state before it is added to `before[0]` and written to its other parts.
        """
        ...

    def extra_gradients(self, gradient: Tensor, states: Parts) -> Parts:
        """Return the gradients of the `extra` weights, given the gradient of `gates`."""
        return ()


def run_window(
    pointwise: Pointwise,
    inputs: Tensor,
    state: Parts | None,
    weights: tuple[Tensor, Tensor],
    biases: tuple[Tensor | None, Tensor | None] = (None, None),
    extra: Parts = (),
) -> tuple[Tensor, Parts]:
    """Return a layer's output (time, batch, hidden_size) and its state after the window, (1, batch, hidden_size) each.

    Under autocast, products and output are in its dtype; everything else is in the dtype of the weights.

    Args:
        inputs: (time, batch, features).
        state: the initial state; None is zero.
        weights: the input's (gates, features) and the state's (gates, hidden_size).
        biases: of the input's contribution (gates,), and of the extra column that only the state fills (hidden_size,).
        extra: further weights of the cell.
    """
    low = product_format(inputs, weights[1])
    with torch.autocast(inputs.device.type, enabled=False):
        if state is None:
            zero = weights[1].new_zeros(1, inputs.shape[1], weights[1].shape[1])
            state = (zero,) * pointwise.state_parts
        written, *after = _Window.apply(pointwise, low, inputs, *weights, *biases, *state, *extra)
    return written, tuple(after)


def product_format(inputs: Tensor, weight: Tensor) -> torch.dtype:
    """Return the dtype of a layer's matrix products: autocast's if it is enabled, else that of the weights."""
    device = inputs.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype


class _Window(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, ...]:
        pointwise, low, inputs, weight, recurrent, bias, apart, *rest = arguments
        (time, batch, _), (rows, hidden_size) = inputs.shape, recurrent.shape
        state, extra = rest[: pointwise.state_parts], tuple(rest[pointwise.state_parts :])
        gates = recurrent.new_empty(time, batch, rows + (0 if apart is None else hidden_size))
        if apart is not None:
            gates[..., :hidden_size] = apart
        read(gates.flatten(0, 1)[:, -rows:], inputs.flatten(0, 1).to(low), weight.to(low).t(), bias)
        states = tuple(recurrent.new_empty(time + 1, batch, hidden_size) for _ in state)
        for part, first in zip(states, state, strict=True):
            part[0] = first[0]
        matrix, sums = recurrent.to(low).t().contiguous(), gates[..., :rows].unbind(0)
        views, slots = by_step(pointwise.views(gates, hidden_size)), by_step(states)
        for step in range(time):
            add_product(sums[step], slots[step][0], matrix)
            pointwise.forward(views[step], slots[step], slots[step + 1], extra)
        ctx.pointwise, ctx.low, ctx.biases = pointwise, low, (bias is not None, apart is not None)
        ctx.save_for_backward(inputs, weight, recurrent, gates, *states, *extra)
        return states[0][1:].to(low), *(part[-1:].clone() for part in states)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:  # type: ignore[override]
        pointwise, low = ctx.pointwise, ctx.low
        inputs, weight, recurrent, gates, *rest = ctx.saved_tensors
        states, extra = tuple(rest[: pointwise.state_parts]), tuple(rest[pointwise.state_parts :])
        (rows, hidden_size), time = recurrent.shape, len(gates)
        totals = state_gradients(states, grad_outputs)
        factors = pointwise.factors(gates, states, extra)
        sums, matrix = factors[0][..., :rows].unbind(0), recurrent.to(low)
        parts, slots = by_step(factors), by_step(totals)
        for step in reversed(range(time)):
            pointwise.backward(parts[step], slots[step + 1], slots[step])
            add_product(slots[step][0], sums[step], matrix)
        flat = factors[0].flatten(0, 1)  # the gradient of `gates`
        given = flat[:, -rows:].to(low)
        biases = [flat[:, -rows:].sum(0) if ctx.biases[0] else None, flat[:, :hidden_size].sum(0) if ctx.biases[1] else None]
        return (
            *(None, None),
            (given @ weight.to(low)).view(inputs.shape) if ctx.needs_input_grad[2] else None,
            (given.t() @ inputs.flatten(0, 1).to(low)).to(weight.dtype),
            weight_gradient(factors[0][..., :rows], states[0][:-1], low),
            *biases,
            *(total[:1] for total in totals),
            *pointwise.extra_gradients(factors[0], states),
        )


def state_gradients(states: Parts, grad_outputs: Parts) -> Parts:
    """Return the gradients of `states` (time + 1, batch, hidden_size) that come directly from the layer's outputs."""
    totals = tuple(torch.zeros_like(part) for part in states)
    totals[0][1:] = grad_outputs[0]
    for total, last in zip(totals, grad_outputs[1:], strict=True):
        total[-1:] += last
    return totals


def weight_gradient(gradient: Tensor, inputs: Tensor, low: torch.dtype) -> Tensor:
    """Return a weight's gradient (out, in), given that of its product (time, batch, out) with `inputs` (time, batch, in)."""
    return (gradient.flatten(0, 1).to(low).t() @ inputs.flatten(0, 1).to(low)).to(gradient.dtype)


def read(into: Tensor, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Write `inputs @ weight + bias` to `into`, whose dtype may be wider than that of the product."""
    if inputs.dtype != into.dtype:
        torch.add(inputs @ weight, 0.0 if bias is None else bias, out=into)
    elif bias is None:
        torch.mm(inputs, weight, out=into)
    else:
        torch.addmm(bias, inputs, weight, out=into)


def add_product(into: Tensor, left: Tensor, right: Tensor) -> None:
    """Add `left @ right` to `into`; the product is computed in the dtype of `right`."""
    if right.dtype == into.dtype:
        into.addmm_(left, right)
    else:
        into.add_(left.to(right.dtype) @ right)


def by_step(parts: Parts) -> list[Parts]:
    """Return views of each time step. Slicing inside the loop instead would cost as much as the product of a small layer."""
    return list(zip(*(part.unbind(0) for part in parts), strict=True))


class HandWritten(nn.RNNBase):
    """A torch layer that runs its own `window` on a CPU, unless `torch_kernels` is set."""

    torch_kernels = False
    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor  # this and the next exist only if `bias` is True
    bias_hh_l0: Tensor

    def by_hand(self, inputs: Tensor) -> bool:
        """Whether these inputs are computed by `window`."""
        return not self.torch_kernels and inputs.device.type == "cpu"

    def window(self, inputs: Tensor, state: Parts | None) -> tuple[Tensor, Parts]:
        """Return the layer's output and its state after the window."""
        raise NotImplementedError

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Return what torch's layer would: (time, batch, features) and (1, batch, hidden_size) in, the same layout out."""
        if not self.by_hand(input):
            return super().forward(input, hx)
        written, (after,) = self.window(input, None if hx is None else (hx,))
        return written, after


def add_biases(layer: HandWritten) -> Tensor | None:
    """Return the sum of the two biases of a torch layer, or None if it has none."""
    return layer.bias_ih_l0 + layer.bias_hh_l0 if layer.bias else None
