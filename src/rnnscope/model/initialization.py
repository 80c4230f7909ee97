"""The initial weights of a model."""

import math

import torch
from torch import nn

from rnnscope.model.cells.cell import Cell

INITS = ("torch", "xavier", "uniform", "normal", "fan_in")


@torch.no_grad()
def initialize_layer(layer: nn.Module, cell: Cell, init: str, scale: float, forget_bias: float) -> None:
    """Initialize a recurrent layer in place. `torch` keeps torch's uniform(+-1/sqrt(hidden_size)); else biases become zero.

    `forget_bias` is added once to the forget gate (Gers et al. 2000; Jozefowicz et al. 2015): torch adds two bias vectors,
    so only the first of them gets it.
    """
    for name, parameter in layer.named_parameters():
        if init != "torch" and name.startswith("bias"):
            nn.init.zeros_(parameter)
        elif init != "torch":
            gates = parameter.split(layer.hidden_size) if name.startswith("weight") else [parameter]
            for gate in gates:  # one matrix per gate; the last rows may be peepholes
                initialize_matrix(gate, init, scale)
    bias = dict(layer.named_parameters()).get("bias_ih_l0")
    if cell.forget_gate is not None and bias is not None and forget_bias:
        bias.chunk(cell.gates)[cell.forget_gate].add_(forget_bias)


@torch.no_grad()
def initialize_matrix(matrix: torch.Tensor, init: str, scale: float) -> None:
    """Initialize a matrix in place. `torch` and `fan_in` are uniform(+-1/sqrt(columns)); `uniform` and `normal` use `scale`."""
    if init == "xavier":
        nn.init.xavier_uniform_(matrix)  # Glorot & Bengio 2010
    elif init == "uniform":
        nn.init.uniform_(matrix, -scale, scale)
    elif init == "normal":
        nn.init.normal_(matrix, std=scale)
    else:
        bound = 1 / math.sqrt(matrix.shape[1])
        nn.init.uniform_(matrix, -bound, bound)
