"""The recurrent language model: embed -> cells -> head. Ids and a state go in, logits and the next state come out."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnnscope.errors import UserError
from rnnscope.model.cells.registry import find_cell
from rnnscope.model.cells.sequence import HandWritten
from rnnscope.model.config import ModelConfig
from rnnscope.model.initialization import INITS, initialize_layer, initialize_matrix

INPUTS = ("embedding", "one_hot")
MOST_ROUNDS = 100
State = list[
    Any
]  # one entry a layer: a tensor (1, batch, hidden_size), or a tuple of them where a cell's state has several parts


class LanguageModel(nn.Module):
    """Scores the next token at every position, given all tokens before it and a state.

    Each layer is a module of its own, although torch can stack them: dropout between layers is then ours to see, each
    layer's state can be looked at, and cuDNN's persistent kernels, which want a single layer, stay available.

    Args:
        config: what it is made of (conf/model/lstm.yaml says what each key means), as `check_model` lets it pass.
        vocabulary_size: V, the number of ids.
    """

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        features = vocabulary_size if config.input == "one_hot" else config.embedding_size or config.hidden_size
        self.vocabulary_size, self.hidden_size, self.num_layers = vocabulary_size, config.hidden_size, config.num_layers
        self.dropout, self.input_dropout, self.residual = config.dropout, config.input_dropout, config.residual
        self.cell = find_cell(config.cell)
        self.embedding = nn.Embedding(vocabulary_size, features) if config.input == "embedding" else None
        sizes = [features] + [config.hidden_size] * (config.num_layers - 1)
        options = {"bias": config.bias, **{key: getattr(config, key) for key in self.cell.keys}}
        self.cells = nn.ModuleList([self.cell.layer(size, config.hidden_size, **options) for size in sizes])
        self.head = nn.Linear(config.hidden_size, vocabulary_size, bias=config.bias)
        self._initialize(config)
        if config.tied_weights:  # Press & Wolf 2017
            assert self.embedding is not None
            self.head.weight = self.embedding.weight

    @classmethod
    def from_config(cls, config: ModelConfig, vocabulary_size: int) -> "LanguageModel":
        """Return a fresh model.

        Raises:
            UserError: for a combination that cannot be built.
        """
        check_model(config)
        return cls(config, vocabulary_size)

    def _initialize(self, config: ModelConfig) -> None:
        init, scale = config.init, config.init_scale
        if self.embedding is not None and (init != "torch" or config.tied_weights):
            weight = self.embedding.weight  # (V, features)
            one_hot = init == "fan_in" and not config.tied_weights  # an embedding is a layer over a one-hot of V inputs
            initialize_matrix(weight.t() if one_hot else weight, init, scale)  # torch's own N(0, 1) would drown a tied head
        for layer in self.cells:
            initialize_layer(layer, self.cell, init, scale, config.forget_bias)
        if init != "torch":
            initialize_matrix(self.head.weight, init, scale)
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
        hidden, after = self.encode(tokens, state)
        return self.head(hidden), after

    def encode(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return what the head reads (time, batch, hidden_size) for `tokens` (time, batch), and the state after the last."""
        hidden = self._drop(self.embed(tokens), self.input_dropout)  # (time, batch, features)
        after = []
        for index, layer in enumerate(self.cells):
            written, layer_state = layer(hidden, None if state is None else state[index])
            after.append(layer_state)
            hidden = self._drop(self.join(index, hidden, written), self.dropout)
        return hidden, after

    def embed(self, tokens: Tensor) -> Tensor:
        """Return what the first layer reads: (..., features) for ids of any shape."""
        if self.embedding is not None:
            return self.embedding(tokens)
        return F.one_hot(tokens, self.vocabulary_size).to(self.head.weight.dtype)

    def join(self, index: int, read: Tensor, written: Tensor) -> Tensor:
        """Return what layer `index` hands on, of what it read and wrote.

        With `residual` that is the sum of both in each layer above the first (between LSTM layers: Wu et al. 2016, section
        3.1): the layers below keep a short way to the head.
        """
        return read + written if self.residual and index else written

    def _drop(self, hidden: Tensor, share: float) -> Tensor:
        return drop(hidden, share) if share and self.training else hidden  # a share of 0 would still copy it all

    def use_torch_kernels(self) -> None:
        """Compute every layer as torch does, on a CPU too: so runs of older versions began."""
        for layer in self.cells:
            if isinstance(layer, HandWritten):
                layer.torch_kernels = True

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
    return map_state(Tensor.detach, state)


def map_state(change: Callable[[Tensor], Tensor], state: State) -> State:
    """Return a state with each of its tensors changed."""
    return [tuple(map(change, layer)) if isinstance(layer, tuple) else change(layer) for layer in state]


def parts(state: State) -> list[Tensor]:
    """Return the tensors of a state, (1, batch, hidden_size) each."""
    return [part for layer in state for part in (layer if isinstance(layer, tuple) else (layer,))]


def check_model(config: ModelConfig) -> None:
    """Refuse what cannot be built, by a `UserError` that names the key."""
    find_cell(config.cell)
    for key, allowed in {"input": INPUTS, "init": INITS}.items():
        if (value := getattr(config, key)) not in allowed:
            raise UserError(f"model.{key}={value} is unknown: choose one of {', '.join(allowed)}")
    for key in ("hidden_size", "num_layers", "embedding_size", "rounds", "rank"):
        number = getattr(config, key)
        if number is not None and number < 1:
            raise UserError(f"model.{key}={number} must be at least 1")
    if config.rounds > MOST_ROUNDS:
        raise UserError(f"model.rounds={config.rounds} must be at most {MOST_ROUNDS}")
    for key in ("dropout", "input_dropout"):
        if not 0 <= getattr(config, key) < 1:
            raise UserError(f"model.{key}={getattr(config, key)} must lie in [0, 1): it is the share of units dropped")
    if config.init_scale <= 0 and config.init in ("uniform", "normal"):
        raise UserError(f"model.init_scale={config.init_scale} must be above 0 for init={config.init}")
    if config.tied_weights:
        _check_tied(config)


def _check_tied(config: ModelConfig) -> None:
    if config.input == "one_hot":
        raise UserError("model.tied_weights=true needs model.input=embedding: a one-hot input has no matrix to share")
    if config.embedding_size not in (None, config.hidden_size):
        raise UserError(
            f"model.tied_weights=true needs model.embedding_size ({config.embedding_size}) equal to model.hidden_size"
            f" ({config.hidden_size}): model.embedding_size=null makes it so"
        )
