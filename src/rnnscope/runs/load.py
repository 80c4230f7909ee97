"""Opening a run to sample, score and look inside, from config.yaml, vocabulary.json and model.safetensors alone.

Imports neither Lightning nor TensorBoard. Opening a run never executes code from it.
"""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnscope.data.cleaning import clean, clean_separator
from rnnscope.data.stream import encode_text
from rnnscope.data.units import check_kind
from rnnscope.data.vocabulary import Vocabulary
from rnnscope.errors import UserError, check_least, check_seed, check_whole
from rnnscope.model.drawing import check_temperature
from rnnscope.model.language_model import LanguageModel, State
from rnnscope.model.precision import resolve_precision
from rnnscope.model.scoring import Score, evaluate
from rnnscope.model.tracing import trace
from rnnscope.runs.checkpoints import Checkpoints, evaluated_weights
from rnnscope.runs.find import find_checkpoint
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.generation import TextGenerator
from rnnscope.runs.journal import read_curve
from rnnscope.runs.record import Record, value_at
from rnnscope.runs.scored_windows import longest, text_windows
from rnnscope.runs.snapshot import build_model, model_config, read_config, read_vocabulary
from rnnscope.runs.weights import fill_model, load_weights
from rnnscope.text_io import check_text

Tokens = str | np.ndarray  # to look at: a text, or the ids of one, such as a split of a run's data; START comes first
BLOCK = 1024  # tokens whose states are in memory at a time


@dataclass(repr=False)
class LoadedRun:
    """A trained model with the vocabulary it was trained on.

    `folder.path` is the run folder, `config` its snapshot as plain values, and `model` a `torch.nn.Module` on the CPU with the
    weights of `checkpoint`.
    """

    folder: RunFolder
    config: dict[str, Any]
    vocabulary: Vocabulary
    model: LanguageModel
    checkpoint: str = "best"

    def __repr__(self) -> str:
        model = f"{self.model.shape} {self.model.cell.name}"
        return f"<run {self.folder.path}: {model}, {len(self.vocabulary)} tokens of level {self.vocabulary.level}>"

    @property
    def _dataset(self) -> dict[str, Any]:
        """The keys of its dataset; an older run may lack some."""
        return value_at(self.config, "dataset") or {}

    @property
    def generator(self) -> TextGenerator:
        """The generator of texts as this run was trained."""
        return TextGenerator(self.vocabulary, self._dataset)

    def sample(self, prompt: str = "", length: int = 500, **how: Any) -> str:
        """Return the prompt with generated text after it; `how` are further arguments of `stream`."""
        return prompt + "".join(pieces[0] for pieces in self.stream(prompt, length, **how))

    def stream(
        self,
        prompt: str = "",
        length: int = 500,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        count: int = 1,
        stop: str | None = None,
        minimum_length: int = 0,
        unknown: str = "refuse",
    ) -> Iterator[list[str]]:
        """Return an iterator over the next piece of each of `count` texts, of at most `length` tokens, without the prompt.

        Args:
            prompt: the beginning of the texts; empty for the start of a text.
            temperature, top_k, top_p: how tokens are drawn; temperature 0 takes the likeliest.
            seed: equal seeds give equal texts; None draws a new one.
            stop: a text ends once it contains this string, which is kept.
            minimum_length: tokens before a text may end by itself.
            unknown: what to do with tokens of the prompt outside the vocabulary: `refuse`, `skip`, or `replace` by UNK; with
                `rare`, UNK may be generated too, and is written as one of the rarest words.

        Raises:
            UserError: for unknown tokens if they are refused, or a value outside its range.
        """
        check_least("length", length, 0)
        check_least("count", count, 1)
        check_whole("minimum_length", minimum_length)
        check_whole("top_k", top_k)
        if minimum_length > length:
            raise UserError(f"minimum_length={minimum_length} must be at most length={length}")
        check_temperature(temperature)
        check_text(prompt, "prompt")
        check_text(stop or "", "stop")
        seed = secrets.randbits(32) if seed is None else seed
        check_seed(seed)
        self.generator.check_count(count)
        limits = {"top_k": top_k, "top_p": top_p, "minimum_length": minimum_length}
        return self.generator.stream(self.model, prompt, length, [temperature] * count, int(seed), stop, unknown, **limits)

    def curve(self, tag: str) -> tuple[list[int], list[float]]:
        """Return the steps and values of a column of metrics.csv, such as `train/loss` or `update_size/all`.

        Raises:
            UserError: if the run has no such column, naming those it has.
        """
        return read_curve(self.folder.metrics, tag)

    def is_blank(self, text: str) -> bool:
        """Whether a cleaned text has nothing to score: it is empty, or white space that makes no token."""
        between, text = self._dataset.get("start_end") is not None, clean(text, self._dataset)
        return (not text or text.isspace()) and (between or not len(self.vocabulary.encode(text)))

    def score(self, text: str, carried: bool = True, window: int = 256, precision: str = "float32") -> Score:
        """Return how well the model predicts `text`: nats per token, bits per character, perplexity, accuracy.

        A score with many `unknown` tokens does not compare with those of different vocabularies.

        START and END are inserted as in training. A run of samples scores each of them from a zero state, and a run of windows
        with one target each scores the tokens that are targets in such windows of the text.

        Args:
            carried: carry the state through the whole text; False scores independent windows from a zero state.
            window: tokens of each of those windows.

        Raises:
            UserError: for an empty text, or a window below 1.
        """
        check_least("window", window, 1)
        stream, characters = self._stream(text, "score")
        vocabulary = self.vocabulary
        source, scored = text_windows(self._dataset, stream, vocabulary.start, len(vocabulary), carried, window)
        characters = round(characters * len(scored) / (len(stream) - 1))
        model, device = self.model, self.model.head.weight.device
        precision = resolve_precision(precision, device, model.cell, max(model.sizes), "precision")
        unknown = 0 if vocabulary.unk is None else int(np.count_nonzero(scored == vocabulary.unk))
        return replace(evaluate(model, source, precision, characters), unknown=unknown)

    @property
    def given(self) -> int | None:
        """The id that is an input but never a target: START, if there is one inside the text; else None."""
        return None if self._dataset.get("start_end") is None else self.vocabulary.start

    @property
    def samples(self) -> bool:
        """Whether the run was trained on samples: independent texts, each from a zero state."""
        return self._dataset.get("windows") == "samples"

    def _stream(self, text: str, purpose: str) -> tuple[np.ndarray, int]:
        """Return the ids of a text, beginning with START, and the number of characters of the cleaned text."""
        check_text(text, "text")
        kind = self._dataset.get("start_end")
        check_kind(kind, self.vocabulary.level, self._dataset.get("windows") or "stream")
        if self.is_blank(text):
            raise UserError(f"the text to {purpose} is empty")
        text = clean(text, self._dataset)
        characters, corpus = len(text), self._dataset.get("corpus")
        if value_at(corpus, "lines") and not value_at(corpus, "column") and kind in (None, "document"):
            documents = [line for line in re.split(r"\r\n?|\n", text) if line and not line.isspace()]  # each line was one
            separator, version = value_at(corpus, "separator"), value_at(corpus, "reader_version")
            between = "\n" if kind or separator is None else clean_separator(str(separator), version or 1, self._dataset)
            characters = sum(map(len, documents)) + (len(between) * (len(documents) - 1) if kind is None else 0)
            kind, text = kind and "line", between.join(documents)
        return encode_text(self.vocabulary, text, kind), characters

    def ids(self, text: Tokens) -> np.ndarray:
        """Return the tokens for which `states` and `probabilities` have a row: (time,).

        They are those of the text, cleaned as the training text was, with START and END between its parts as in training, or
        the ids given instead of a text. The first START is read but has no row; a final END is left out.

        Raises:
            UserError: for an empty text, and for ids that the vocabulary lacks.
        """
        return self._looked_at(text)[1:]

    def _looked_at(self, text: Tokens) -> np.ndarray:
        """Return START, then `ids(text)`."""
        if isinstance(text, np.ndarray):
            stream, size = text, len(self.vocabulary)
            whole = stream.ndim == 1 and stream.dtype.kind in "iu" and len(stream) > 1
            if not whole or stream[0] != self.vocabulary.start or not 0 <= stream.min() <= stream.max() < size:
                raise UserError(f"the ids must be START and at least one more, whole numbers from 0 to {size - 1}: (time,)")
        else:
            stream, _ = self._stream(text, "look at")
        return stream[:-1] if self._dataset.get("start_end") and stream[-1] == self.vocabulary.end else stream

    def step(self, state: State | None, id: int) -> tuple[np.ndarray, State]:
        """Read one token and return the probabilities (V,) of the next one, and the state after it.

        `state` is what the last call returned; None is a zero state, in which a text begins with `vocabulary.start`.
        """
        if not 0 <= id < len(self.vocabulary):
            raise UserError(f"id={id} is not in the vocabulary: it has ids 0 to {len(self.vocabulary) - 1}")
        with torch.no_grad():
            logits, after = self.model.read(torch.full((1, 1), id, device=self.model.head.weight.device), state)
        return _to_numpy(logits[0, 0].softmax(-1)), after

    def probabilities(self, text: Tokens) -> np.ndarray:
        """Return the probabilities of the next token after each of `ids(text)`: (time, V) float32, rows that sum to 1."""
        found: list[np.ndarray] = []
        state = None
        for tokens, fresh, first in self._blocks(text, longest(len(self.vocabulary), 1)):
            with torch.no_grad():
                logits, state = self.model.read(tokens, None if fresh else state)
            found.append(_to_numpy(logits[first:, 0].softmax(-1)))
        return np.concatenate(found)

    def states(self, text: Tokens) -> dict[str, np.ndarray]:
        """Return the states and gates of all units at each of `ids(text)`: (time, layer, unit) float32 by name.

        `hidden` is the output of a layer, `cell` its memory, if the cell has one; then each gate, as `model.cell` names it.
        Units that a layer has fewer than the largest are NaN. The text is read from a zero state, as in `score`.
        `state_blocks` needs less memory.

        Raises:
            UserError: for an empty text.
        """
        blocks = list(self.state_blocks(text))
        return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}

    def state_blocks(self, text: Tokens, block: int = BLOCK) -> Iterator[dict[str, np.ndarray]]:
        """Yield `states(text)` in blocks of at most `block` tokens."""
        state = None
        for tokens, fresh, first in self._blocks(text, block):
            with torch.no_grad():
                found = trace(self.model, tokens, None if fresh else state)
            state = found.state
            if first < len(tokens):
                yield {name: _to_numpy(values[first:, :, 0]) for name, values in found.stacked().items()}

    def _blocks(self, text: Tokens, block: int) -> Iterator[tuple[Tensor, bool, int]]:
        """Yield the tokens of a text in blocks, (time, 1) each, of at most `block`.

        With each comes whether it starts from a zero state, and how many of its first tokens have no row: 1 in the first
        block, which begins with START, else 0.
        """
        check_least("block", block, 1)
        stream = self._looked_at(text)
        starts = np.flatnonzero(stream == self.vocabulary.start) if self.samples else [0]
        for begin, end in pairwise([*starts, len(stream)]):
            for at in range(begin, end, block):
                ids = torch.as_tensor(stream[at : min(at + block, end)].astype(np.int64))
                yield ids.unsqueeze(-1).to(self.model.head.weight.device), at == begin, int(at == 0)


def _to_numpy(values: Tensor) -> np.ndarray:
    return values.cpu().numpy()


def load(run: str = "latest", checkpoint: str | int = "best") -> LoadedRun:
    """Open the run that `run` names, with the weights of `checkpoint`: best, last, or a kept step.

    `run` may be the path of one of its checkpoints.

    Raises:
        UserError: if the run or checkpoint does not exist, or its files do not fit together.
    """
    folder, checkpoint = find_checkpoint(str(run), str(checkpoint))
    config, vocabulary = read_config(folder), read_vocabulary(folder)
    model = build_model(model_config(config, str(folder.config)), len(vocabulary), str(folder.config))
    if checkpoint == "best" and folder.weights.exists():
        load_weights(model, folder.weights, vocabulary.digest())
    else:
        fill_from_checkpoint(model, folder, checkpoint)
    model.eval()
    return LoadedRun(folder, config, vocabulary, model, checkpoint)


def fill_from_checkpoint(model: LanguageModel, folder: RunFolder, which: str) -> None:
    """Copy the weights of a run's checkpoint into the model."""
    run = Record.read(folder.record).get("id", str) if folder.record.exists() else None
    checkpoints = Checkpoints(folder.checkpoints, run)
    path = checkpoints.path(which)
    state = evaluated_weights(checkpoints.read(path))
    names = dict(model.named_parameters())
    fill_model(model, {name: state[name] for name in names if isinstance(state.get(name), torch.Tensor)}, path)
