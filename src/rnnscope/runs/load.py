"""Opening a run to use it: sampling and scoring from config.yaml, vocabulary.json and model.safetensors alone.

Imports neither Lightning nor TensorBoard, and reads data only: opening somebody's run never runs their code.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rnnscope.data.batches import StreamWindows, Windows, ZeroStateWindows
from rnnscope.data.sample_windows import SampleWindows
from rnnscope.data.stream import encode_text
from rnnscope.data.units import check_kind
from rnnscope.data.vocabulary import Vocabulary
from rnnscope.errors import UserError
from rnnscope.model.drawing import check_temperature
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.sampling import generate
from rnnscope.model.scoring import Score, evaluate
from rnnscope.runs.checkpoints import Checkpoints
from rnnscope.runs.find import find_run
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.generation import drawing, first_id, pieces_of, prompt_ids
from rnnscope.runs.journal import read_rows
from rnnscope.runs.record import Record, value_at
from rnnscope.runs.snapshot import build_model, model_config, read_config, read_vocabulary
from rnnscope.runs.weights import fill_model, load_weights

LONGEST = 1024  # tokens scored at once


@dataclass(repr=False)
class LoadedRun:
    """A trained model with the vocabulary it was trained on.

    `folder.path` is where it lies; `config` is its snapshot as plain values; `model` is a `torch.nn.Module` on the CPU.
    """

    folder: RunFolder
    config: dict[str, Any]
    vocabulary: Vocabulary
    model: LanguageModel

    def __repr__(self) -> str:
        model = f"{self.model.num_layers} x {self.model.hidden_size} {self.model.cell.name}"
        return f"<run {self.folder.path}: {model}, {len(self.vocabulary)} tokens of level {self.vocabulary.level}>"

    def sample(self, prompt: str = "", length: int = 500, **how: Any) -> str:
        """Return generated text, the prompt in front. `how` is what `stream` takes."""
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
        """Return an iterator over the next piece of each of `count` texts: `length` tokens at most, without the prompt.

        Args:
            prompt: what the texts begin with; empty for the start of a text.
            temperature, top_k, top_p: how tokens are drawn; temperature 0 takes the likeliest.
            seed: same seed, same texts; None draws a new one.
            stop: a text ends where this string has been generated; the string itself is kept.
            minimum_length: tokens before a text may end by itself.
            unknown: what happens to parts of the prompt outside the vocabulary: `refuse`, `skip` or `replace` by UNK.

        Raises:
            UserError: for a prompt the policy refuses, or a value outside its range.
        """
        for key, value, least in (("length", length, 0), ("count", count, 1)):
            if value < least:
                raise UserError(f"{key}={value} must be at least {least}")
        start_end = value_at(self.config, "dataset.start_end")
        choice = drawing(self.vocabulary, start_end, top_k, top_p, minimum_length)
        check_temperature(temperature)
        ids = [first_id(self.vocabulary, start_end), *prompt_ids(self.vocabulary, prompt, unknown)]
        seed = secrets.randbits(32) if seed is None else seed
        rows = generate(self.model, ids, length, [temperature] * count, choice, seed % 2**63)
        return pieces_of(rows, self.vocabulary, count, stop)

    def curve(self, tag: str) -> tuple[list[int], list[float]]:
        """Return the steps and values of a column of metrics.csv, such as `train/loss` or `update_size/all`.

        Raises:
            UserError: when the run has no such column, naming those it has.
        """
        rows = list(read_rows(self.folder.metrics)) if self.folder.metrics.exists() else []
        if rows and tag not in rows[0]:
            raise UserError(f"{self.folder.metrics} has no column {tag}; it has {', '.join(rows[0])}")
        points = [(int(row["step"]), float(row[tag])) for row in rows if row[tag]]
        return [step for step, _ in points], [value for _, value in points]

    def score(self, text: str, carried: bool = True, window: int = 256, precision: str = "float32") -> Score:
        """Return how well the model predicts `text`: nats per token, bits per character, perplexity, accuracy.

        START and END stand where they stood in training. A run of samples scores each of them from a zero state.

        Args:
            carried: carry the state through the whole text; False scores independent windows from a zero state.
            window: tokens of those windows.
        """
        kind, windows = value_at(self.config, "dataset.start_end"), value_at(self.config, "dataset.windows") or "stream"
        check_kind(kind, self.vocabulary.level, windows)
        if not text or (kind is not None and not text.strip()):
            raise UserError("the text to score is empty")
        stream, start = encode_text(self.vocabulary, text, kind), self.vocabulary.start
        return evaluate(self.model, _windows(stream, start, kind, windows, carried, window), precision, characters=len(text))


def _windows(stream: np.ndarray, start: int, kind: str | None, windows: str, carried: bool, window: int) -> Windows:
    """Return the windows that `LoadedRun.score` looks at; with a `kind` of text between START and END, START is given."""
    if windows == "samples":
        return SampleWindows(stream, 32, LONGEST, start, seed=None)
    given = None if kind is None else start
    if carried:
        return StreamWindows(stream, 1, min(LONGEST, len(stream) - 1), given=given)
    return ZeroStateWindows(stream, 32, window, given=given)


def load(run: str = "latest", checkpoint: str = "best") -> LoadedRun:
    """Open the run that `run` names, with the weights of `checkpoint`: best, last, or a kept step.

    Raises:
        UserError: when there is no such run or checkpoint, or its files do not fit together.
    """
    folder = find_run(str(run))
    config, vocabulary = read_config(folder), read_vocabulary(folder)
    model = build_model(model_config(config, str(folder.config)), len(vocabulary), str(folder.config))
    if checkpoint == "best" and folder.weights.exists():
        load_weights(model, folder.weights)
    else:
        fill_from_checkpoint(model, folder, checkpoint)
    model.eval()
    return LoadedRun(folder, config, vocabulary, model)


def fill_from_checkpoint(model: LanguageModel, folder: RunFolder, which: str) -> None:
    """Copy the weights of a run's checkpoint into the model."""
    run = Record.read(folder.record).get("id", str) if folder.record.exists() else None
    checkpoints = Checkpoints(folder.checkpoints, run)
    path = checkpoints.path(which)
    state = checkpoints.read(path)["state_dict"]
    names = dict(model.named_parameters())
    fill_model(model, {name: state[name] for name in names if isinstance(state.get(name), torch.Tensor)}, path)
