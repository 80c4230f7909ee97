"""What every unit does at every token, for whoever looks inside: the state, and the gates, that fused kernels do not show."""

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
    """A model's way through some tokens.

    Args:
        layers: for each layer its values at each token, (batch, hidden_size) by name: `hidden`, `cell` where the state has
            one, then the gates.
        output: what the head reads, (time, batch, hidden_size).
        state: after the last token, as `LanguageModel.read` takes and returns it.
    """

    layers: list[list[dict[str, Tensor]]]
    output: Tensor
    state: State

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


def trace(model: LanguageModel, tokens: Tensor, state: State | None = None) -> Trace:
    """Read `tokens` (time, batch) from `state`, None for zero, with the cell's own equations; no random number is drawn."""
    layers: list[list[dict[str, Tensor]]] = [[] for _ in model.cells]

    def note(index: int, gates: dict[str, Tensor], parts: Parts) -> Parts:
        layers[index].append({**dict(zip(STATE_NAMES, parts, strict=False)), **gates})
        return parts

    stepper = Stepper(model, state, tokens.shape[1], visit=note)
    if torch.is_grad_enabled():
        for part in chain(*stepper.state):
            part.requires_grad_()  # hidden states have gradients even where no weight below them is trained
    output = torch.stack([stepper.advance(ids) for ids in tokens])
    return Trace(layers, output, [tuple(part.unsqueeze(0) for part in parts) for parts in stepper.state])


def gradient_through_time(model: LanguageModel, tokens: Tensor, targets: Tensor, state: State | None = None) -> Tensor:
    """Return how much the loss at the last token still feels of each earlier hidden state: |dL/dh| (time,) by lag.

    L is the mean over columns of the nats of the last of `targets`, and h the hidden states of all layers at one token; of
    a cell with more parts in its state, the others are held. Lag 0 is the last token's own state.

    Args:
        tokens, targets: (time, batch).
        state: what the model had before the first of `tokens`; None is zero.
    """
    with torch.enable_grad():
        return gradient_by_lag(model, trace(model, tokens, state), targets[-1])


def gradient_by_lag(model: LanguageModel, found: Trace, targets: Tensor) -> Tensor:
    """Do as `gradient_through_time` for a trace that has its gradients; `targets` (batch,) are those of the last token."""
    loss = F.cross_entropy(model.head(found.output[-1]), targets, ignore_index=IGNORE)
    gradients = torch.autograd.grad(loss, [values["hidden"] for layer in found.layers for values in layer])
    time = len(found.output)
    layers = [torch.stack(gradients[first : first + time]).flatten(1) for first in range(0, len(gradients), time)]
    return torch.cat(layers, 1).norm(dim=1).flip(0)  # over the units of all layers and columns
