"""Statistics of the units during training: their states, saturated gates, and how far back a gradient reaches."""

import math

import torch
from torch import Tensor

from rnnscope.data.batches import IGNORE
from rnnscope.model.cells.cell import CANDIDATE
from rnnscope.model.language_model import State, map_state, parts
from rnnscope.model.tracing import Trace, gradient_by_lag, trace
from rnnscope.monitor.tensorboard import TensorBoardWriter
from rnnscope.training.callback import Callback
from rnnscope.training.task import LanguageModelTask

COLUMNS = 8  # of a window at most: their tokens are read one by one, which takes as long as a step or two
STUCK = 0.1  # a gate below this, or as near to 1, is saturated (Karpathy, Johnson and Li 2015)
LEAST = 1e-30  # stands for a ratio of gradients that is 0 in float32


class Activations(Callback):
    """Every `every` steps, reads a few columns of the window once more, with the equations of the cell in float32.

    For each layer it records the mean, spread and histogram of the output, the size of the state, and the mean and saturated
    share of each gate; for all layers together, the gradient of the last token's loss with respect to earlier hidden states.
    Dropout is off, the weights are those after the step, and training is not affected.

    All of it goes to TensorBoard only: it would triple the width of metrics.csv, whose columns never change in a run.
    """

    name = "Activations"

    def __init__(self, board: TensorBoardWriter, every: int) -> None:
        self.board, self.every = board, every
        self._before: State | None = None  # the state that the window starts from, unless it is fresh

    def before_step(self, task: LanguageModelTask) -> None:
        if (task.step + 1) % self.every == 0 and task.carried is not None:
            self._before = map_state(Tensor.clone, task.carried)

    def after_step(self, task: LanguageModelTask) -> None:
        if task.step % self.every:
            return
        before, self._before = self._before, None
        window = task.window
        if window is None or not len(window.inputs):
            return
        columns = fullest(window.targets)
        inputs, targets = (ids[columns].t().to(task.device) for ids in (window.inputs, window.targets))
        state = None if window.fresh or before is None else started(task, before, columns.to(task.device))
        with torch.enable_grad():
            found = trace(task.model, inputs, state)
            lags = gradient_by_lag(task.model, found, targets[-1])
        layers = values_of(found, before_padding(targets))
        self.board.scalars(task.step, {**statistics(layers, task.model.cell.state_parts), **through_time(lags)})
        written = {f"activations/cells.{index}": values["hidden"] for index, values in enumerate(layers)}
        self.board.histograms(task.step, written)


def started(task: LanguageModelTask, before: State, columns: Tensor) -> State:
    """Return the state that some columns of the last step's window began from: `before`, unless it was reset."""
    if task.resets is not None:
        kept = task.resets.kept(task.step - 1, parts(before)[0])
        before = map_state(lambda part: part * kept, before)
    return map_state(lambda part: part[:, columns], before)


def fullest(targets: Tensor) -> Tensor:
    """Return the columns with the most real targets, at most `COLUMNS` of `targets` (batch, time)."""
    return (targets != IGNORE).sum(1).argsort(descending=True, stable=True)[:COLUMNS].sort().values


def before_padding(targets: Tensor) -> Tensor:
    """Return which tokens (time, batch) do not come after the last real one of `targets` in their column."""
    return (targets != IGNORE).flip(0).cumsum(0).flip(0) > 0


def values_of(found: Trace, real: Tensor) -> list[dict[str, Tensor]]:
    """Return the values of each layer at the tokens that are not padding, `real` (time, batch): (tokens, units) by name."""
    with torch.no_grad():
        return [{name: torch.stack([at[name] for at in layer])[real] for name in layer[0]} for layer in found.layers]


def statistics(layers: list[dict[str, Tensor]], state_parts: int) -> dict[str, float]:
    """Return the scalars of all layers, waiting only once for a GPU."""
    found: dict[str, Tensor] = {}
    for index, values in enumerate(layers):
        hidden, state = values["hidden"], list(values.values())[:state_parts]
        found[f"activations/cells.{index}/mean"] = hidden.mean()
        found[f"activations/cells.{index}/spread"] = hidden.std(correction=0)
        found[f"activations/cells.{index}/state_size"] = torch.stack([part.square().mean() for part in state]).mean().sqrt()
        for name in gates_of(values, state_parts):
            gate = values[name]
            stuck = ((gate < STUCK) | (gate > 1 - STUCK)).float().mean()
            found[f"gates/cells.{index}/{name}_mean"] = gate.mean()
            found[f"gates/cells.{index}/{name}_saturated"] = torch.where(gate.isnan().any(), gate.new_full((), math.nan), stuck)
    return dict(zip(found, torch.stack(list(found.values())).tolist(), strict=True))


def gates_of(values: dict[str, Tensor], state_parts: int) -> list[str]:
    """Return the names of the values of a layer that lie between 0 and 1."""
    return [name for name in list(values)[state_parts:] if name != CANDIDATE]


def through_time(lags: Tensor) -> dict[str, float]:
    """Return log10 of the norm of the gradient (time,) at lags 1, 2, 4, ..., relative to lag 0."""
    first, *norms = lags.tolist()
    chosen = [2**power for power in range(len(norms).bit_length())]
    ratios = {lag: norms[lag - 1] / first if first else math.nan for lag in chosen}
    return {
        f"gradient_through_time/lag_{lag}": math.log10(max(ratio, LEAST)) if math.isfinite(ratio) else math.nan
        for lag, ratio in ratios.items()
    }
