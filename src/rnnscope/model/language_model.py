"""The recurrent language model: embed -> cells -> head. Ids and a state go in, logits and the next state come out."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from rnnscope.errors import UserError, unknown_value
from rnnscope.model.cells.registry import find_cell
from rnnscope.model.cells.sequence import HandWritten
from rnnscope.model.config import ModelConfig, check_sizes
from rnnscope.model.dropout import SHARES, call_with, drop, drop_locked, drop_tokens, drop_weights
from rnnscope.model.initialization import INITS, initialize_layer, initialize_matrix

INPUTS = ("embedding", "one_hot")
MOST_ROUNDS = 100
# one entry per layer: a tensor (1, batch, hidden_size), or a tuple of them if the state of the cell has several parts
State = list[Any]


class LanguageModel(nn.Module):
    """Scores the next token at every position, given all tokens before it and a state.

    Each layer is a module of its own, although torch can stack them: the state of each layer is accessible, dropout between
    layers is explicit, and cuDNN's persistent kernels, which need a single layer, can be used.

    Args:
        config: the keys of `model`, which conf/model/lstm.yaml explains; `check_model` must have accepted them.
        vocabulary_size: V, the number of ids.
    """

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.vocabulary_size, self.num_layers = vocabulary_size, config.num_layers
        self.sizes, self.shape = config.sizes, config.shape  # units of each layer, and in words
        features = vocabulary_size if config.input == "one_hot" else config.embedding_size or self.sizes[-1]
        self.dropout, self.input_dropout, self.locked_dropout = config.dropout, config.input_dropout, config.locked_dropout
        self.embedding_dropout, self.weight_drop, self.residual = config.embedding_dropout, config.weight_drop, config.residual
        self.cell = find_cell(config.cell)
        self.embedding = nn.Embedding(vocabulary_size, features) if config.input == "embedding" else None
        options = {"bias": config.bias, **{key: getattr(config, key) for key in self.cell.keys}}
        layers = pairwise([features, *self.sizes])
        self.cells = nn.ModuleList([self.cell.layer(below, size, **options) for below, size in layers])
        self.head = nn.Linear(self.sizes[-1], vocabulary_size, bias=config.bias)
        self._initialize(config)
        if config.tied_weights:  # Press & Wolf 2017
            assert self.embedding is not None
            self.head.weight = self.embedding.weight
        self.cells.requires_grad_(config.train_recurrent)  # else an echo state network (Jaeger 2001): only the rest learns

    @classmethod
    def from_config(cls, config: ModelConfig, vocabulary_size: int) -> "LanguageModel":
        """Return a fresh model.

        Raises:
            UserError: for a config that cannot be built.
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
        """Return logits (batch, time, V) for the token after each of `tokens` (batch, time), and the state after the last one.

        `state` is what an earlier call returned for the same columns; None starts from zero.
        """
        logits, after = self.read(tokens.t(), state)
        return logits.transpose(0, 1), after

    def read(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Do as `forward` with time first, as the kernels expect it: `tokens` (time, batch), logits (time, batch, V)."""
        hidden, after = self.encode(tokens, state)
        return self.head(hidden), after

    def encode(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the input of the head (time, batch, hidden_size) for `tokens` (time, batch), and the final state."""
        hidden, after = self.run_layers(tokens, state)
        return self.drop_output(hidden), after

    def run_layers(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return what `encode` does, but without the dropout after the last layer, which `drop_output` adds."""
        hidden = self._drop(self._embed_some(tokens), self.input_dropout)  # (time, batch, features)
        after = []
        for index, layer in enumerate(self.cells):
            hidden = self.drop_output(hidden) if index else hidden
            written, layer_state = self._run_layer(layer, hidden, None if state is None else state[index])
            after.append(layer_state)
            hidden = self.join(index, hidden, written)
        return hidden, after

    def _embed_some(self, tokens: Tensor) -> Tensor:
        hidden, share = self.embed(tokens), self.embedding_dropout
        return drop_tokens(hidden, tokens, self.vocabulary_size, share) if share and self.training else hidden

    def _run_layer(self, layer: nn.Module, hidden: Tensor, state: Any) -> tuple[Tensor, Any]:
        if self.weight_drop and self.training:
            return call_with(layer, drop_weights(layer, self.cell, self.weight_drop), hidden, state)
        return layer(hidden, state)

    def zero_state(self, count: int) -> list[tuple[Tensor, ...]]:
        """Return a state of zeros as a cell's `step` has it: the parts of each layer, (count, hidden_size)."""
        return [(self.head.weight.new_zeros(count, size),) * self.cell.state_parts for size in self.sizes]

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the input of the first layer: (..., features) for ids of any shape."""
        if self.embedding is not None:
            return self.embedding(tokens)
        return F.one_hot(tokens, self.vocabulary_size).to(self.head.weight.dtype)

    def join(self, index: int, read: Tensor, written: Tensor) -> Tensor:
        """Return what layer `index` passes on, given its input and output.

        With `residual`, that is the sum of both in each layer above the first (Wu et al. 2016, section 3.1, between LSTM
        layers), which gives the lower layers a short path to the head.
        """
        return read + written if self.residual and index else written

    def drop_output(self, hidden: Tensor) -> Tensor:
        """Return what a layer hands on, (time, batch, hidden_size), after dropout."""
        return self._drop(hidden, self.dropout)

    def _drop(self, hidden: Tensor, share: float) -> Tensor:
        if not share or not self.training:  # a share of 0 would still copy the tensor
            return hidden
        return drop_locked(hidden, share) if self.locked_dropout else drop(hidden, share)

    def turn_off_dropout(self) -> None:
        """Drop nothing in training either."""
        for key in SHARES:
            setattr(self, key, 0.0)

    def use_torch_kernels(self) -> None:
        """Use torch's kernels for every layer, on a CPU too, as older versions of rnnscope did."""
        for layer in self.cells:
            if isinstance(layer, HandWritten):
                layer.torch_kernels = True

    def trained(self) -> dict[str, nn.Parameter]:
        """Return the parameters that training changes, by name; a tied matrix is in it once."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def stacked_gates(self) -> dict[str, int]:
        """Return the names of the layers' matrices, each with the number of gates whose matrices are stacked in it.

        With one-hot inputs, the input matrix of the first layer is left out: its columns are the embeddings of tokens.
        """
        found = {}
        for index, (layer, size) in enumerate(zip(self.cells, self.sizes, strict=True)):
            for name, parameter in layer.named_parameters():
                embeds = index == 0 and self.embedding is None and name == "weight_ih_l0"
                if parameter.dim() == 2 and not embeds:
                    found[f"cells.{index}.{name}"] = self.cell.gates if len(parameter) == self.cell.gates * size else 1
        return found

    def parameter_count(self) -> int:
        """Return the number of trained values."""
        return sum(parameter.numel() for parameter in self.trained().values())


def detach(state: State) -> State:
    """Return a state detached from the steps that made it: the gradients of the next window stop there."""
    return map_state(Tensor.detach, state)


def map_state(change: Callable[[Tensor], Tensor], state: State) -> State:
    """Return a state with each of its tensors changed."""
    return [tuple(map(change, layer)) if isinstance(layer, tuple) else change(layer) for layer in state]


def parts(state: State) -> list[Tensor]:
    """Return the tensors of a state, (1, batch, hidden_size) each."""
    return [part for layer in state for part in (layer if isinstance(layer, tuple) else (layer,))]


def check_model(config: ModelConfig) -> None:
    """Raise `UserError`, naming the key, for a config that cannot be built."""
    find_cell(config.cell)
    check_sizes(config)
    for key, allowed in {"input": INPUTS, "init": INITS}.items():
        if (value := getattr(config, key)) not in allowed:
            raise UserError(unknown_value(f"model.{key}", value, allowed))
    for key in ("num_layers", "hidden_size", "embedding_size", "rounds", "rank"):
        value = getattr(config, key)
        if value is not None and min(value if isinstance(value, list) else [value]) < 1:
            raise UserError(f"model.{key}={value} must be at least 1")
    if config.rounds > MOST_ROUNDS:
        raise UserError(f"model.rounds={config.rounds} must be at most {MOST_ROUNDS}")
    for key in SHARES:
        if not 0 <= getattr(config, key) < 1:
            raise UserError(f"model.{key}={getattr(config, key)} must lie in [0, 1): it is the share that is dropped")
    if config.init_scale <= 0 and config.init in ("uniform", "normal"):
        raise UserError(f"model.init_scale={config.init_scale} must be above 0 for init={config.init}")
    if config.residual and len(set(config.sizes)) > 1:
        raise UserError(
            f"model.residual=true adds layers of one size, and model.hidden_size={config.hidden_size}: set it to false"
        )
    if config.tied_weights:
        _check_tied(config)


def _check_tied(config: ModelConfig) -> None:
    if config.input == "one_hot":
        raise UserError("model.tied_weights=true needs model.input=embedding: a one-hot input has no matrix to share")
    if config.embedding_size not in (None, config.sizes[-1]):
        raise UserError(
            f"model.tied_weights=true needs model.embedding_size={config.embedding_size} to equal model.hidden_size of the last"
            f" layer, {config.sizes[-1]}: set model.embedding_size=null"
        )
