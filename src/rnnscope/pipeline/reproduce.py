"""Training a run again from its folder alone, in a new folder, and judging whether the result is the same."""

import os
import re
import shlex
from dataclasses import asdict, replace
from pathlib import Path

from rnnscope.config.changes import with_changes
from rnnscope.config.places import moved_to
from rnnscope.config.schema import ExtensionsConfig, TrainConfig
from rnnscope.config.validate import filled_in, from_plain, recorded_config
from rnnscope.errors import UserError, check_least
from rnnscope.paths import outputs_folder
from rnnscope.pipeline.console import Console
from rnnscope.pipeline.extensions import extension_changes
from rnnscope.pipeline.fit import fit
from rnnscope.pipeline.options import Job, RunOptions, StopAt
from rnnscope.pipeline.ranks import together
from rnnscope.pipeline.resume import recorded_of, resume_run
from rnnscope.runs.distributions import distribution_lines
from rnnscope.runs.environment import SOURCE, git_commit, git_patch, recorded_patch
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.record import Record, parent_entry
from rnnscope.runs.segments import Segment, cut_segments, differences, flatten, trained_segments
from rnnscope.runs.snapshot import read_vocabulary
from rnnscope.runs.verdict import Verdict, check_comparable, judge, read_rows


def reproduce(
    parent: RunFolder,
    until: int | None = None,
    data: str | None = None,
    extensions: ExtensionsConfig | None = None,
    job: Job | None = None,
) -> tuple[RunFolder, Verdict]:
    """Train `parent` again, up to step `until`, and return the new run's folder and the verdict.

    Args:
        data: the path of its text, if that has moved.
        job: set if this is a job of a sweep: a reproduction in its folder that was stopped is continued. Otherwise, the new
            run is created in the folder of `parent`, or under outputs/runs/ if that folder is not ours to write in.

    Raises:
        UserError: if the folder is incomplete, or the text is missing or has changed.
    """
    asked, record = extensions or ExtensionsConfig(), Record.read(parent.record)
    config = recorded_config(parent, record)
    check_comparable(parent)
    stop, looked = end_of(parent, record)
    check_until(parent, until, stop)
    until = None if until is None else int(until)  # Python's callers may give a number of NumPy
    segments = trained_segments(asdict(config), record, stop, looked)
    cut = cut_segments(segments, stop if until is None else until)
    if not cut:
        raise UserError(f"{parent.path} has no trained step to compare with")
    moved = moved_to(config.dataset.corpus, data)
    configs = [with_changes(from_plain(segment.config, str(parent.config)), moved) for segment in cut]
    with together(config.trainer) as rendezvous:
        with Console(quiet=job is not None) as console:
            changes = [f"warning: {line}" for line in extension_changes(record, asked)]
            for line in [*machine_lines(parent, record), *filled_in(parent, record), *changes]:
                console.say(line)
        told = RunOptions(extensions=asked, rendezvous=rendezvous, job=job, under=place_under(parent))
        child = train_segments(parent, record, list(zip(cut, configs, strict=True)), until, told)
    whole = cut == segments
    verdict = judge(parent, child, None if whole else cut[-1].stop, config.trainer.deterministic)
    kept = {"kind": verdict.kind, "until": None if whole else cut[-1].stop, "lines": verdict.lines}
    Record.read(child.record).update(verdict=kept)
    return child, verdict


def check_until(parent: RunFolder, until: int | None, stop: int) -> None:
    """Raise a `UserError` unless the run, which ended at step `stop`, recorded a step up to `until`."""
    check_least("until", until, 1)
    if until is not None and (first := next((int(row["step"]) for row in read_rows(parent.metrics)), stop)) > until:
        raise UserError(f"until={until}: {parent.path} recorded nothing to compare with before step {first}; use until={first}")


def end_of(parent: RunFolder, record: Record) -> tuple[int, bool]:
    """Return the last step that `parent` recorded, and whether the run ended there, so that it was validated and sampled."""
    if record.values.get("status") in ("running", "failed"):  # its rows continue after the last checkpoint
        return max((int(row["step"]) for row in read_rows(parent.metrics)), default=0), False
    return record.get("progress.step", int, 0), record.values.get("status") == "finished"


def place_under(parent: RunFolder) -> Path | None:
    """Return the folder for reproductions of `parent`, or None if it is not in our outputs folder."""
    ours = parent.path.resolve().is_relative_to(outputs_folder().resolve()) and os.access(parent.path, os.W_OK)
    return parent.reproductions if ours else None


def train_segments(
    parent: RunFolder, record: Record, segments: list[tuple[Segment, TrainConfig]], until: int | None, told: RunOptions
) -> RunFolder:
    """Train the segments that `parent` went through and return the run folder; one that was begun is continued."""
    child = RunFolder(told.job.folder) if told.job and (told.job.folder / "run.json").exists() else None
    for segment, config in left_of(segments, child):
        recorded = recorded_of(record, segment.resolved)
        if config.init_from is not None:
            recorded = replace(recorded, vocabulary=read_vocabulary(parent))
        stop = StopAt(segment.stop, segment.looked, segment.stop == until, last=segment is segments[-1][0])
        options = replace(told, recorded=recorded, stop=stop, parent=parent_entry(record, reproduced=True))
        if child is None:
            result = fit(config, record.get("name", str), options=options)
        else:
            plain, before = asdict(config), asdict(recorded_config(child, Record.read(child.record)))
            changed = {key: flatten(plain).get(key) for key in differences(before, plain)}
            result = resume_run(child, changed, options)
        child = result.run
        if result.status == "diverged":
            break
        if result.status == "interrupted" and result.step < segment.stop:
            raise KeyboardInterrupt
    assert child is not None
    return child


def left_of(segments: list[tuple[Segment, TrainConfig]], child: RunFolder | None) -> list[tuple[Segment, TrainConfig]]:
    """Return the segments that a reproduction still has to train; also the last one if its end was not recorded."""
    if child is None:
        return segments
    record = Record.read(child.record)
    step, status = record.get("progress.step", int, 0), record.values.get("status")
    last, _ = segments[-1]
    if status == "diverged" or (step >= last.stop and (status == "finished" or not last.looked)):
        return []
    return [pair for pair in segments if pair[0].stop > step] or segments[-1:]


def machine_lines(parent: RunFolder, record: Record) -> list[str]:
    """Return lines on how to get back the code and packages of a run, if they differ."""
    return [*code_lines(parent, record), *distribution_lines(parent)]


def code_lines(parent: RunFolder, record: Record) -> list[str]:
    """Return lines on how to get back the code of a run, if it differs."""
    commit, patch = record.get("git_commit", str), recorded_patch(parent)
    if commit is None or (commit == git_commit() and patch == git_patch()):
        return []
    if not re.fullmatch(r"[0-9a-f]{7,64}", commit):
        return ["warning: the run's git_commit is not a commit, so its code is not known"]
    git = f"git -C {shlex.quote(str(SOURCE))}"
    head = "the code differs from that of the run; to get it back, with your own changes kept in git stash:"
    lines = [head, f"  {git} stash -u", f"  {git} checkout {commit}"]
    return [*lines, *([f"  {git} apply {shlex.quote(str(parent.patch.resolve()))}"] if patch else [])]
