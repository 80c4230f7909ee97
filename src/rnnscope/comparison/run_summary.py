"""The summary of a run, from run.json and the end of metrics.csv alone.

The files may come from an unknown source: everything is checked for its type and size.
"""

import json
import math
import os
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from rnnscope.comparison.curves import finite
from rnnscope.errors import UserError
from rnnscope.runs.expectation import VERDICTS
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.journal import newest_rows
from rnnscope.runs.marks import read_marks
from rnnscope.runs.plain_values import is_mapping
from rnnscope.runs.record import KILLED, Record, status_of
from rnnscope.runs.safe_files import check_plain

RECORD_LIMIT = 1_000_000  # bytes of run.json; a usual one has ten thousand
TEXT_LIMIT = 10_000  # characters of a value
KEY_LIMIT = 2_000  # config keys; a usual config has eighty
MOST_UNKNOWN = 0.01  # share of UNK up to which losses on a text compare with those without UNK, which is easy to predict
TOKENS_PER_CHARACTER = "tokens_per_character"
UNFINISHED = ("running", KILLED)  # statuses of runs whose record lacks the final metrics
NUMBERS = {  # facts, and their keys in run.json
    "steps": "progress.step",
    "total_steps": "progress.total",
    "time": "progress.seconds",
    "best_step": "best.step",
    "parameters": "parameters",
    "threads": "resolved.threads",
}
TEXTS = {"started": "started", "device": "resolved.device", "precision": "resolved.precision"}

Value = str | int | float | bool | list | None


@dataclass(frozen=True)
class Summary:
    """One run: `facts` and `config` by column, `text` identifies its validation text, `files` all files of its texts.

    `complaint`: a problem with the files of the run.

    Unknown facts are None. `time` is in seconds of training and `tokens_per_second` an average over it, both without pauses;
    `loss` and `bits_per_character` are the best on the validation split; `claims` are the verdicts on those of the experiment.
    The newest value of each tag in metrics.csv is a fact as well.
    """

    folder: RunFolder
    facts: dict[str, Value]
    config: dict[str, Value]
    text: tuple[str, ...] = ()
    complaint: str | None = None
    files: str = ""

    @property
    def name(self) -> str:
        return str(self.facts["run"])

    def value(self, column: str) -> Value:
        """Return the value in a column, or None if the run has none."""
        return self.facts[column] if column in self.facts else self.config.get(column)

    def has(self, column: str) -> bool:
        """Whether the run has a value in a column; null in its config counts."""
        return column in self.config or self.facts.get(column) is not None

    def number(self, fact: str) -> int | float | None:
        """Return a fact if it is a number, else None."""
        value = self.facts.get(fact)
        return value if isinstance(value, int | float) else None


def summarize(folder: RunFolder, name: str) -> Summary:
    """Read one run.

    Raises:
        UserError: if its run.json is missing or not what rnnscope writes.
    """
    if not os.path.lexists(folder.record):
        raise UserError(
            f"{folder.record} is missing, and comparing needs it: give a different run (rnnscope's examples come without it)"
        )
    check_plain(folder.record, RECORD_LIMIT)
    record = Record.read(folder.record)
    facts: dict[str, Value] = {"run": name, "folder": str(folder.path), "status": status_of(record)}
    facts |= {fact: _number(record, key) for fact, key in NUMBERS.items()}
    facts |= {fact: _text(record, key) for fact, key in TEXTS.items()}
    facts["parent"] = _text(record, "parent.path")
    facts["reproduces"] = facts["parent"] if record.get("parent.reproduced", bool) else None
    facts["verdict"] = _text(record, "verdict.kind")
    marked, odd = _marks(folder)
    config = _config(record)
    newest, complaint = _newest(folder, facts, config)
    tags = _numbers(record.get("last", dict, {}))  # as of its last end; a resumed run has newer ones in metrics.csv
    tags = {**tags, **newest} if facts["status"] in UNFINISHED else {**newest, **tags}
    facts["bits_per_character"], facts["loss"] = tags.get("best/bits_per_character"), tags.get("best/loss")
    facts["tokens_per_second"], facts["claims"] = _speed(newest, facts), _claims(record)
    for split in ("train", "val"):
        tokens, characters = (_number(record, f"data.splits.{split}.{key}") for key in ("tokens", "characters"))
        facts[f"{split}/{TOKENS_PER_CHARACTER}"] = tokens / characters if tokens and characters else None
    files = _text(record, "data.fingerprint.text") or ""
    return Summary(folder, {**tags, **facts, **marked}, config, _validated_on(record, config, files), complaint or odd, files)


def with_known_texts(runs: list[Summary]) -> list[Summary]:
    """Return the runs, of which those of older versions have the text of a newer run that has the same files and sizes."""
    found: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for run in runs:
        if run.text[:1] != (run.files,):
            found.setdefault((run.files, *run.text[1:]), set()).add(run.text)
    known = {before: texts.pop() for before, texts in found.items() if len(texts) == 1}
    return [replace(run, text=known.get(run.text, run.text)) for run in runs]


def _marks(folder: RunFolder) -> tuple[dict[str, Value], str | None]:
    """Return the tags and the note of a run, and the problem with their file, if any."""
    try:
        marks = read_marks(folder)
    except UserError as error:
        return {}, str(error)
    return {"tags": list(marks.tags) or None, "note": marks.note}, None


def _claims(record: Record) -> str | None:
    """Return the verdicts on the claims of a run: `held`, or `2 held, 1 not judged`; None if it has no claims."""
    verdicts = [claim.get("verdict") for claim in record.get("claims", list, []) if is_mapping(claim)]
    counts = Counter(verdict for verdict in verdicts if verdict in VERDICTS)
    return ", ".join(f"{count} {verdict}" if len(verdicts) > 1 else verdict for verdict, count in counts.items()) or None


def _number(record: Record, key: str) -> int | float | None:
    value = record.get(key, object)
    if value is None or (type(value) is float and not math.isfinite(value)):
        return None
    if type(value) not in (int, float) or abs(value) > 2**63:
        raise UserError(f"{record.path}: {key} is {str(value)[:40]!r}, not a number; this is not a record of rnnscope")
    return value


def _text(record: Record, key: str) -> str | None:
    text = record.get(key, str)
    return None if text is None else text[:TEXT_LIMIT]


def _numbers(values: dict[str, Any]) -> dict[str, Value]:
    """Return the finite numbers in `values`; a diverged run has others."""
    kept = ((key, value) for key, value in list(values.items())[:KEY_LIMIT] if type(value) in (int, float))
    return {key: value for key, value in kept if abs(value) < 2**1000}


def _config(record: Record) -> dict[str, Value]:
    config = record.get("config", dict, {})
    if len(config) > KEY_LIMIT:
        raise UserError(f"{record.path}: config has {len(config):,} keys; this is not a record of rnnscope")
    return {key[:TEXT_LIMIT]: _tame(value) for key, value in config.items()}


def _tame(value: Any) -> Value:
    """Return a config value; nested ones become text, which takes less memory than a page of empty lists."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool) or (isinstance(value, int | float) and abs(value) < 2**1000):
        return value
    if isinstance(value, list) and len(value) <= 100 and all(type(item) in (str, int, float, bool) for item in value):
        return [item[:TEXT_LIMIT] if isinstance(item, str) else item for item in value]
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:TEXT_LIMIT]


def _validated_on(record: Record, config: dict[str, Value], files: str) -> tuple[str, ...]:
    """Return what must be equal for two validation losses to be comparable: the text's hash, and its size in words.

    Runs of older versions, and those without a val text, have one of all files instead.
    """
    sizes = ("characters", "unknown", "tokens")
    characters, unknown, tokens = (_number(record, f"data.splits.val.{key}") or 0 for key in sizes)
    first, level = config.get("trainer.val_tokens"), config.get("dataset.level")
    all_of_it = config.get("dataset.windows") == "samples" or (isinstance(first, int) and first >= tokens)
    first = None if all_of_it else first  # samples are always all validated
    parts = [f"{characters:,} characters", f"first {first} {level} tokens" if first else ""]
    parts.append(f"{unknown:,} of {tokens:,} tokens unknown" if unknown > MOST_UNKNOWN * tokens else "")
    text = _text(record, "data.splits.val.text_sha256") if tokens else None
    return (text or files, *filter(None, parts))


def _newest(folder: RunFolder, facts: dict[str, Value], config: dict[str, Value]) -> tuple[dict[str, Value], str | None]:
    """Return the newest values in metrics.csv back to the last validation, and the problem with its end, if any."""
    values: dict[str, Value] = {}
    try:
        rows, whole = newest_rows(folder.metrics)
        for row in rows:
            values = {key: finite(cell) for key, cell in row.items() if cell} | values
            if "best/loss" in values:
                break
    except UserError as error:
        return values, str(error)
    return values, _what_lacks(folder, values.get("step"), whole, facts, config)


def _what_lacks(folder: RunFolder, last: Value, whole: bool, facts: dict[str, Value], config: dict[str, Value]) -> str | None:
    """Return what metrics.csv lacks compared with run.json; a killed process may leave half a line."""
    steps, every = facts["steps"], config.get("monitor.scalars_every")
    if facts["status"] in (*UNFINISHED, "failed") or not isinstance(steps, int | float) or not steps:
        return None
    if not whole:
        return f"{folder.metrics} breaks off in the middle of a line"
    last = last if isinstance(last, int | float) else 0
    tolerated = 1 if facts["status"] == "interrupted" else 0  # its last row is written when it is resumed
    missing = isinstance(every, int | float) and steps - last >= every + tolerated
    return f"{folder.metrics} ends at step {last:.0f}, the run at step {steps:.0f}" if missing else None


def _speed(newest: dict[str, Value], facts: dict[str, Value]) -> float | None:
    """Return the tokens per second over all of training; a single interval may include a validation."""
    tokens, at, steps, seconds = newest.get("tokens"), newest.get("step"), facts["steps"], facts["time"]
    known = [value for value in (tokens, at, steps, seconds) if isinstance(value, int | float) and value > 0]
    return known[0] / known[1] * known[2] / known[3] if len(known) == 4 else None
