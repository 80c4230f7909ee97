"""Recording what every unit does at every token: its state, and its gates, which fused kernels do not return."""

import math
from dataclasses import dataclass
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor

from rnnscope.model.cells.cell import Parts
from rnnscope.model.language_model import LanguageModel, State
from rnnscope.model.scoring import IGNORE
from rnnscope.model.stepping import Stepper

STATE_NAMES = ("hidden", "cell")


@dataclass(frozen=True)
class Trace:
    """The values inside a model as it reads a text.

    Args:
        layers: for each layer, its values at each token by name, (batch, hidden_size) each: `hidden`, `cell` if the state has
            one, and the gates.
        output: the head's input, (time, batch, hidden_size).
        state: the state after the last token, as `LanguageModel.read` takes and returns it.
    """

    layers: list[list[dict[str, Tensor]]]
    output: Tensor
    state: State

    def stacked(self) -> dict[str, Tensor]:
        """Return each value by name, over all tokens and layers: (time, layer, batch, units of the largest layer).

        Smaller layers are padded with NaN.
        """
        widest = max(layer[0]["hidden"].shape[-1] for layer in self.layers)
        return {
            name: torch.stack([_padded(torch.stack([at[name] for at in layer]), widest) for layer in self.layers], dim=1)
            for name in self.layers[0][0]
        }


def _padded(values: Tensor, units: int) -> Tensor:
    return F.pad(values, (0, units - values.shape[-1]), value=math.nan)


def trace(model: LanguageModel, tokens: Tensor, state: State | None = None) -> Trace:
    """Read `tokens` (time, batch) with the cell's equations, starting from `state` (None is zero). Draws no random number."""
    layers: list[list[dict[str, Tensor]]] = [[] for _ in model.cells]

    def note(index: int, gates: dict[str, Tensor], parts: Parts) -> Parts:
        layers[index].append({**dict(zip(STATE_NAMES, parts, strict=False)), **gates})
        return parts

    stepper = Stepper(model, state, tokens.shape[1], visit=note)
    if torch.is_grad_enabled():
        for part in chain(*stepper.state):
            part.requires_grad_()  # so that hidden states have gradients even if no weight below them is trained
    output = torch.stack([stepper.advance(ids) for ids in tokens])
    return Trace(layers, output, [tuple(part.unsqueeze(0) for part in parts) for parts in stepper.state])


def gradient_through_time(model: LanguageModel, tokens: Tensor, targets: Tensor, state: State | None = None) -> Tensor:
    """Return how strongly the loss at the last token depends on each earlier hidden state: |dL/dh| by lag, (time,).

    L is the loss in nats at the last of `targets`, averaged over columns; h are the hidden states of all layers at one
    token. If the state has further parts, these are held constant. Lag 0 is the last token's own state.

    Args:
        tokens, targets: (time, batch).
        state: the model's state before the first of `tokens`; None is zero.
    """
    with torch.enable_grad():
        return gradient_by_lag(model, trace(model, tokens, state), targets[-1])


def gradient_by_lag(model: LanguageModel, found: Trace, targets: Tensor) -> Tensor:
    """Return `gradient_through_time` for a trace recorded with gradients; `targets` (batch,) are those of the last token."""
    loss = F.cross_entropy(model.head(found.output[-1]), targets, ignore_index=IGNORE)
    gradients = torch.autograd.grad(loss, [values["hidden"] for layer in found.layers for values in layer])
    time = len(found.output)
    layers = [torch.stack(gradients[first : first + time]).flatten(1) for first in range(0, len(gradients), time)]
    return torch.cat(layers, 1).norm(dim=1).flip(0)  # over the units of all layers and columns
