"""One token at a time: the recurrences written out as matrix products on weights laid side by side.

The fused kernels are made for whole windows; called for a single step they rearrange all weights each time, and they keep
their gates to themselves. Written out, a step of 2 x 512 units takes a tenth of the time on a CPU. Sampling, looking inside
and the ONNX graphs all take this step. `LanguageModel.forward` is the plain twin.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from rnnscope.model.cells.cell import Parts, StepWeights
from rnnscope.model.language_model import LanguageModel, State

SMALL = 512  # tokens of a vocabulary: a table of more takes longer to make than a short text saves
Visit = Callable[[int, dict[str, Tensor], Parts], Parts]


class Stepper:
    """A model frozen for stepping: `step` reads one id of each text and scores the next. Nothing is dropped.

    Where the vocabulary is small, a table says what each token gives the first layer: with 1 x 512 units that is half of
    the work of a step.

    Args:
        model: its weights are copied as they are now.
        state: what `model.forward` returned for the texts so far, or for one text that all begin with; None is zero.
        count: number of texts.
        again: the id that ends a text, and the id that it then begins again with, from `state`; None lets it go on.
        visit: is shown the number of each layer, its gates and its next state, and returns the state to go on with.

    `state` is that of the texts so far: the parts of each layer, (count, hidden_size).
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
        """Whether a CUDA graph can hold a step and a draw: on a GPU, with a vocabulary that is summed as one matrix."""
        return self._table is not None and self._table.is_cuda

    def _make_table(self) -> Tensor:
        """Return what the first layer reads from every token: (V, gates)."""
        ids = torch.arange(self.model.vocabulary_size, device=self.model.head.weight.device)
        return self._weights[0].read_many(self.model.embed(ids))

    def step(self, ids: Tensor) -> Tensor:
        """Return logits (count, V) for the token after `ids` (count,), and move the state on."""
        return self.model.head(self.advance(self._begin_again(ids, *self._again) if self._again else ids))

    def advance(self, ids: Tensor) -> Tensor:
        """Return what the head reads after `ids` (count,): (count, hidden_size), and move the state on."""
        hidden, step = ids, self.model.cell.step
        for index, weights in enumerate(self._weights):
            read = weights.read(hidden) if index else self._read_first(ids)
            gates, after = step(read, self.state[index], weights)
            self.state[index] = after if self._visit is None else self._visit(index, gates, after)
            hidden = self.model.join(index, hidden, self.state[index][0])
        return hidden

    def _begin_again(self, ids: Tensor, end: int, first: int) -> Tensor:
        """Put the texts whose id is `end` back to where they began, and return `ids` with `first` for it."""
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
