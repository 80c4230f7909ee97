"""The causal effect of units: how much the loss rises if a unit is clamped to its mean, overall and where a detector is on."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rnnscope.analysis.detectors import GRADED
from rnnscope.analysis.unit_ranking import LEAST
from rnnscope.model.cells.cell import Parts
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.stepping import Stepper
from rnnscope.model.tracing import STATE_NAMES

UNITS = 512  # units that are clamped, the best-ranked
TOKENS = 2000  # tokens that the model reads with each of them clamped


@dataclass(frozen=True)
class Effects:
    """The cost in nats per token of clamping each unit; below 0, the model does better without the unit.

    Args:
        units: indices among all units, layer by layer, (units,).
        overall: (units,).
        detectors: the names of those that are on and off often enough.
        on, off: the cost where each detector is on and where it is off, (detectors, units).
        tokens: the number of predicted tokens.
    """

    units: np.ndarray
    overall: np.ndarray
    detectors: list[str]
    on: np.ndarray
    off: np.ndarray
    tokens: int


def clamping_effects(
    model: LanguageModel,
    ids: np.ndarray,
    states: dict[str, np.ndarray],
    units: np.ndarray,
    detectors: dict[str, np.ndarray],
    given: int | None = None,
) -> Effects:
    """Return the cost of clamping each of `units` on the tokens `ids` (time,), limited to `UNITS` and `TOKENS`.

    Args:
        states: of the model at the same tokens, (time, layer, unit) by name.
        detectors: (time,) by name. A detector that is on at a token counts for the loss on the next one.
        given: the id that is never a target.
    """
    units, ids = units[:UNITS], ids[:TOKENS]
    (scored,) = np.nonzero(ids[1:] != given)
    changes = clamped_losses(model, ids, states, units)[scored]
    time = len(changes)
    found = {name: values[scored] == 1 for name, values in detectors.items() if name not in GRADED}
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
    """Return by how many nats the loss on each token rises with each unit clamped, (time - 1, units).

    All parts of a unit's state are held at their means. Each unit is a column of one batch; the last column is the unchanged
    model.
    """
    columns = len(units) + 1
    stepper = Stepper(model, None, columns, visit=_Clamp(model, units, states))
    tokens = torch.from_numpy(ids).to(model.head.weight.device)
    losses = [
        F.cross_entropy(stepper.step(token.expand(columns)), target.expand(columns), reduction="none")
        for token, target in pairwise(tokens)
    ]
    found = torch.stack(losses)
    return (found[:, :-1] - found[:, -1:]).cpu().numpy()


class _Clamp:
    """Clamps one unit of one layer to its mean in each column."""

    def __init__(self, model: LanguageModel, units: np.ndarray, states: dict[str, np.ndarray]) -> None:
        starts = np.cumsum([0, *model.sizes])  # places of the first units of the layers
        layer = np.searchsorted(starts, units, "right") - 1
        unit = units - starts[layer]
        names = STATE_NAMES[: model.cell.state_parts]
        means = [torch.from_numpy(states[name].mean(0)).to(model.head.weight) for name in names]  # (layer, unit) each
        self._columns = [torch.from_numpy(np.flatnonzero(layer == index)) for index in range(model.num_layers)]
        self._units = [torch.from_numpy(unit[layer == index]) for index in range(model.num_layers)]
        self._means = [[mean[index, units] for mean in means] for index, units in enumerate(self._units)]

    def __call__(self, layer: int, gates: dict[str, Tensor], state: Parts) -> Parts:
        for part, mean in zip(state, self._means[layer], strict=True):
            part[self._columns[layer], self._units[layer]] = mean
        return state
