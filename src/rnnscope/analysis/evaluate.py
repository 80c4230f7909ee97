"""How well a run predicts a split of its data, or any text, against what guessing would score."""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from rnnscope.analysis.apart import Apart, Scoring, check_apart, figures_apart, load_others, tunes
from rnnscope.analysis.compressors import xz_nats
from rnnscope.analysis.generated import Training, ngram_samples, real_texts, samples
from rnnscope.analysis.generated import report as lines_on
from rnnscope.analysis.ngram import LONGEST, NGram
from rnnscope.analysis.novelty import text_of
from rnnscope.analysis.suffix_array import SuffixArray
from rnnscope.config.changes import with_changes
from rnnscope.config.places import moved_to, text_name
from rnnscope.config.schema import EvaluateConfig, TrainConfig
from rnnscope.config.validate import from_plain
from rnnscope.data.config import READER_VERSION, CorpusConfig, SplitConfig
from rnnscope.data.corpus import SPLITS
from rnnscope.data.module import TextData
from rnnscope.data.vocabulary import SPECIALS, UNK
from rnnscope.errors import UserError, WrongEncoding
from rnnscope.format import plain, table_lines
from rnnscope.model.drawing import check_temperature
from rnnscope.model.precision import resolve_device, resolve_precision
from rnnscope.model.scoring import Score, evaluate, perplexity
from rnnscope.paths import cache_folder
from rnnscope.runs.load import LoadedRun, carried_windows, load, zero_state_windows
from rnnscope.runs.own_text import check_data, finding
from rnnscope.runs.record import Record, value_at
from rnnscope.text_io import stdin_lines

BLOCK = 1 << 22  # ids counted at a time
MANY = 10_000_000  # training tokens whose n-grams take so long to count that it is said


@dataclass
class Report:
    """Scores by protocol and baselines over the same tokens; `unknown` is the share of UNK among them.

    `spelling`: nats per token of spelling each UNK besides, as `spelling_nats` does; None where that cannot be said.
    `baselines`: nats per token of what learns from the training split, by name. `generated`: lines on texts of the run.
    `apart`: scores that are no static ones, and are never mixed with `scores`.
    """

    source: str
    scores: dict[str, Score]  # by protocol
    unigram: float  # nats per token of guessing by the text's own token frequencies: its unigram entropy
    vocabulary_size: int
    unknown: float
    spelling: float | None = None
    baselines: dict[str, float] = field(default_factory=dict[str, float])
    generated: list[str] = field(default_factory=list[str])
    apart: list[Apart] = field(default_factory=list[Apart])

    @property
    def uniform(self) -> float:
        """Nats per token of guessing blindly: ln V."""
        return math.log(self.vocabulary_size)


def evaluate_run(config: EvaluateConfig) -> tuple[LoadedRun, Report]:
    """Score the run that `config` names; return it and the report."""
    check_samples(config)
    loaded = load(config.run, config.checkpoint)
    recorded = config_of(loaded, config.data)
    check_apart(config, recorded.dataset.windows)
    others = load_others(loaded, config)
    data, split, source = _scored(loaded, recorded, config)
    targets, info = data.targets(split), data.splits[split]
    characters = (
        info.characters if data.config.windows != "many_to_one" else round(info.characters * len(targets) / info.tokens)
    )
    device = resolve_device("auto")
    model = loaded.model.to(device)
    asked = recorded.trainer.precision if config.precision == "auto" else config.precision
    precision = resolve_precision(asked, device, model.cell, model.hidden_size, "precision")
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
    report.apart.extend(figures_apart(config, scoring, others, val, data, split))
    if config.ngram is not None or config.samples is not None:
        _compare_with_training(loaded, data, data.stream(split), _training(loaded, data, config), config, report)
    return loaded, report


def _to_tune_on(loaded: LoadedRun, recorded: TrainConfig, data: TextData, config: EvaluateConfig) -> TextData | None:
    """Return the data of the run's own val split, None where nothing is tuned on it."""
    if not tunes(config):
        return None
    own = data if config.text is None else own_data(loaded, recorded, "val")
    check_split(loaded, own, "val")
    return own


def check_samples(config: EvaluateConfig) -> None:
    """Refuse, by a `UserError`, numbers of samples and tokens that mean nothing."""
    if config.ngram is not None and not 1 <= config.ngram <= LONGEST:
        raise UserError(f"ngram={config.ngram} must be at least 1 and at most {LONGEST}, or null for none")
    if config.samples is not None and config.samples < 1:
        raise UserError(f"samples={config.samples} must be at least 1, or null for none")
    if config.length < 1:
        raise UserError(f"length={config.length} must be at least 1")
    for temperature in config.temperatures:
        check_temperature(temperature, "temperatures")


def _training(loaded: LoadedRun, data: TextData, config: EvaluateConfig) -> np.ndarray | None:
    """Return the stream of the run's training split, None where only another text is there and its baselines can do without."""
    if config.text is None:
        return data.stream("train")
    try:
        return own_stream(loaded, "train", config.data)
    except UserError as error:
        if config.samples is not None:
            raise
        print(f"without the n-gram and xz, which learn from the training text: {error}", file=sys.stderr)
        return None


def _compare_with_training(
    loaded: LoadedRun, data: TextData, stream: np.ndarray, training: np.ndarray | None, config: EvaluateConfig, report: Report
) -> None:
    """Add to a report what the training split predicts of a stream, and what of it the run's own texts have."""
    if training is None:
        return
    if len(training) > MANY:
        print(f"counting n-grams of {len(training):,} tokens; ngram=null leaves that out", file=sys.stderr)
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
        report.generated = list(lines_on(columns, Training.of(loaded.vocabulary, training, strings)))


def _scored_ids(data: TextData, stream: np.ndarray) -> slice | np.ndarray:
    """Return which ids of a stream but the first the model is scored on."""
    if data.config.windows == "many_to_one":
        return slice(data.config.sequence_length, None, data.step)
    return slice(None) if data.given is None else stream[1:] != data.given


def training_lines(run: LoadedRun) -> set[str]:
    """Return the lines of the text that a run was trained on.

    Raises:
        UserError: where the text is not there, or has changed.
    """
    return set(text_of(run.vocabulary, own_stream(run, "train")).splitlines())


def score_lines(config: EvaluateConfig) -> Iterator[str]:
    """Yield a row for each line of stdin as it comes: nats, tokens, bits per character and the line, with tabs between.

    A line knows nothing of the lines before it. One without a token has 0 nats, and `nan` bits per character.

    Raises:
        UserError: for keys that have no meaning here, and for a line that is not UTF-8.
    """
    if config.text != "-":
        raise UserError(f"lines=true scores the lines of stdin: set text=-, which is now {plain(config.text)}")
    if idle := [*tunes(config), *(["with"] if config.others else [])]:
        raise UserError(f"{idle[0]}= does not apply to lines=true, which scores each line by itself: leave it out")
    loaded = load(config.run, config.checkpoint)
    recorded = value_at(loaded.config, "trainer.precision") or "auto"
    precision = recorded if config.precision == "auto" else config.precision
    for line in stdin_lines("text"):
        text = line.rstrip("\r\n")
        score = Score() if loaded.is_blank(text) else loaded.score(text, precision=precision)
        yield f"{score.nats:.6f}\t{score.tokens}\t{score.bits_per_character:.6f}\t{text}"


def count_ids(stream: np.ndarray, size: int) -> np.ndarray:
    """Return how often each of `size` ids is in a stream, (size,): in blocks, as counting widens every id to 8 bytes."""
    blocks = (stream[at : at + BLOCK] for at in range(0, len(stream), BLOCK))
    return sum((np.bincount(block, minlength=size) for block in blocks), np.zeros(size, dtype=np.int64))


def spelling_nats(tokens: Sequence[str], counts: np.ndarray, characters: int) -> float:
    """Return what it costs to spell each UNK of a text blindly: without that, words do not compare with characters.

    Each character of an UNK, and its end, is one of the distinct characters of the vocabulary or the end.

    Args:
        tokens: of the vocabulary, the special ones first.
        counts: of each id in the text, (V,); without those that have no characters.
        characters: of the whole text: those that its known tokens do not have are in an UNK.
    """
    known = sum(int(count) * len(token) for count, token in zip(counts[SPECIALS:], tokens[SPECIALS:], strict=True))
    distinct = len(set().union(*tokens[SPECIALS:]))
    return (characters - known + int(counts[UNK])) * math.log(distinct + 1)


def _spelling(data: TextData, counts: np.ndarray, characters: int) -> float | None:
    """Return `spelling_nats` per token of words whose characters are all there is in the text, else None."""
    config, vocabulary = data.config, data.vocabulary
    whole = vocabulary.level == "word" and vocabulary.words == "lossless" and not vocabulary.unk_in_text
    if not whole or config.windows != "stream" or config.start_end is not None:
        return None
    return spelling_nats(vocabulary.tokens, counts, characters) / int(counts.sum())


def entropy(counts: Iterable[int]) -> float:
    """Return the unigram entropy, in nats, of tokens with these counts: the loss of guessing by frequency alone."""
    found = [count for count in counts if count]
    total = sum(found)
    return sum(count / total * math.log(total / count) for count in found) if total else math.nan


def _protocols(data: TextData, split: str, window: int) -> dict[str, Any]:
    """Return the windows to score, by what is done with the state; samples know no text before them, in training neither."""
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
    """Return the data to score, which split of it, and what it is."""
    if config.window < 1:
        raise UserError(f"window={config.window} must be at least 1")
    if config.text is not None:
        return _text(loaded, recorded, config.text), "train", config.text
    data = own_data(loaded, recorded, config.split)
    return data, config.split, f"{config.split} split of {text_name(data.config)}"


def own_stream(run: LoadedRun, split: str, data: str | None = None) -> np.ndarray:
    """Return the ids of a split of the run's own text; `data`: where that text is now, if it has moved.

    Raises:
        UserError: as `own_data`.
    """
    return own_data(run, config_of(run, data), split).stream(split)


def config_of(run: LoadedRun, data: str | None) -> TrainConfig:
    """Return the run's config; `data`: where its text is now, if it has moved."""
    recorded = from_plain(run.config, str(run.folder.config))
    return with_changes(recorded, moved_to(recorded.dataset.corpus, data))


def own_data(loaded: LoadedRun, recorded: TrainConfig, split: str) -> TextData:
    """Return the run's data, as its snapshot records it.

    Raises:
        UserError: when its text is not where it was or is not what it was, or has no such split.
    """
    if split not in SPLITS:
        raise UserError(f"split={split} is unknown: choose train, val or test")
    record = Record.read(loaded.folder.record) if loaded.folder.record.exists() else None
    fingerprint = record.get("data.fingerprint", dict, {}) if record else {}
    with finding(recorded.dataset.corpus, fingerprint):
        data = _prepare(loaded, recorded)
    known = {key: value for key, value in fingerprint.items() if key != "settings"}  # its vocabulary is given now
    check_data(data.fingerprint, known, data.config.corpus)
    check_split(loaded, data, split)
    return data


def check_split(loaded: LoadedRun, data: TextData, split: str) -> None:
    """Refuse, by a `UserError`, a split that the run's data does not have."""
    if not data.splits[split].tokens:
        where = f"dataset.split in {loaded.folder.config}"
        raise UserError(f"split={split}: this run's data has no {split} split ({where}); split=train is always there")


def _text(loaded: LoadedRun, recorded: TrainConfig, path: str) -> TextData:
    """Read any text as the run's dataset reads its own: encoding, cleaning, START and END."""
    corpus, whole = CorpusConfig(path=path, reader_version=READER_VERSION), SplitConfig(1.0, 0.0, 0.0)
    short = {"sequence_length": 1} if recorded.dataset.windows == "stream" else {}  # any text is long enough
    try:
        return _prepare(loaded, recorded, corpus=corpus, split=whole, batch_size=1, **short)
    except WrongEncoding as error:  # the key to set is not one of this command's
        encoding = recorded.dataset.encoding
        raise WrongEncoding(error.found, f"this run's texts are {encoding}; save this one as {encoding} first") from None


def _prepare(loaded: LoadedRun, recorded: TrainConfig, **keys: Any) -> TextData:
    """Return the run's data, with `keys` of its dataset changed, encoded with the run's own vocabulary."""
    places = {"cache_dir": cache_folder(), "vocabulary": loaded.vocabulary, "say": partial(print, file=sys.stderr)}
    return TextData.from_config(replace(recorded.dataset, **keys), seed=recorded.seed, **places).prepare()


def table(report: Report, words: bool) -> list[str]:
    """Return the report as lines: a row for each protocol and baseline."""
    spelled = report.spelling or 0.0
    rows = [
        *((name, score.loss, score.accuracy) for name, score in report.scores.items()),
        *((f"{name}, UNK spelled", score.loss + spelled, None) for name, score in report.scores.items() if spelled),
        *((name, nats, None) for name, nats in report.baselines.items()),
        ("guessing by this text's frequencies", report.unigram, None),
        (f"guessing blindly, ln({report.vocabulary_size})", report.uniform, None),
    ]
    lines = _table(rows, report, words)
    if report.apart:
        lines += ["", "apart from the static figures above, and not to be compared with them:"]
        lines += _table([(one.name, one.score.loss, one.score.accuracy) for one in report.apart], report, words)
    return lines


def _table(rows: Sequence[tuple[str, float, float | None]], report: Report, words: bool) -> list[str]:
    first = next(iter(report.scores.values()))
    scale = first.tokens / first.characters / math.log(2)
    cells = [["", "nats/token", "bits/character", "accuracy", *(["perplexity"] if words else [])]]
    for name, nats, accuracy in rows:
        share = "" if accuracy is None else f"{100 * accuracy:.1f} %"
        cells.append([name, f"{nats:.4f}", f"{nats * scale:.4f}", share, *([f"{perplexity(nats):.1f}"] if words else [])])
    return table_lines(cells)
