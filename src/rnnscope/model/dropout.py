"""Dropout of activations, of whole tokens, and of recurrent weights."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from rnnscope.model.cells.cell import Cell
from rnnscope.model.cells.sequence import HandWritten

SHARES = ("dropout", "input_dropout", "embedding_dropout", "weight_drop")  # keys of model
RECURRENT = "weight_hh_l0"  # a layer's recurrent matrix


def drop(hidden: Tensor, share: float) -> Tensor:
    """Return `hidden` with about `share` of its elements zero and the others scaled up: dropout (Srivastava et al. 2014).

    On a CPU, torch draws one random number per element, serially, which takes a quarter of a training step of 2 x 512
    units. Here each 64-bit draw decides four elements, which rounds `share` to a multiple of 1/65536.
    """
    if hidden.device.type != "cpu":
        return F.dropout(hidden, share)
    draws = torch.empty((hidden.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    level = min(round(share * 65536), 65535)
    kept = draws.view(torch.int16)[: hidden.numel()].view(hidden.shape) >= level - 32768
    return hidden * kept.to(hidden.dtype).mul_(65536 / (65536 - level))


def drop_locked(hidden: Tensor, share: float) -> Tensor:
    """Return `hidden` (time, batch, features) with the same mask dropped at all time steps (Gal & Ghahramani 2016)."""
    return hidden * drop(hidden.new_ones(hidden.shape[1:]), share)


def drop_tokens(hidden: Tensor, tokens: Tensor, vocabulary_size: int, share: float) -> Tensor:
    """Return `hidden` (time, batch, features) with about `share` of the vocabulary dropped wherever it occurs (Gal 2016)."""
    return hidden * drop(hidden.new_ones(vocabulary_size), share)[tokens].unsqueeze(-1)


def drop_weights(layer: nn.Module, cell: Cell, share: float) -> Tensor:
    """Return a layer's recurrent matrix with about `share` of its weights dropped (Wan et al. 2013); peepholes stay."""
    weight = layer.get_parameter(RECURRENT)
    rows = cell.gates * weight.shape[1]
    dropped = drop(weight[:rows], share)
    return dropped if rows == len(weight) else torch.cat([dropped, weight[rows:]])


def call_with(layer: nn.Module, recurrent: Tensor, inputs: Tensor, state: Tensor | tuple[Tensor, ...] | None) -> tuple:
    """Return a layer's output and state for a window, with `recurrent` in place of its recurrent matrix.

    torch's own layers read their weights from a list, which is exchanged here. Exchanging the parameters instead would make
    them copy all weights in every call.
    """
    if not isinstance(layer, nn.RNNBase) or (isinstance(layer, HandWritten) and layer.by_hand(inputs)):
        return functional_call(layer, {RECURRENT: recurrent}, (inputs, state))
    own: list[Any] = layer._flat_weights  # input weight, recurrent weight, then the biases
    weights = [own[0], recurrent, *own[2:]]
    layer._flat_weights = beside_each_other(weights) if inputs.is_cuda else weights
    try:
        return layer(inputs, state)
    finally:
        layer._flat_weights = own


def beside_each_other(weights: list[Tensor]) -> list[Tensor]:
    """Return differentiable copies that are contiguous in memory, one after the other, as cuDNN needs them."""
    flat = torch.cat([weight.flatten() for weight in weights]).split([weight.numel() for weight in weights])
    return [part.view_as(weight) for part, weight in zip(flat, weights, strict=True)]
