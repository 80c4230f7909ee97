"""Stepping a model one token at a time, with the cells' equations written out as matrix products.

The fused kernels are made for whole windows: called for a single step, they rearrange all weights each time, and they do
not return their gates. Written out, a step of 2 x 512 units takes a tenth of the time on a CPU. Sampling, `visualize` and
the ONNX graphs use this step. Tests compare it with `LanguageModel.forward`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from rnnscope.model.cells.cell import Parts, StepWeights
from rnnscope.model.language_model import LanguageModel, State

SMALL = 512  # tokens in a vocabulary; a table of more takes longer to compute than it saves for a short text
Visit = Callable[[int, dict[str, Tensor], Parts], Parts]


class Stepper:
    """Runs a model one token at a time: `step` reads one id of each text and scores the next. Dropout is off.

    For a small vocabulary, the first layer's product is computed once for every token and kept in a table, which saves half
    the work of a step with 1 x 512 units.

    Args:
        model: the model; its current weights are copied.
        state: the state that `model.forward` returned for each text, or for one beginning they all share; None is zero.
        count: number of texts.
        again: an id that ends a text, and the id with which it restarts from `state`; None never restarts.
        visit: called with the index of each layer, its gates and its next state; returns the state to continue with.

    Attributes:
        state: the current state of the texts, the parts of each layer as (count, hidden_size).
    """

    def __init__(
        self,
        model: LanguageModel,
        state: State | None,
        count: int,
        again: tuple[int, int] | None = None,
        visit: Visit | None = None,
    ) -> None:
        self.model, self._again, self._visit = model, again, visit
        self._weights = [StepWeights(layer, model.cell) for layer in model.cells]
        self._table = self._make_table() if model.vocabulary_size <= SMALL else None
        self.state = model.zero_state(count)
        if state is not None:
            self.state = [flat(layer, count, model.head.weight.dtype) for layer in state]
        self._begin = list(self.state)

    @property
    def graphs(self) -> bool:
        """Whether a CUDA graph can capture a step and a draw: on a GPU, with a vocabulary small enough for the table."""
        return self._table is not None and self._table.is_cuda

    def _make_table(self) -> Tensor:
        """Return the first layer's `read` for every token: (V, gates)."""
        ids = torch.arange(self.model.vocabulary_size, device=self.model.head.weight.device)
        return self._weights[0].read_many(self.model.embed(ids))

    def step(self, ids: Tensor) -> Tensor:
        """Return logits (count, V) for the token after `ids` (count,), and update the state."""
        return self.model.head(self.advance(self._begin_again(ids, *self._again) if self._again else ids))

    def advance(self, ids: Tensor) -> Tensor:
        """Return the head's input after `ids` (count,), (count, hidden_size), and update the state."""
        hidden, step = ids, self.model.cell.step
        for index, weights in enumerate(self._weights):
            read = weights.read(hidden) if index else self._read_first(ids)
            gates, after = step(read, self.state[index], weights)
            self.state[index] = after if self._visit is None else self._visit(index, gates, after)
            hidden = self.model.join(index, hidden, self.state[index][0])
        return hidden

    def _begin_again(self, ids: Tensor, end: int, first: int) -> Tensor:
        """Restart the texts whose id is `end` from their initial state, and return `ids` with `first` in place of `end`."""
        ended = ids == end
        over = ended.unsqueeze(-1)
        self.state = [
            tuple(torch.where(over, old, part) for old, part in zip(begin, now, strict=True))
            for begin, now in zip(self._begin, self.state, strict=True)
        ]
        return ids.masked_fill(ended, first)

    def _read_first(self, ids: Tensor) -> Tensor:
        return self._weights[0].read(self.model.embed(ids)) if self._table is None else self._table[ids]


def flat(layer: Tensor | Parts, count: int, dtype: torch.dtype) -> Parts:
    """Return one layer's state, (1, count, hidden) or (1, 1, hidden), as a tuple of (count, hidden)."""
    parts = layer if isinstance(layer, tuple) else (layer,)
    return tuple(part[0].expand(count, -1).to(dtype) for part in parts)  # bf16 kernels leave bf16
