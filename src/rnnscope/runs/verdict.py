"""Whether a run that was trained again is the same: its rows, samples and weights against the recorded ones."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, takewhile, zip_longest
from typing import Any

from rnnscope.runs.environment import environment_differences, machine_differences
from rnnscope.runs.files import sha256_of
from rnnscope.runs.first_difference import Difference, by_step, row_difference
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.journal import Row, read_rows
from rnnscope.runs.record import Record
from rnnscope.runs.samples import Sample, read_samples
from rnnscope.runs.segments import segments_of

IDENTICAL, TOLERATED, DIVERGED = "bit-identical", "equal within tolerance", "diverged"
STATUS = {IDENTICAL: 0, TOLERATED: 3, DIVERGED: 1}  # exit statuses
FIRST_LOSSES = 20  # rows with a training loss that must agree within LOSS_TOLERANCE
DIFFERENT = "  different: "  # begins the line of a cause
LOSS_TOLERANCE = 1e-4  # nats per token
BEST_TOLERANCE = 0.01  # nats per token, of the best validation loss


@dataclass
class Comparison:
    """What a comparison of two runs found."""

    steps: int = 0  # the last step that both have
    rows: int = 0
    same_rows: int = 0
    samples: int = 0
    differences: list[Difference] = field(default_factory=list[Difference])  # the first of each row
    losses: list[Difference] = field(default_factory=list[Difference])  # the first training losses, and the best loss
    columns: list[str] = field(default_factory=list[str])  # that both have; the others are not compared
    left_out: list[str] = field(default_factory=list[str])  # lines on what was not compared
    rejoined: bool = False  # an equal row after a different one: numbers that drift apart never meet again
    same_weights: bool | None = None  # None if one of them has no final weights

    @property
    def altered(self) -> bool:
        """Whether the difference cannot be drift, because the training itself came out the same."""
        return self.rejoined or bool(self.differences and self.same_weights)


def compare(parent: RunFolder, child: RunFolder, until: int | None) -> Comparison:
    """Compare metrics.csv, samples.jsonl and the weights' hashes of two runs, up to step `until`.

    Raises:
        UserError: if a file is missing or not what rnnscope writes.
    """
    found, cut = Comparison(), broken_off(parent)
    _compare_rows(found, rows_of(parent, until), rows_of(child, until), cut)
    _compare_samples(found, read_samples(parent.samples, until), read_samples(child.samples, until), cut)
    found.differences.sort(key=lambda difference: difference.step)
    if until is None:
        found.same_weights = _same_weights(Record.read(parent.record), Record.read(child.record))
    return found


def broken_off(run: RunFolder) -> int | None:
    """Return the step after which a run was stopped, perhaps before its validation or samples; None if it ended by itself."""
    record = Record.read(run.record)
    if record.values.get("status") == "interrupted":
        return record.get("progress.step", int)
    unfinished = record.values.get("status") in ("running", "failed")
    return max((int(row["step"]) for row in read_rows(run.metrics)), default=None) if unfinished else None


def _same_weights(parent: Record, child: Record) -> bool | None:
    """Whether the final weights are equal; None if the parent has none because it was killed or failed."""
    old, new = parent.get("weights_sha256", str), child.get("weights_sha256", str)
    if old is None or new is None or parent.values.get("status") not in ("finished", "interrupted", "diverged"):
        return None
    return old == new


def check_comparable(run: RunFolder) -> None:
    """Read all that a run will be compared by, before time is spent on training it again.

    Raises:
        UserError: if a file is missing or not what rnnscope writes.
    """
    for _ in chain(rows_of(run, None), read_samples(run.samples)):
        pass


def rows_of(run: RunFolder, until: int | None) -> Iterator[Row]:
    """Yield the rows of metrics.csv up to step `until`."""
    rows = read_rows(run.metrics)
    return rows if until is None else takewhile(lambda row: int(row["step"]) <= until, rows)


def _compare_rows(found: Comparison, recorded: Iterator[Row], now: Iterator[Row], cut: int | None) -> None:
    best = None
    for old, new in by_step(recorded, now):
        if old is None and new and int(new["step"]) == cut:
            continue
        found.rows += 1
        if old is None or new is None:
            step, there = int((old or new or {})["step"]), ["there" if row else "none" for row in (old, new)]
            found.differences.append(Difference(step, "a row", *there))
            continue
        if not found.columns:
            _compare_headers(found, old, new)
        found.steps = int(old["step"])
        first = row_difference(old, new, found.columns)
        if first is None:
            found.same_rows += 1
            found.rejoined |= bool(found.differences)
        else:
            found.differences.append(first)
        if "train/loss" in found.columns and old["train/loss"] and len(found.losses) < FIRST_LOSSES:
            found.losses.append(Difference(found.steps, "train/loss", old["train/loss"], new["train/loss"]))
        if "best/loss" in found.columns and old["best/loss"]:
            best = Difference(found.steps, "best/loss", old["best/loss"], new["best/loss"])
    found.losses += [best] if best else []


def _compare_headers(found: Comparison, old: Row, new: Row) -> None:
    found.columns = [column for column in old if column in new]
    for run, own, other in (("recorded", old, new), ("new", new, old)):
        if lone := [column for column in own if column not in other]:
            found.left_out.append(f"  not compared: {', '.join(lone)}: only the {run} run has this column of metrics.csv")


def _compare_samples(found: Comparison, recorded: Iterator[Sample], now: Iterator[Sample], cut: int | None) -> None:
    left_out = False
    for old, new in zip_longest(recorded, now):
        if old is None and new and new.step == cut:
            continue
        if old and new and old.several != new.several:
            left_out = True
            continue
        found.samples += 1
        if old != new:
            step = next(sample.step for sample in (old, new) if sample)
            texts = [repr(sample.text[:40]) if sample else "none" for sample in (old, new)]
            found.differences.append(Difference(step, "a sample", *texts))
    if left_out:
        found.left_out.append("  not compared: samples of one text with samples of several: an older rnnscope wrote one")


@dataclass(frozen=True)
class Verdict:
    """The verdict of `reproduce`, and the lines that explain it."""

    kind: str
    lines: list[str]

    @property
    def status(self) -> int:
        return STATUS[self.kind]


def judge(parent: RunFolder, child: RunFolder, until: int | None, deterministic: bool) -> Verdict:
    """Return the verdict on `child`, which repeated `parent` up to step `until`.

    Numbers may drift within a tolerance on different hardware, with different packages or code, or with nondeterministic
    kernels. If nothing differs, anything but equal bits is a divergence.
    """
    found, causes = compare(parent, child, until), causes_of(parent, child)
    weights = "" if found.same_weights is None else ", the same weights" if found.same_weights else ", different weights"
    if not found.differences and found.same_weights is not False:
        counted = f"{found.same_rows} of {found.rows} rows up to step {found.steps}, {found.samples} samples{weights}"
        return Verdict(IDENTICAL, [f"verdict: {IDENTICAL}", f"  {counted}", *found.left_out])
    altered = found.altered and not _rounds_differently(causes)
    may_drift = (causes or not deterministic) and not altered
    largest = max(found.losses, key=lambda loss: loss.size, default=None)
    if may_drift and largest and all(loss.size <= tolerance(loss) for loss in found.losses):
        where = f"largest difference {largest.size:.2g} nats, {largest.what} at step {largest.step}"
        first = found.differences[0].step if found.differences else found.steps
        line = f"  {where}; not the same bits from step {first} on"
        return Verdict(TOLERATED, [f"verdict: {TOLERATED}", line, *found.left_out, *causes])
    return _diverged(found, causes, altered)


def _rounds_differently(causes: list[str]) -> bool:
    """Whether a different processor or torch may round even the losses of the same weights in its own way."""
    return any(cause.removeprefix(DIFFERENT).startswith(("cpu ", "gpus ", "device ", "torch ")) for cause in causes)


def tolerance(loss: Difference) -> float:
    """Return by how many nats a loss may differ."""
    return BEST_TOLERANCE if loss.what == "best/loss" else LOSS_TOLERANCE


def _diverged(found: Comparison, causes: list[str], altered: bool) -> Verdict:
    if not found.differences:
        where = Difference(found.steps, "the final weights", "one hash", "another")
    else:
        where = found.differences[0]
    line = f"  {where.what}: {where.recorded} recorded, {where.now} now; {found.same_rows} of {found.rows} rows are the same"
    if altered:
        causes = ["  the training came out the same: was a file of the run changed?", *causes]
    elif not causes:
        causes = ["  code, packages, hardware, threads and data are the same: was a file of the run changed?"]
    return Verdict(DIVERGED, [f"verdict: {DIVERGED} at step {where.step}", line, *found.left_out, *causes])


def causes_of(parent: RunFolder, child: RunFolder) -> list[str]:
    """Return the differences between two runs besides their numbers, one line each, the likeliest cause first.

    That is the processor: each kind rounds in its own way, and results drift apart from there.
    """
    old, new = Record.read(parent.record), Record.read(child.record)
    causes: list[str] = []
    if old.values.get("git_commit") == new.values.get("git_commit") and _patch_hash(parent) != _patch_hash(child):
        causes.append("the uncommitted changes of the code (code.patch)")
    if _extensions(old) != _extensions(new):
        causes.append("the code that callbacks, logger, callback_classes or plugins named on the command line")
    causes += machine_differences(*(record.get("resolved", dict, {}) for record in (old, new)))
    causes += environment_differences(old.values, new.values)
    causes.sort(key=lambda cause: not cause.startswith(("device ", "gpus " if _on_gpu(new) else "cpu ")))
    return [f"{DIFFERENT}{cause}" for cause in [*causes, *_changed_on_the_way(old)]]


def _on_gpu(record: Record) -> bool:
    return record.get("resolved.device", str) == "cuda"


def _changed_on_the_way(record: Record) -> list[str]:
    """Return the changes of code, packages or hardware when a run was resumed."""
    return [
        f"{what}, when the recorded run continued from step {segment['from_step']}"
        for segment in segments_of(record)
        for what in segment.get("environment", [])
    ]


def _extensions(record: Record) -> list[dict[str, Any]]:
    """Return the extensions in all segments, without repetitions."""
    found: list[dict[str, Any]] = []
    for segment in segments_of(record):
        if "extensions" in segment and segment["extensions"] not in found:
            found.append(segment["extensions"])
    return found


def _patch_hash(run: RunFolder) -> str:
    return sha256_of(run.patch) if run.patch.is_file() else ""
