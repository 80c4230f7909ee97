"""How well a run predicts a split of its data, or any text, against what guessing would score."""

import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from rnnscope.config.changes import with_changes
from rnnscope.config.places import moved_to, text_name
from rnnscope.config.schema import EvaluateConfig, TrainConfig
from rnnscope.config.validate import from_plain
from rnnscope.data.config import READER_VERSION, CorpusConfig, SplitConfig
from rnnscope.data.module import TextData
from rnnscope.errors import UserError, WrongEncoding
from rnnscope.format import plain, table_lines
from rnnscope.model.precision import resolve_device, resolve_precision
from rnnscope.model.scoring import Score, evaluate, perplexity
from rnnscope.paths import cache_folder
from rnnscope.runs.load import LoadedRun, carried_windows, load, zero_state_windows
from rnnscope.runs.own_text import check_data, finding
from rnnscope.runs.record import Record, value_at
from rnnscope.text_io import stdin_lines

BLOCK = 1 << 22  # ids counted at a time


@dataclass
class Report:
    """Scores by protocol and two baselines over the same tokens; `unknown` is the share of UNK among them."""

    source: str
    scores: dict[str, Score]  # by protocol
    unigram: float  # nats per token of guessing by the text's own token frequencies: its unigram entropy
    vocabulary_size: int
    unknown: float

    @property
    def uniform(self) -> float:
        """Nats per token of guessing blindly: ln V."""
        return math.log(self.vocabulary_size)


def evaluate_run(config: EvaluateConfig) -> tuple[LoadedRun, Report]:
    """Score the run that `config` names; return it and the report."""
    loaded = load(config.run, config.checkpoint)
    recorded = from_plain(loaded.config, str(loaded.folder.config))
    recorded = with_changes(recorded, moved_to(recorded.dataset.corpus, config.data))
    data, split, source = _scored(loaded, recorded, config)
    stream, characters = data.stream(split), data.splits[split].characters
    device = resolve_device("auto")
    model = loaded.model.to(device)
    asked = recorded.trainer.precision if config.precision == "auto" else config.precision
    precision = resolve_precision(asked, device, model.cell, model.hidden_size, "precision")
    counts = count_ids(stream[1:], len(loaded.vocabulary))
    if data.given is not None:
        counts[data.given] = 0
    unk = loaded.vocabulary.unk
    protocols = _protocols(data, split, config.window)
    return loaded, Report(
        source,
        {name: evaluate(model, windows, precision, characters) for name, windows in protocols.items()},
        entropy(counts.tolist()),
        len(loaded.vocabulary),
        0.0 if unk is None else float(counts[unk] / counts.sum()),
    )


def score_lines(config: EvaluateConfig) -> Iterator[str]:
    """Yield a row for each line of stdin as it comes: nats, tokens, bits per character and the line, with tabs between.

    A line knows nothing of the lines before it. One without a token has 0 nats, and `nan` bits per character.

    Raises:
        UserError: for keys that have no meaning here, and for a line that is not UTF-8.
    """
    if config.text != "-":
        raise UserError(f"lines=true scores the lines of stdin: set text=-, which is now {plain(config.text)}")
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


def entropy(counts: Iterable[int]) -> float:
    """Return the unigram entropy, in nats, of tokens with these counts: the loss of guessing by frequency alone."""
    found = [count for count in counts if count]
    total = sum(found)
    return sum(count / total * math.log(total / count) for count in found) if total else math.nan


def _protocols(data: TextData, split: str, window: int) -> dict[str, Any]:
    """Return the windows to score, by what is done with the state; samples know no text before them, in training neither."""
    if data.config.windows == "samples":
        return {"each sample from a zero state": data.windows(split)}
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
    if config.split not in ("train", "val", "test"):
        raise UserError(f"split={config.split} is unknown: choose train, val or test")
    data = own_data(loaded, recorded, config.split)
    return data, config.split, f"{config.split} split of {text_name(data.config)}"


def own_data(loaded: LoadedRun, recorded: TrainConfig, split: str) -> TextData:
    """Return the run's data, as its snapshot records it.

    Raises:
        UserError: when its text is not where it was or is not what it was, or has no such split.
    """
    record = Record.read(loaded.folder.record) if loaded.folder.record.exists() else None
    fingerprint = record.get("data.fingerprint", dict, {}) if record else {}
    with finding(recorded.dataset.corpus, fingerprint):
        data = _prepare(loaded, recorded)
    known = {key: value for key, value in fingerprint.items() if key != "settings"}  # its vocabulary is given now
    check_data(data.fingerprint, known, data.config.corpus)
    if not data.splits[split].tokens:
        where = f"dataset.split in {loaded.folder.config}"
        raise UserError(f"split={split}: this run's data has no {split} split ({where}); split=train is always there")
    return data


def _text(loaded: LoadedRun, recorded: TrainConfig, path: str) -> TextData:
    """Read any text as the run's dataset reads its own: encoding, cleaning, START and END."""
    corpus, whole = CorpusConfig(path=path, reader_version=READER_VERSION), SplitConfig(1.0, 0.0, 0.0)
    short = {} if recorded.dataset.windows == "samples" else {"sequence_length": 1}  # any text is long enough
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
    first = next(iter(report.scores.values()))
    scale = first.tokens / first.characters / math.log(2)
    rows = [
        *((name, score.loss, score.accuracy) for name, score in report.scores.items()),
        ("guessing by this text's frequencies", report.unigram, None),
        (f"guessing blindly, ln({report.vocabulary_size})", report.uniform, None),
    ]
    cells = [["", "nats/token", "bits/character", "accuracy", *(["perplexity"] if words else [])]]
    for name, nats, accuracy in rows:
        share = "" if accuracy is None else f"{100 * accuracy:.1f} %"
        cells.append([name, f"{nats:.4f}", f"{nats * scale:.4f}", share, *([f"{perplexity(nats):.1f}"] if words else [])])
    return table_lines(cells)
