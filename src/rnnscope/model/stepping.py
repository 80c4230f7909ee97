"""One token at a time: the recurrences written out as matrix products on weights laid side by side.

The fused kernels are made for whole windows; called for a single step they rearrange all weights each time. Written
out, a step of 2 x 512 units takes a tenth of the time on a CPU. `LanguageModel.forward` is the plain twin.
"""

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnnscope.model.cells.cell import Cell
from rnnscope.model.language_model import LanguageModel, State

SMALL = 512  # tokens of a vocabulary: a table of more takes longer to make than a short text saves


class Stepper:
    """A model frozen for generating: `step` reads one id of each text and scores the next.

    Where the vocabulary is small, a table says what each token gives the first layer: with 1 x 512 units that is half of
    the work of a step.

    Args:
        model: its weights are copied as they are now.
        state: what `model.forward` returned for the texts so far, or for one text that all begin with; None is zero.
        count: number of texts.
        again: the id that ends a text, and the id that it then begins again with, from `state`; None lets it go on.
    """

    def __init__(self, model: LanguageModel, state: State | None, count: int, again: tuple[int, int] | None = None) -> None:
        self.model, self._again = model, again
        self._layers = [Layer(layer, model.cell) for layer in model.cells]
        self._table = self._make_table() if model.vocabulary_size <= SMALL else None
        self.state = [flat(part, count) for part in state] if state is not None else model.zero_state(count)
        self._begin = list(self.state)

    @property
    def graphs(self) -> bool:
        """Whether a CUDA graph can hold a step and a draw: on a GPU, with a vocabulary that is summed as one matrix."""
        return self._table is not None and self._table.is_cuda

    def _make_table(self) -> Tensor:
        """Return what the first layer reads from every token: (V, gates)."""
        ids = torch.arange(self.model.vocabulary_size, device=self.model.head.weight.device)
        return self._layers[0].read_many(self.model.embed(ids))

    def step(self, ids: Tensor) -> Tensor:
        """Return logits (count, V) for the token after `ids` (count,), and move the state on."""
        ids = self._begin_again(ids, *self._again) if self._again else ids
        hidden, step = ids, self.model.cell.step
        for index, layer in enumerate(self._layers):
            read = layer.read(hidden) if index else self._read_first(ids)
            self.state[index] = step(read, self.state[index], layer.recurrent, layer.recurrent_bias)
            hidden = self.model.join(index, hidden, self.state[index][0])
        return self.model.head(hidden)

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
        return self._layers[0].read(self.model.embed(ids)) if self._table is None else self._table[ids]


class Layer:
    """The weights of one layer, laid out as a step of a few texts multiplies with them.

    `recurrent` is (hidden, gates), `bias` and `recurrent_bias` are (gates,); a cell that only adds the two has them in `bias`.
    """

    def __init__(self, layer: nn.Module, cell: Cell) -> None:
        named = dict(layer.named_parameters())
        self._weight = named["weight_ih_l0"]
        self.recurrent = named["weight_hh_l0"].t().contiguous()
        zero = self._weight.new_zeros(len(self._weight))
        self.bias, self.recurrent_bias = named.get("bias_ih_l0", zero), named.get("bias_hh_l0", zero)
        if cell.adds_biases:
            self.bias = self.bias + self.recurrent_bias

    @cached_property
    def _input(self) -> Tensor:
        """(features, gates)."""
        return self._weight.t().contiguous()

    def read(self, hidden: Tensor) -> Tensor:
        """Return what `hidden` (count, features) gives the gates: (count, gates)."""
        return torch.addmm(self.bias, hidden, self._input)

    def read_many(self, hidden: Tensor) -> Tensor:
        """Do as `read` for so many rows that the weights are best left as they are."""
        return F.linear(hidden, self._weight, self.bias)


def flat(part: Tensor | tuple[Tensor, ...], count: int) -> tuple[Tensor, ...]:
    """Return one layer's state, (1, count, hidden) or (1, 1, hidden), as a tuple of (count, hidden)."""
    tensors = part if isinstance(part, tuple) else (part,)
    return tuple(tensor[0].expand(count, -1) for tensor in tensors)
