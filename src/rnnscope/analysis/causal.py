"""What a unit is needed for: what the model loses when the unit is held at its mean, overall and where a detector is on."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rnnscope.analysis.detectors import GRADED
from rnnscope.analysis.unit_ranking import LEAST
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.stepping import Layer
from rnnscope.model.tracing import STATE_NAMES

UNITS = 512  # clamped, the best-ranked
TOKENS = 2000  # that the model reads with each of them


@dataclass(frozen=True)
class Effects:
    """Nats per token that clamping each of some units costs; below 0, the model does better without the unit.

    Args:
        units: places among all units, layer by layer, (units,).
        overall: (units,).
        detectors: the names of those that are on or off often enough.
        on, off: where each detector is on and where it is off, (detectors, units).
        tokens: that were predicted.
    """

    units: np.ndarray
    overall: np.ndarray
    detectors: list[str]
    on: np.ndarray
    off: np.ndarray
    tokens: int


def clamping_effects(
    model: LanguageModel, ids: np.ndarray, states: dict[str, np.ndarray], units: np.ndarray, detectors: dict[str, np.ndarray]
) -> Effects:
    """Return what clamping each of `units` costs on the tokens `ids` (time,), as far as `UNITS` and `TOKENS` go.

    Args:
        states: of the model at the same tokens, (time, layer, unit) by name.
        detectors: (time,) by name. What is on at a token counts for the loss on the next.
    """
    units, ids = units[:UNITS], ids[:TOKENS]
    changes = clamped_losses(model, ids, states, units)
    time = len(changes)
    found = {name: values[:time] == 1 for name, values in detectors.items() if name not in GRADED}
    found = {name: on for name, on in found.items() if LEAST <= on.sum() <= time - LEAST}
    on = np.array(list(found.values()), dtype=np.float32).reshape(-1, time)
    return Effects(
        units,
        changes.mean(0),
        list(found),
        on @ changes / on.sum(1, keepdims=True),
        (1 - on) @ changes / (1 - on).sum(1, keepdims=True),
        time,
    )


@torch.no_grad()
def clamped_losses(model: LanguageModel, ids: np.ndarray, states: dict[str, np.ndarray], units: np.ndarray) -> np.ndarray:
    """Return how many nats more each token costs with each unit clamped, (time - 1, units).

    All parts of a unit's state are held at their means, so that it says the same at every token. Each unit is a column of one
    batch; the last column is the model as it is.
    """
    device = model.head.weight.device
    layers = [Layer(layer, model.cell) for layer in model.cells]
    clamp = _Clamp(model, units, states)
    state = model.zero_state(len(units) + 1)
    tokens, losses = torch.from_numpy(ids).to(device), []
    for token, target in pairwise(tokens):
        hidden = model.embed(token[None])
        for index, layer in enumerate(layers):
            read = layer.read(hidden).expand(len(units) + 1, -1)  # the first layer reads the same in all columns
            after = model.cell.step(read, state[index], layer.recurrent, layer.recurrent_bias)
            state[index] = clamp(index, after)
            hidden = model.join(index, hidden, state[index][0])
        losses.append(F.cross_entropy(model.head(hidden), target.expand(len(hidden)), reduction="none"))
    found = torch.stack(losses)
    return (found[:, :-1] - found[:, -1:]).cpu().numpy()


class _Clamp:
    """Holds in each column one unit of one layer at its mean."""

    def __init__(self, model: LanguageModel, units: np.ndarray, states: dict[str, np.ndarray]) -> None:
        starts = np.cumsum([0, *model.sizes])  # places of the first units of the layers
        layer = np.searchsorted(starts, units, "right") - 1
        unit = units - starts[layer]
        names = STATE_NAMES[: model.cell.state_parts]
        means = [torch.from_numpy(states[name].mean(0)).to(model.head.weight) for name in names]  # (layer, unit) each
        self._columns = [torch.from_numpy(np.flatnonzero(layer == index)) for index in range(model.num_layers)]
        self._units = [torch.from_numpy(unit[layer == index]) for index in range(model.num_layers)]
        self._means = [[mean[index, units] for mean in means] for index, units in enumerate(self._units)]

    def __call__(self, layer: int, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        for part, mean in zip(state, self._means[layer], strict=True):
            part[self._columns[layer], self._units[layer]] = mean
        return state
