"""Scores besides the static one: of a model that learns while it is scored, of a tuned temperature, of several runs."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnnscope.analysis.dynamic_evaluation import DynamicEvaluation, carried_logits, gradient_sizes, tuned
from rnnscope.config.schema import EvaluateConfig
from rnnscope.data.batches import StreamWindows
from rnnscope.data.module import TextData
from rnnscope.errors import UserError
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.scoring import IGNORE, Score, Window, evaluate
from rnnscope.runs.find import find_run
from rnnscope.runs.load import LoadedRun, load

TUNING = 100_000  # tokens of val at most, for tuning
TRAINING_WINDOWS = 100  # windows whose gradients are measured


@dataclass(frozen=True)
class ExtraScore:
    """A score besides the static one, with its name and the settings that it was computed with."""

    name: str
    score: Score
    settings: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Scoring:
    """What all extra scores need: the windows of a text, with the state carried, and the number of its characters."""

    loaded: LoadedRun
    windows: Iterable[Window]
    precision: str
    characters: int

    def of(self, model: Any) -> Score:
        """Return the score of a model over the windows."""
        return evaluate(model, self.windows, self.precision, self.characters)


def tunes(config: EvaluateConfig) -> list[str]:
    """Return the keys that are set and need tuning on the val split."""
    return [key for key in ("dynamic", "tuned_temperature") if getattr(config, key)]


def check_extra(config: EvaluateConfig, windows: str) -> None:
    """Raise a `UserError` if the text that is scored would be tuned on as well; `windows` is `dataset.windows` of the run."""
    if config.dynamic and windows != "stream":
        raise UserError(f"dynamic=true learns from one text in order: this run has dataset.windows={windows}")
    if tunes(config) and config.text is None and config.split != "test":
        raise UserError(
            f"{tunes(config)[0]}=true is tuned on val, so it cannot score split={config.split}: set split=test, or text="
        )


def load_others(loaded: LoadedRun, config: EvaluateConfig) -> list[LoadedRun]:
    """Return the runs of `with=`, names with commas between them.

    Raises:
        UserError: for a run with a different vocabulary, whose probabilities belong to different tokens.
    """
    names = [name.strip() for name in (config.others or "").strip("[]").split(",") if name.strip()]
    for name in names:
        if not name.endswith(".ckpt"):
            find_run(name, "with")  # so that an error names this key
    runs = [load(name, config.checkpoint) for name in names]
    known = {loaded.folder.path.resolve()}
    for name, run in zip(names, runs, strict=True):
        if run.folder.path.resolve() in known:
            raise UserError(f"with={name} is run= itself, or given twice: name each run once")
        known.add(run.folder.path.resolve())
        if run.vocabulary.to_json() != loaded.vocabulary.to_json():
            raise UserError(
                f"with={run.folder.path} does not have the vocabulary of {loaded.folder.path}: give runs with the same one"
            )
    return runs


def extra_scores(
    config: EvaluateConfig, scoring: Scoring, others: list[LoadedRun], val: TextData | None, text: TextData, split: str
) -> Iterator[ExtraScore]:
    """Yield the extra scores that `config` asks for, on a split of `text`; `val` has the run's own val split, for tuning."""
    if others:
        yield mean_of_runs(scoring, others)
    if val is not None and config.tuned_temperature:
        yield at_tuned_temperature(scoring, val)
    if val is not None and config.dynamic:
        yield dynamic(scoring, val, text, split)


def dynamic(scoring: Scoring, val: TextData, text: TextData, split: str) -> ExtraScore:
    """Score by dynamic evaluation; the learning rate and the decay are tuned on val."""
    model, length = scoring.loaded.model, val.config.sequence_length
    print(f"tuning dynamic evaluation on at most {TUNING:,} tokens of val", file=sys.stderr)
    sizes = gradient_sizes(model, islice(val.train_windows(endless=False), TRAINING_WINDOWS), scoring.precision)

    def segments(data: TextData, name: str, tokens: int | None = None) -> StreamWindows:
        return StreamWindows(data.stream(name)[: None if tokens is None else tokens + 1], 1, length, given=data.given)

    def score(windows: StreamWindows, lr: float, decay: float) -> Score:
        return DynamicEvaluation(model, sizes, lr, decay).score(windows, scoring.precision, scoring.characters)

    lr, decay = tuned(lambda lr, decay: score(segments(val, "val", TUNING), lr, decay).loss)
    settings = {"lr": lr, "decay": decay, "segment": length}
    return ExtraScore(f"dynamic evaluation, lr {lr:.2g}, decay {decay:.2g}", score(segments(text, split), lr, decay), settings)


def at_tuned_temperature(scoring: Scoring, val: TextData) -> ExtraScore:
    """Score with the logits divided by the temperature that is best on val."""
    model = scoring.loaded.model
    temperature = fit_temperature(model, val.windows("val", TUNING), scoring.precision)
    score = scoring.of(Tempered(model, temperature))
    return ExtraScore(f"temperature {temperature:.4f}", score, {"temperature": temperature})


def mean_of_runs(scoring: Scoring, others: list[LoadedRun]) -> ExtraScore:
    """Score by the mean of the probabilities of several runs."""
    runs = [scoring.loaded, *others]
    device = scoring.loaded.model.head.weight.device
    score = scoring.of(Ensemble([run.model.to(device) for run in runs]))
    return ExtraScore(f"mean of {len(runs)} runs", score, {"runs": [str(run.folder.path) for run in runs]})


class Tempered(nn.Module):
    """A model whose logits are divided by a temperature."""

    def __init__(self, model: LanguageModel, temperature: float) -> None:
        super().__init__()
        self.model, self.temperature = model, temperature
        self.eval()

    def read(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Do as `LanguageModel.read`."""
        logits, after = self.model.read(tokens, state)
        return logits / self.temperature, after


class Ensemble(nn.Module):
    """Several models as one: its probabilities are the mean of theirs."""

    def __init__(self, models: list[LanguageModel]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.eval()

    def read(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Do as `LanguageModel.read`; the state is a list of theirs, and the logits are logarithms of probabilities."""
        states = state or [None] * len(self.models)
        found = [model.read(tokens, one) for model, one in zip(self.models, states, strict=True)]  # type: ignore[operator]
        logarithms = torch.stack([F.log_softmax(logits.float(), -1) for logits, _ in found])
        return logarithms.logsumexp(0), [after for _, after in found]


@torch.no_grad()
def fit_temperature(model: LanguageModel, windows: Iterable[Window], precision: str) -> float:
    """Return the temperature with the lowest loss over `windows`, by Newton's method: the loss is convex in its inverse."""
    inverse = 1.0
    for _ in range(20):
        slope, curvature = (sum(values) for values in zip(*_derivatives(model, windows, precision, inverse), strict=True))
        before, inverse = inverse, max(inverse - slope / max(curvature, 1e-12), inverse / 2)
        if abs(inverse - before) < 1e-5 * before:
            break
    return 1 / inverse


def _derivatives(
    model: LanguageModel, windows: Iterable[Window], precision: str, inverse: float
) -> Iterator[tuple[float, float]]:
    """Yield the first and second derivative of the nats of each window by the inverse temperature."""
    for _, targets, logits in carried_logits(model, windows, precision):
        real = targets != IGNORE
        scores, chosen = logits.float()[real], targets[real].unsqueeze(-1)
        probabilities = (scores * inverse).softmax(-1)
        mean = (probabilities * scores).sum(-1, keepdim=True)
        variance = (probabilities * (scores - mean) ** 2).sum()
        yield float((mean - scores.gather(-1, chosen)).double().sum()), float(variance)
