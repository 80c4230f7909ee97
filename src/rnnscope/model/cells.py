"""The recurrences: one layer each, state in, state out, on torch's fused kernels (oneDNN on a CPU, cuDNN on a GPU).

Each layer is a module of its own, although torch can stack them: dropout between layers is then ours to see, each
layer's state can be looked at, and cuDNN's persistent kernels, which want a single layer, stay available.

State of one layer: (1, batch, hidden_size) for `rnn` and `gru`; a pair of those, (h, c), for `lstm`.
"""

import math
from collections.abc import Callable

import torch
from torch import nn

# name in the config -> (torch's class, number of gates stacked in its weight matrices)
CELLS: dict[str, tuple[Callable[..., nn.RNNBase], int]] = {
    "rnn": (nn.RNN, 1),  # h' = tanh(W x + b + R h + r)                                      Elman 1990
    "lstm": (
        nn.LSTM,
        4,
    ),  # gates i f g o: c' = f c + i g, h' = o tanh(c')                  Hochreiter & Schmidhuber 1997
    "gru": (nn.GRU, 3),  # gates r z n: h' = (1 - z) n + z h, with r on the recurrent term   Cho et al. 2014
}


def make_cells(cell: str, input_size: int, hidden_size: int, num_layers: int, bias: bool) -> nn.ModuleList:
    """Return `num_layers` single-layer recurrences; the first reads `input_size` features, the others `hidden_size`."""
    kind, _ = CELLS[cell]
    sizes = [input_size] + [hidden_size] * (num_layers - 1)
    return nn.ModuleList([kind(size, hidden_size, bias=bias) for size in sizes])


@torch.no_grad()
def initialise_cell(layer: nn.RNNBase, init: str, scale: float, forget_bias: float) -> None:
    """Fill one layer in place. `torch` keeps torch's uniform(+-1/sqrt(hidden_size)); biases of the others start at zero.

    `forget_bias` is added once to the LSTM's forget gate (Gers et al. 2000; Jozefowicz et al. 2015): torch adds two
    bias vectors, so only the first of them gets it.
    """
    for name, parameter in layer.named_parameters():
        if init != "torch" and name.startswith("bias"):
            nn.init.zeros_(parameter)
        elif init != "torch":
            for gate in parameter.chunk(gates_of(layer)):  # each gate is a matrix of its own
                initialise_matrix(gate, init, scale)
    if isinstance(layer, nn.LSTM) and layer.bias and forget_bias:
        bias = layer.get_parameter("bias_ih_l0")
        bias[layer.hidden_size : 2 * layer.hidden_size] += forget_bias


def gates_of(layer: nn.RNNBase) -> int:
    """Return how many gates are stacked in the layer's weight matrices."""
    return CELLS[layer.mode.split("_")[0].lower()][1]


@torch.no_grad()
def initialise_matrix(matrix: torch.Tensor, init: str, scale: float) -> None:
    """Fill a weight matrix in place: `torch` is uniform(+-1/sqrt(columns)), `uniform` and `normal` use `scale`."""
    if init == "xavier":
        nn.init.xavier_uniform_(matrix)  # Glorot & Bengio 2010
    elif init == "uniform":
        nn.init.uniform_(matrix, -scale, scale)
    elif init == "normal":
        nn.init.normal_(matrix, std=scale)
    else:
        bound = 1 / math.sqrt(matrix.shape[1])
        nn.init.uniform_(matrix, -bound, bound)
