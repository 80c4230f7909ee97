"""The interface of a recurrent cell, as the model, sampling, precision and checkpoints use it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Parts = tuple[Tensor, ...]
Step = Callable[[Tensor, Parts, "StepWeights"], tuple[dict[str, Tensor], Parts]]
CANDIDATE = "candidate"  # the one entry among the gates that is not a share between 0 and 1


@dataclass(frozen=True)
class Cell:
    """A recurrent cell: a layer that maps a whole window with the fastest kernels available, and the same layer for one step.

    `step(read, state, weights)` computes one token from the cell's equations. `read` (count, gates x hidden_size) is the
    input's contribution to the gates, bias included; each part of `state` is (count, hidden_size). The step returns the
    values of the gates by name, (count, hidden_size) each, with the candidate values under `CANDIDATE`; and the next state,
    whose first part is the layer's output. For a cell with `gates_input`, `read` is the input itself, and the step
    multiplies it with the weights.

    Args:
        name: the cell's name in the config.
        layer: the class of one layer, called as `layer(input_size, hidden_size, bias=...)` plus the keys in `keys`.
        gates: number of matrices stacked in each weight.
        state_parts: number of tensors (1, batch, hidden_size) in the state; with more than one, the state is a tuple.
        step: the cell's equations for one token.
        bf16_from: smallest hidden size at which bf16 is faster than float32 on a CPU with `precision.has_fast_bf16`.
        adds_biases: whether the input's and the state's bias only occur as a sum, which `read` then includes.
        forget_gate: index of the gate to which `model.forget_bias` is added; None if the cell has no forget gate.
        gates_input: whether the state modifies the input before it is multiplied with the weights.
        keys: further keys of `model` that are passed to the layer.
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
    """The weights of one layer, transposed for steps of a few texts.

    `recurrent` is (hidden, gates); `bias` and `recurrent_bias` are (gates,). For a cell with `adds_biases`, `bias` is the sum
    of the two. `layer` gives access to any further weights.
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
        """Return the contribution of `hidden` (count, features) to the gates: (count, gates)."""
        return torch.addmm(self.bias, hidden, self._input)

    def read(self, hidden: Tensor) -> Tensor:
        """Return the step's `read` for `hidden`: its product with the weights, or `hidden` itself if the cell `gates_input`."""
        return hidden if self._gates_input else self.multiply(hidden)

    def read_many(self, hidden: Tensor) -> Tensor:
        """Return the same as `read`; faster for many rows, as the weights are not transposed."""
        return hidden if self._gates_input else F.linear(hidden, self._weight, self.bias)
