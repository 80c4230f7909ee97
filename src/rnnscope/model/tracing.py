"""What every unit does at every token: the recurrences written out over time, for whoever looks inside.

The fused kernels keep their gates, and all cell states but the last, to themselves. Here each layer reads all tokens and
then takes them one after the other, with the cell's own step. Nothing is dropped, and no random number is drawn.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rnnscope.model.language_model import LanguageModel, State
from rnnscope.model.scoring import IGNORE
from rnnscope.model.stepping import Layer, flat

Parts = list[tuple[Tensor, ...]]  # a state as steps have it: the parts of each layer, (batch, hidden_size)
STATE_NAMES = ("hidden", "cell")


@dataclass(frozen=True)
class Trace:
    """A model's way through some tokens.

    Args:
        layers: for each layer its values at each token, (batch, hidden_size) by name: `hidden`, `cell` where the state has
            one, then the gates.
        output: what the head reads, (time, batch, hidden_size).
        state: after the last token.
    """

    layers: list[list[dict[str, Tensor]]]
    output: Tensor
    state: Parts

    def stacked(self) -> dict[str, Tensor]:
        """Return each value over all tokens and layers: (time, layer, batch, units of the largest layer) by name.

        The units that a smaller layer lacks are NaN.
        """
        widest = max(layer[0]["hidden"].shape[-1] for layer in self.layers)
        return {
            name: torch.stack([_padded(torch.stack([at[name] for at in layer]), widest) for layer in self.layers], dim=1)
            for name in self.layers[0][0]
        }


def _padded(values: Tensor, units: int) -> Tensor:
    return F.pad(values, (0, units - values.shape[-1]), value=math.nan)


class Tracer:
    """A model frozen for looking inside: its weights are copied as they are now."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self._layers = [Layer(layer, model.cell) for layer in model.cells]

    def start(self, state: State | None, count: int) -> Parts:
        """Return what `model.forward` returned as the state of `count` columns, as parts; None is zero."""
        weight = self.model.head.weight
        if state is not None:
            return [tuple(part.to(weight.dtype) for part in flat(layer, count)) for layer in state]  # bf16 kernels leave bf16
        return self.model.zero_state(count)

    def trace(self, tokens: Tensor, state: Parts) -> Trace:
        """Read `tokens` (time, batch) from `state`."""
        read, layers, after = self.model.embed(tokens), [], []
        if torch.is_grad_enabled():
            read.requires_grad_()  # hidden states have gradients even where no weight below them is trained
        for index, (layer, parts) in enumerate(zip(self._layers, state, strict=True)):
            values, parts = self._unroll(layer, layer.read_many(read), parts)
            layers.append(values)
            after.append(parts)
            read = self.model.join(index, read, torch.stack([value["hidden"] for value in values]))
        return Trace(layers, read, after)

    def _unroll(
        self, layer: Layer, reads: Tensor, parts: tuple[Tensor, ...]
    ) -> tuple[list[dict[str, Tensor]], tuple[Tensor, ...]]:
        """Return one layer's values at each token, and its state after the last; `reads` is (time, batch, gates)."""
        cell, values = self.model.cell, []
        for read in reads:
            gates: dict[str, Tensor] = {}
            if cell.step_with_gates is None:
                parts = cell.step(read, parts, layer.recurrent, layer.recurrent_bias)
            else:
                gates, parts = cell.step_with_gates(read, parts, layer.recurrent, layer.recurrent_bias)
            values.append({**dict(zip(STATE_NAMES, parts, strict=False)), **gates})
        return values, parts


def gradient_through_time(model: LanguageModel, tokens: Tensor, targets: Tensor, state: State | None = None) -> Tensor:
    """Return how much the loss at the last token still feels of each earlier hidden state: |dL/dh| (time,) by lag.

    L is the mean over columns of the nats of the last of `targets`, and h the hidden states of all layers at one token; of
    a cell with more parts in its state, the others are held. Lag 0 is the last token's own state.

    Args:
        tokens, targets: (time, batch).
        state: what the model had before the first of `tokens`; None is zero.
    """
    with torch.enable_grad():
        tracer = Tracer(model)
        return gradient_by_lag(model, tracer.trace(tokens, tracer.start(state, tokens.shape[1])), targets[-1])


def gradient_by_lag(model: LanguageModel, found: Trace, targets: Tensor) -> Tensor:
    """Do as `gradient_through_time` for a trace that has its gradients; `targets` (batch,) are those of the last token."""
    loss = F.cross_entropy(model.head(found.output[-1]), targets, ignore_index=IGNORE)
    gradients = torch.autograd.grad(loss, [values["hidden"] for layer in found.layers for values in layer])
    time = len(found.output)
    layers = [torch.stack(gradients[first : first + time]).flatten(1) for first in range(0, len(gradients), time)]
    return torch.cat(layers, 1).norm(dim=1).flip(0)  # over the units of all layers and columns
