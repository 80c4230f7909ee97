"""Metrics that are computed at the end of a run, by the name under which a config may expect them."""

import math
from collections.abc import Callable

import numpy as np

from rnnscope.errors import UserError
from rnnscope.model.scoring import evaluate
from rnnscope.pipeline.build import Training
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.journal import read_curve
from rnnscope.runs.load import load
from rnnscope.runs.record import Record
from rnnscope.runs.scored_windows import carried_windows

SMOOTHING = 0.999  # per step, as in min-char-rnn
SAMPLES = 1000  # texts that are generated
PROMPT = 4  # characters of the text that are given, or a quarter of a shorter text


def parameters(run: RunFolder, training: Training) -> float:
    """Return the number of trainable parameters."""
    return training.model.parameter_count()


def smoothed_window_loss(run: RunFolder, training: Training) -> float:
    """Return the training loss as min-char-rnn prints it: in nats per window, smoothed exponentially with 0.999 per step.

    It starts at the loss of guessing. A point of the curve stands for all steps since the previous point.
    """
    before, smoothed = 0, math.log(len(training.data.vocabulary))
    for step, loss in zip(*read_curve(run.metrics, "train/loss"), strict=True):
        kept = SMOOTHING ** (step - before)
        before, smoothed = step, kept * smoothed + (1 - kept) * loss
    return smoothed * training.config.dataset.sequence_length


def recalled(run: RunFolder, training: Training) -> float:
    """Return the share of the training text, from its beginning, that greedy sampling reproduces after the first characters."""
    text = training.data.vocabulary.decode(training.data.stream("train")[1:])
    found = load(str(run.path)).sample(text[: min(PROMPT, len(text) // 4)], len(text), temperature=0)
    same = next((at for at, (one, other) in enumerate(zip(found, text, strict=False)) if one != other), len(text))
    return same / len(text)


def novel(run: RunFolder, training: Training) -> float:
    """Return the share of texts sampled at temperature 1 that are not training texts; empty texts do not count as novel."""
    if training.config.dataset.windows != "samples":
        raise UserError("sample/novel needs dataset.windows=samples: only then is the training data a set of texts")
    vocabulary, stream = training.data.vocabulary, training.data.stream("train")
    starts = np.flatnonzero(np.asarray(stream) == vocabulary.start)
    known = {vocabulary.decode(part) for part in np.split(np.asarray(stream), starts)}
    pieces = load(str(run.path)).stream(length=200, temperature=1.0, seed=training.config.seed, count=SAMPLES)
    texts = ["".join(parts) for parts in zip(*pieces, strict=True)]
    return sum(text not in known for text in texts) / len(texts)


def test_loss(run: RunFolder, training: Training) -> float:
    """Return the loss of the best weights on the test split in nats per token, as `rnnscope evaluate split=test` does."""
    data, model = training.data, load(str(run.path)).model.to(training.model.head.weight.device)
    if data.config.windows == "stream":
        windows = carried_windows(data.stream("test"), len(data.vocabulary), data.given)
        return evaluate(model, windows, training.hardware.precision).loss
    return evaluate(model, data.windows("test"), training.hardware.precision).loss


def seconds_per_step(run: RunFolder, training: Training) -> float:
    """Return the seconds per training step, including recording and validation."""
    record = Record.read(run.record)
    step, seconds = record.get("progress.step", int, 0), record.get("progress.seconds", float)
    if not step or seconds is None:
        raise UserError("no step was timed before a checkpoint")
    return seconds / step


MEASURES: dict[str, Callable[[RunFolder, Training], float]] = {
    "parameters": parameters,
    "train/smoothed_window_loss": smoothed_window_loss,
    "test/loss": test_loss,
    "seconds_per_step": seconds_per_step,
    "sample/recalled": recalled,
    "sample/novel": novel,
}
