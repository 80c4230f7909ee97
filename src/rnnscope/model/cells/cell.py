"""What the model, sampling, precision rules and checkpoints ask of a recurrence."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Parts = tuple[Tensor, ...]
Step = Callable[[Tensor, Parts, "StepWeights"], tuple[dict[str, Tensor], Parts]]
CANDIDATE = "candidate"  # the name of what is not a share between 0 and 1 among the gates


@dataclass(frozen=True)
class Cell:
    """A recurrence: one layer over a whole window, on the fastest kernels there are for it, state in, state out.

    `step(read, state, weights)` is that layer written out for one token. `read` (count, gates x hidden_size) is what the
    input gives the gates, with the input's bias; `state` has parts of (count, hidden_size). It returns what each gate lets
    through, (count, hidden_size) by name, with what new there is to let through as `CANDIDATE`; and the next state, whose
    first part is what the layer writes. Of a cell that `gates_input`, `read` is the input itself, which the step multiplies.

    Args:
        name: in the config.
        layer: the class of one layer, made by `layer(input_size, hidden_size, bias=...)` and what `keys` names.
        gates: matrices stacked in each of its weights.
        state_parts: tensors (1, batch, hidden_size) in its state; where there are several, the state is a tuple.
        step: the equations.
        bf16_from: units from which bf16 is faster than float32, on a CPU that has `precision.has_fast_bf16`.
        adds_biases: whether the biases of input and state are only ever added: `read` then has both.
        forget_gate: the gate that `model.forget_bias` is added to; None where there is none.
        gates_input: whether the state changes the input before it is multiplied.
        keys: those of `model` that the layer takes besides.
    """

    name: str
    layer: Callable[..., nn.Module]
    gates: int
    state_parts: int
    step: Step
    bf16_from: int
    adds_biases: bool = True
    forget_gate: int | None = None
    gates_input: bool = False
    keys: tuple[str, ...] = ()


class StepWeights:
    """The weights of one layer, laid out as a step of a few texts multiplies with them.

    `recurrent` is (hidden, gates), `bias` and `recurrent_bias` are (gates,); a cell that only adds the two has them in `bias`.
    `layer` has what is multiplied as it is.
    """

    def __init__(self, layer: nn.Module, cell: Cell) -> None:
        self.layer, self._gates_input = layer, cell.gates_input
        named = dict(layer.named_parameters())
        self._weight = named["weight_ih_l0"]
        self.recurrent = named["weight_hh_l0"].t().contiguous()
        zero = self._weight.new_zeros(len(self._weight))
        self.bias, self.recurrent_bias = named.get("bias_ih_l0", zero), named.get("bias_hh_l0", zero)
        if cell.adds_biases:
            self.bias = self.bias + self.recurrent_bias

    @cached_property
    def _input(self) -> Tensor:
        """(features, gates)."""
        return self._weight.t().contiguous()

    def multiply(self, hidden: Tensor) -> Tensor:
        """Return what `hidden` (count, features) gives the gates: (count, gates)."""
        return torch.addmm(self.bias, hidden, self._input)

    def read(self, hidden: Tensor) -> Tensor:
        """Return what of that is known before the state is: all of it, or `hidden` itself where the state gates it."""
        return hidden if self._gates_input else self.multiply(hidden)

    def read_many(self, hidden: Tensor) -> Tensor:
        """Do as `read` for so many rows that the weights are best left as they are."""
        return hidden if self._gates_input else F.linear(hidden, self._weight, self.bias)
