"""The recurrent language model: embed -> cells -> head. Ids and a state go in, logits and the next state come out."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnnscope.errors import UserError
from rnnscope.model.cells import CELLS, initialise_cell, initialise_matrix, make_cells

INITS = ("torch", "xavier", "uniform", "normal")
State = list  # one entry a layer: a tensor (1, batch, hidden_size), or a pair of them for an LSTM


class LanguageModel(nn.Module):
    """Scores the next token at every position, given all tokens before it and a state.

    Args:
        vocabulary_size: V, the number of ids.
        cell: `rnn`, `lstm` or `gru`.
        hidden_size: units of each layer.
        num_layers: layers on top of each other.
        input: `embedding` (a learnt vector per token) or `one_hot` (the token itself: V features).
        embedding_size: features of the embedding; None makes it `hidden_size`.
        dropout: share of units dropped after each layer while training.
        input_dropout: the same for the embedding.
        residual: each layer above the first adds what it reads to what it writes (between LSTM layers: Wu et al. 2016, section
            3.1): the layers below keep a short way to the head.
        tied_weights: the head reads out with the embedding's matrix (Press & Wolf 2017).
        bias: whether cells and head have biases.
        forget_bias: added to the LSTM's forget gate at the start; 0 leaves it as initialised.
        init: `torch` (each module as torch makes it; a tied embedding like the head), `xavier`, `uniform`
            (+-`init_scale`) or `normal` (standard deviation `init_scale`).

    Raises:
        UserError: for a combination that cannot be built.
    """

    def __init__(
        self,
        vocabulary_size: int,
        cell: str = "lstm",
        hidden_size: int = 512,
        num_layers: int = 1,
        input: str = "embedding",
        embedding_size: int | None = None,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        residual: bool = False,
        tied_weights: bool = False,
        bias: bool = True,
        forget_bias: float = 0.0,
        init: str = "torch",
        init_scale: float = 0.08,
    ) -> None:
        super().__init__()
        features = vocabulary_size if input == "one_hot" else embedding_size or hidden_size
        check_model(cell, hidden_size, num_layers, input, features, dropout, input_dropout, tied_weights, init, init_scale)
        self.vocabulary_size, self.hidden_size, self.num_layers = vocabulary_size, hidden_size, num_layers
        self.cell, self.dropout, self.input_dropout, self.residual = cell, dropout, input_dropout, residual
        self.embedding = nn.Embedding(vocabulary_size, features) if input == "embedding" else None
        self.cells = make_cells(cell, features, hidden_size, num_layers, bias)
        self.head = nn.Linear(hidden_size, vocabulary_size, bias=bias)
        self._initialise(init, init_scale, forget_bias, tied_weights)
        if tied_weights:
            assert self.embedding is not None
            self.head.weight = self.embedding.weight

    def _initialise(self, init: str, scale: float, forget_bias: float, tied: bool) -> None:
        if self.embedding is not None and (init != "torch" or tied):
            initialise_matrix(self.embedding.weight, init, scale)  # torch's own N(0, 1) would drown a tied head
        for layer in self.cells:
            initialise_cell(layer, init, scale, forget_bias)  # type: ignore[arg-type]
        if init != "torch":
            initialise_matrix(self.head.weight, init, scale)
            if self.head.bias is not None:
                nn.init.zeros_(self.head.bias)

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return logits (batch, time, V) for the token after each of `tokens` (batch, time), and the state after the last.

        `state` is what an earlier call returned for the same columns; None starts from zero.
        """
        logits, after = self.read(tokens.t(), state)
        return logits.transpose(0, 1), after

    def read(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Do as `forward` with time first, as the kernels work: `tokens` (time, batch), logits (time, batch, V)."""
        hidden = self._drop(self.embed(tokens), self.input_dropout)  # (time, batch, features)
        after = []
        for index, layer in enumerate(self.cells):
            written, layer_state = layer(hidden, None if state is None else state[index])
            after.append(layer_state)
            hidden = self._drop(self.join(index, hidden, written), self.dropout)
        return self.head(hidden), after

    def embed(self, tokens: Tensor) -> Tensor:
        """Return what the first layer reads: (..., features) for ids of any shape."""
        if self.embedding is not None:
            return self.embedding(tokens)
        return F.one_hot(tokens, self.vocabulary_size).to(self.head.weight.dtype)

    def join(self, index: int, read: Tensor, written: Tensor) -> Tensor:
        """Return what layer `index` hands on, of what it read and wrote."""
        return read + written if self.residual and index else written

    def _drop(self, hidden: Tensor, share: float) -> Tensor:
        return drop(hidden, share) if share and self.training else hidden  # a share of 0 would still copy it all

    def parameter_count(self) -> int:
        """Return the number of trained values; a tied matrix counts once."""
        return sum(parameter.numel() for parameter in self.parameters())


def drop(hidden: Tensor, share: float) -> Tensor:
    """Return `hidden` with about `share` of its elements zero and the others scaled up: dropout (Srivastava et al. 2014).

    On a CPU torch draws one random number an element, one after the other: a quarter of a step of 2 x 512 units. Here
    each 64-bit draw decides four elements, which rounds `share` to a multiple of 1/65536.
    """
    if hidden.device.type != "cpu":
        return F.dropout(hidden, share)
    draws = torch.empty((hidden.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    level = min(round(share * 65536), 65535)
    kept = draws.view(torch.int16)[: hidden.numel()].view(hidden.shape) >= level - 32768
    return hidden * kept.to(hidden.dtype).mul_(65536 / (65536 - level))


def detach(state: State) -> State:
    """Return a state cut off from the steps that made it: the gradients of the next window stop there."""
    return [tuple(part.detach() for part in layer) if isinstance(layer, tuple) else layer.detach() for layer in state]


def parts(state: State) -> list[Tensor]:
    """Return the tensors of a state, (1, batch, hidden_size) each."""
    return [part for layer in state for part in (layer if isinstance(layer, tuple) else (layer,))]


def check_model(
    cell: str,
    hidden_size: int,
    num_layers: int,
    input: str,
    features: int,
    dropout: float,
    input_dropout: float,
    tied_weights: bool,
    init: str,
    init_scale: float,
) -> None:
    """Refuse what cannot be built, naming the key."""
    choices = {"cell": (cell, CELLS), "input": (input, ("embedding", "one_hot")), "init": (init, INITS)}
    for key, (value, allowed) in choices.items():
        if value not in allowed:
            raise UserError(f"model.{key}={value} is unknown: choose one of {', '.join(allowed)}")
    for key, number in {"hidden_size": hidden_size, "num_layers": num_layers, "embedding_size": features}.items():
        if number < 1:
            raise UserError(f"model.{key}={number} must be at least 1")
    for key, share in {"dropout": dropout, "input_dropout": input_dropout}.items():
        if not 0 <= share < 1:
            raise UserError(f"model.{key}={share} must lie in [0, 1): it is the share of units dropped")
    if init_scale <= 0 and init in ("uniform", "normal"):
        raise UserError(f"model.init_scale={init_scale} must be above 0 for init={init}")
    if tied_weights and input == "one_hot":
        raise UserError("model.tied_weights=true needs model.input=embedding: a one-hot input has no matrix to share")
    if tied_weights and features != hidden_size:
        raise UserError(
            f"model.tied_weights=true needs model.embedding_size ({features}) equal to model.hidden_size ({hidden_size}): "
            "model.embedding_size=null makes it so"
        )
