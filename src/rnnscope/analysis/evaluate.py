"""How well a run predicts a split of its data, or any text, compared with baselines."""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnscope.analysis.compressors import xz_nats
from rnnscope.analysis.extra_scores import ExtraScore, Scoring, check_extra, extra_scores, load_others, tunes
from rnnscope.analysis.generated import Training, ngram_samples, real_texts, samples
from rnnscope.analysis.generated import report as lines_on
from rnnscope.analysis.ngram import LONGEST, NGram
from rnnscope.analysis.own_data import any_text, config_of, own_data, own_stream
from rnnscope.analysis.suffix_array import SuffixArray
from rnnscope.config.places import text_name
from rnnscope.config.schema import EvaluateConfig, TrainConfig, refuse_without_effect
from rnnscope.data.module import TextData
from rnnscope.data.vocabulary import SPECIALS, UNK
from rnnscope.errors import UserError, check_least
from rnnscope.format import plain, table_lines
from rnnscope.model.drawing import check_temperature
from rnnscope.model.precision import resolve_device, resolve_precision
from rnnscope.model.scoring import Score, evaluate, perplexity
from rnnscope.runs.load import LoadedRun, load
from rnnscope.runs.record import value_at
from rnnscope.runs.scored_windows import carried_windows, zero_state_windows
from rnnscope.text_io import stdin_lines

BLOCK = 1 << 22  # ids that are counted at a time
MANY = 10_000_000  # training tokens above which counting n-grams takes long enough to announce it


@dataclass
class Report:
    """Scores and baselines over the same tokens; `unknown` is the share of UNK among them.

    `spelling`: nats per token for spelling each UNK, as in `spelling_nats`; None if that is unknown. `baselines`: nats per
    token, by name, of what learns from the training split. `generated`: lines on texts that the run generates. `extra`:
    scores that are not static, and never mixed with `scores`.
    """

    source: str
    scores: dict[str, Score]  # by protocol
    unigram: float  # nats per token of guessing by the frequencies of tokens in the text: its unigram entropy
    vocabulary_size: int
    unknown: float
    spelling: float | None = None
    baselines: dict[str, float] = field(default_factory=dict[str, float])
    generated: list[str] = field(default_factory=list[str])
    extra: list[ExtraScore] = field(default_factory=list[ExtraScore])

    @property
    def uniform(self) -> float:
        """Nats per token of guessing uniformly: ln V."""
        return math.log(self.vocabulary_size)


def evaluate_run(config: EvaluateConfig) -> tuple[LoadedRun, Report]:
    """Score a run, and return it with the report."""
    check_samples(config)
    loaded = load(config.run, config.checkpoint)
    if config.samples is not None:
        loaded.generator.check_count(config.samples, "samples")
    recorded = config_of(loaded, config.data)
    if (windows := recorded.dataset.windows) != "stream":
        refuse_without_effect(config, ["window"], f"to a run with dataset.windows={windows}")
    check_extra(config, windows)
    others = load_others(loaded, config)
    data, split, source = _scored(loaded, recorded, config)
    targets, info = data.targets(split), data.splits[split]
    characters = (
        info.characters if data.config.windows != "many_to_one" else round(info.characters * len(targets) / info.tokens)
    )
    device = resolve_device("auto")
    model = loaded.model.to(device)
    asked = recorded.trainer.precision if config.precision == "auto" else config.precision
    precision = resolve_precision(asked, device, model.cell, max(model.sizes), "precision")
    counts = count_ids(targets, len(loaded.vocabulary))
    if data.given is not None:
        counts[data.given] = 0
    unk = loaded.vocabulary.unk
    protocols = _protocols(data, split, config.window)
    report = Report(
        source,
        {name: evaluate(model, windows, precision, characters) for name, windows in protocols.items()},
        entropy(counts.tolist()),
        len(loaded.vocabulary),
        0.0 if unk is None else float(counts[unk] / counts.sum()),
        spelling=_spelling(data, counts, characters),
    )
    scoring = Scoring(loaded, next(iter(protocols.values())), precision, characters)
    val = _to_tune_on(loaded, recorded, data, config)
    report.extra.extend(extra_scores(config, scoring, others, val, data, split))
    if config.ngram is not None or config.samples is not None:
        _compare_with_training(loaded, data, data.stream(split), _training(loaded, data, config), config, report)
    return loaded, report


def _to_tune_on(loaded: LoadedRun, recorded: TrainConfig, data: TextData, config: EvaluateConfig) -> TextData | None:
    """Return the data of the run's own val split, None where nothing is tuned on it."""
    if not tunes(config):
        return None
    own = data if config.text is None else own_data(loaded, recorded, "train")
    if not own.splits["val"].tokens:
        raise UserError(f"{tunes(config)[0]}=true is tuned on the val split, which this run's data lack: leave it out")
    return own


def check_samples(config: EvaluateConfig) -> None:
    """Raise a `UserError` for values of ngram, samples, length or temperatures that are out of range."""
    if config.ngram is not None and not 1 <= config.ngram <= LONGEST:
        raise UserError(f"ngram={config.ngram} must be at least 1 and at most {LONGEST}, or null for none")
    check_least("samples", config.samples, 1, "null for none")
    check_least("length", config.length, 1)
    for temperature in config.temperatures:
        check_temperature(temperature, "temperatures")
    if not config.temperatures or len(set(config.temperatures)) < len(config.temperatures):
        raise UserError(f"temperatures={plain(config.temperatures)} must have at least one value, and each of them once")


def _training(loaded: LoadedRun, data: TextData, config: EvaluateConfig) -> np.ndarray | None:
    """Return the ids of the run's training split, or None if it is missing and only baselines need it."""
    if config.text is None:
        return data.stream("train")
    try:
        return own_stream(loaded, "train", config.data)
    except UserError as error:
        if config.samples is not None:
            raise
        print(f"the n-gram and xz baselines need the training text and are left out: {error}", file=sys.stderr)
        return None


def _compare_with_training(
    loaded: LoadedRun, data: TextData, stream: np.ndarray, training: np.ndarray | None, config: EvaluateConfig, report: Report
) -> None:
    """Add baselines that learn from the training split, and lines on generated texts, to a report."""
    if training is None:
        return
    if len(training) > MANY:
        print(f"counting n-grams of {len(training):,} tokens; ngram=null leaves them out", file=sys.stderr)
    order = None if config.ngram is None else min(config.ngram, len(training))
    strings = SuffixArray(training, order if config.samples is None else None)
    ngram = None if order is None else NGram(strings, len(loaded.vocabulary), order)
    if ngram is not None:
        cut = data.given if data.config.windows == "samples" else None
        report.baselines[f"{ngram.order}-gram of the training split"] = ngram.losses(stream, _scored_ids(data, stream), cut)[-1]
        report.baselines["xz -9 after the training split"] = xz_nats(stream, training, data.given)
    if config.samples is not None:
        size = config.samples, config.length
        columns = {f"samples at {heat:g}": samples(loaded, *size, heat) for heat in config.temperatures}
        columns |= {} if ngram is None else {f"{ngram.order}-gram": ngram_samples(ngram, loaded, *size)}
        columns["real text"] = real_texts(stream, data.given, loaded.vocabulary, *size)
        text = Training.of(loaded.vocabulary, training, strings, data.config.start_end)
        report.generated = list(lines_on(columns, text))


def _scored_ids(data: TextData, stream: np.ndarray) -> slice | np.ndarray:
    """Return which ids of a stream, without its first, the model is scored on."""
    if data.config.windows == "many_to_one":
        return slice(data.config.sequence_length, None, data.step)
    return slice(None) if data.given is None else stream[1:] != data.given


def score_lines(config: EvaluateConfig) -> Iterator[str]:
    """Yield a row for each line of stdin as it comes: nats, tokens, bits per character and the line, separated by tabs.

    Each line is scored by itself. A line without tokens has 0 nats, and `nan` bits per character.

    Raises:
        UserError: unless `text=-` is set, and for a line that is not UTF-8.
    """
    if config.text != "-":
        raise UserError(f"lines=true scores the lines of stdin and needs text=-, not text={plain(config.text)}")
    if idle := [*tunes(config), *(["with"] if config.others else [])]:
        raise UserError(f"{idle[0]}= does not apply to lines=true, which scores each line by itself; leave it out")
    loaded = load(config.run, config.checkpoint)
    if value_at(loaded.config, "dataset.windows") == "many_to_one":
        raise UserError(
            "lines=true does not apply to a run with dataset.windows=many_to_one, which needs a window before a token"
        )
    recorded = value_at(loaded.config, "trainer.precision") or "auto"
    precision = recorded if config.precision == "auto" else config.precision
    for line in stdin_lines("text"):
        text = line.rstrip("\r\n")
        score = Score() if loaded.is_blank(text) else loaded.score(text, precision=precision)
        yield f"{score.nats:.6f}\t{score.tokens}\t{score.bits_per_character:.6f}\t{text}"


def count_ids(stream: np.ndarray, size: int) -> np.ndarray:
    """Return the count of each of `size` ids in a stream, (size,); in blocks, since counting widens ids to 8 bytes."""
    blocks = (stream[at : at + BLOCK] for at in range(0, len(stream), BLOCK))
    return sum((np.bincount(block, minlength=size) for block in blocks), np.zeros(size, dtype=np.int64))


def spelling_nats(tokens: Sequence[str], counts: np.ndarray, characters: int) -> float:
    """Return the nats for spelling each UNK of a text uniformly, without which words do not compare with characters.

    Each character of an UNK, and its end, is one of the distinct characters of the vocabulary or the end.

    Args:
        tokens: of the vocabulary, the special ones first.
        counts: of each id in the text, (V,), without ids that have no characters.
        characters: of the whole text; those that are not in known tokens are in an UNK.
    """
    known = sum(int(count) * len(token) for count, token in zip(counts[SPECIALS:], tokens[SPECIALS:], strict=True))
    distinct = len(set().union(*tokens[SPECIALS:]))
    return (characters - known + int(counts[UNK])) * math.log(distinct + 1)


def _spelling(data: TextData, counts: np.ndarray, characters: int) -> float | None:
    """Return `spelling_nats` per token if the text consists of words and their spaces alone, else None."""
    config, vocabulary = data.config, data.vocabulary
    whole = vocabulary.level == "word" and vocabulary.words == "lossless" and not vocabulary.unk_in_text
    if not whole or config.windows != "stream" or config.start_end is not None:
        return None
    return spelling_nats(vocabulary.tokens, counts, characters) / int(counts.sum())


def entropy(counts: Iterable[int]) -> float:
    """Return the unigram entropy in nats of tokens with these counts: the loss of guessing by frequency."""
    found = [count for count in counts if count]
    total = sum(found)
    return sum(count / total * math.log(total / count) for count in found) if total else math.nan


def _protocols(data: TextData, split: str, window: int) -> dict[str, Any]:
    """Return the windows to score, by the name of the protocol; samples always start from a zero state."""
    if data.config.windows == "samples":
        return {"each sample from a zero state": data.windows(split)}
    if data.config.windows == "many_to_one":
        return {f"the token after each window of {data.config.sequence_length}": data.windows(split)}
    stream, given, size = data.stream(split), data.given, len(data.vocabulary)
    window = min(window, len(stream) - 1)
    return {
        "state carried over all of it": carried_windows(stream, size, given),
        f"windows of {window} from a zero state": zero_state_windows(stream, window, size, given),
    }


def _scored(loaded: LoadedRun, recorded: TrainConfig, config: EvaluateConfig) -> tuple[TextData, str, str]:
    """Return the data to score, the split, and a description."""
    check_least("window", config.window, 1)
    if config.text is not None:
        return any_text(loaded, recorded, config.text), "train", config.text
    data = own_data(loaded, recorded, config.split)
    return data, config.split, f"{config.split} split of {text_name(data.config)}"


def table(report: Report, words: bool) -> list[str]:
    """Return the report as a table: a row for each protocol and baseline."""
    spelled = report.spelling or 0.0
    rows = [
        *((name, score.loss, score.accuracy) for name, score in report.scores.items()),
        *((f"{name}, UNK spelled", score.loss + spelled, None) for name, score in report.scores.items() if spelled),
        *((name, nats, None) for name, nats in report.baselines.items()),
        ("guessing by this text's frequencies", report.unigram, None),
        (f"guessing blindly, ln({report.vocabulary_size})", report.uniform, None),
    ]
    lines = _table(rows, report, words)
    if report.extra:
        lines += ["", "these are not static scores; do not compare them with those above:"]
        lines += _table([(one.name, one.score.loss, one.score.accuracy) for one in report.extra], report, words)
    return lines


def _table(rows: Sequence[tuple[str, float, float | None]], report: Report, words: bool) -> list[str]:
    first = next(iter(report.scores.values()))
    scale = first.tokens / first.characters / math.log(2)
    cells = [["", "nats/token", "bits/character", "accuracy", *(["perplexity"] if words else [])]]
    for name, nats, accuracy in rows:
        share = "" if accuracy is None else f"{100 * accuracy:.1f} %"
        cells.append([name, f"{nats:.4f}", f"{nats * scale:.4f}", share, *([f"{perplexity(nats):.1f}"] if words else [])])
    return table_lines(cells)
