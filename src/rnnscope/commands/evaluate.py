"""`rnnscope evaluate`: how well a run predicts a split of its data, or any text, against what guessing would score."""

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnscope.commands.compose import hydra_main
from rnnscope.runs.record import Record

BATCH = 32  # independent windows scored at a time


@dataclass
class Report:
    """Two protocols and two baselines over the same tokens; `unknown` is the share of UNK among them."""

    source: str
    carried: Any  # Score: the state carried over all of it, one column
    windows: Any  # Score: independent windows of `window` tokens from a zero state, tiling it
    window: int
    unigram: float  # nats per token of guessing by the text's own token frequencies
    vocabulary_size: int
    unknown: float

    @property
    def uniform(self) -> float:
        """Nats per token of guessing blindly: ln V."""
        return math.log(self.vocabulary_size)


def evaluate_run(config: dict[str, Any]) -> tuple[Any, Report]:
    """Score the run that `config` names; return it and the report."""
    from rnnscope.data.batches import StreamWindows, ZeroStateWindows
    from rnnscope.model.precision import resolve_device, resolve_precision
    from rnnscope.model.scoring import evaluate
    from rnnscope.runs.load import entropy, load

    loaded = load(config["run"], config["checkpoint"])
    stream, characters, given, source = _tokens(loaded, config)
    device = resolve_device("auto")
    model = loaded.model.to(device)
    precision = resolve_precision(config["precision"], device, model.cell, model.hidden_size)
    one_column = StreamWindows(stream, batch_size=1, sequence_length=min(1024, len(stream) - 1), given=given)
    tiles = ZeroStateWindows(stream, batch_size=BATCH, sequence_length=config["window"], given=given)
    counts = np.bincount(stream[1:], minlength=len(loaded.vocabulary))
    if given is not None:
        counts[given] = 0
    unk = loaded.vocabulary.unk
    return loaded, Report(
        source,
        evaluate(model, one_column, precision, characters),
        evaluate(model, tiles, precision, characters),
        config["window"],
        entropy(counts.tolist()),
        len(loaded.vocabulary),
        0.0 if unk is None else float(counts[unk] / counts.sum()),
    )


def _tokens(loaded: Any, config: dict[str, Any]) -> tuple[np.ndarray, int, int | None, str]:
    """Return the ids to score with START in front, the characters they stand for, the id that is given, what it is."""
    from rnnscope.errors import UserError

    if config["window"] < 1:
        raise UserError(f"window={config['window']} must be at least 1")
    if config["text"] is not None:
        return _text_tokens(loaded, config["text"])
    if config["split"] not in ("train", "val", "test"):
        raise UserError(f"split={config['split']} is unknown: choose train, val or test")
    return _split_tokens(loaded, config["split"])


def _split_tokens(loaded: Any, split: str) -> tuple[np.ndarray, int, int | None, str]:
    from rnnscope.errors import UserError

    data = _prepare(loaded, {})
    if not data.splits[split].tokens:
        raise UserError(f"split={split}: this run's data has no {split} split (dataset.split in {loaded.folder.config})")
    record = Record.read(loaded.folder.record) if loaded.folder.record.exists() else None
    if record and record.get("data.fingerprint.text", str) != data.fingerprint["text"]:
        print("warning: the text is not the one this run was trained on; it has changed since", file=sys.stderr)
    return data.stream(split), data.splits[split].characters, data.given, f"{split} split of {data.name}"


def _text_tokens(loaded: Any, path: str) -> tuple[np.ndarray, int, int | None, str]:
    """Read any text as the run's dataset reads its own: encoding, cleaning, START and END."""
    whole = {"corpus": {"path": path}, "split": {"train": 1.0, "val": 0.0, "test": 0.0}}
    data = _prepare(loaded, whole | {"batch_size": 1, "sequence_length": 1})
    return data.stream("train"), data.splits["train"].characters, data.given, path


def _prepare(loaded: Any, other: dict[str, Any]) -> Any:
    """Return the run's data, with `other` keys, encoded with the run's own vocabulary."""
    from rnnscope.commands.checked import checked
    from rnnscope.data.module import TextData
    from rnnscope.runs.folder import outputs_folder

    config, cache = checked(loaded.config, str(loaded.folder.config)), outputs_folder() / "cache"
    data = TextData(**config["dataset"] | other, seed=config["seed"], cache_dir=cache, vocabulary=loaded.vocabulary)
    return data.prepare()


def table(report: Report, words: bool) -> list[str]:
    """Return the report as lines: a row for each protocol and baseline."""
    scale = report.carried.tokens / report.carried.characters / math.log(2)
    rows = [
        ("state carried over all of it", report.carried.loss, report.carried.accuracy),
        (f"windows of {report.window} from a zero state", report.windows.loss, report.windows.accuracy),
        ("guessing by token frequency (unigram)", report.unigram, None),
        (f"guessing blindly, ln({report.vocabulary_size})", report.uniform, None),
    ]
    head = f"{'':<38} {'nats/token':>10} {'bits/character':>14} {'accuracy':>9}" + (f" {'perplexity':>11}" if words else "")
    lines = [head]
    for name, nats, accuracy in rows:
        share = "" if accuracy is None else f"{100 * accuracy:.1f} %"
        line = f"{name:<38} {nats:>10.4f} {nats * scale:>14.4f} {share:>9}"
        lines.append(line + (f" {math.exp(nats):>11.1f}" if words else ""))
    return lines


def run(config: dict[str, Any]) -> None:
    """Print the report."""
    from rnnscope.commands.screen import printable

    loaded, report = evaluate_run(config)
    score = report.carried
    print(f"run      {loaded.folder.path}, checkpoint {config['checkpoint']}")
    unknown = f"{100 * report.unknown:.2f} % unknown"
    print(f"scored   {printable(report.source)}: {score.tokens:,} tokens, {score.characters:,} characters, {unknown}\n")
    print("\n".join(table(report, loaded.vocabulary.level == "word")))


def main() -> int:
    return hydra_main("evaluate", run)
