"""Training a run again from its folder alone, in a new folder, and judging whether it is the same."""

import re
import shlex
from dataclasses import asdict, replace

from rnnscope.config.changes import with_changes
from rnnscope.config.places import moved_to
from rnnscope.config.schema import ExtensionsConfig, TrainConfig
from rnnscope.config.validate import filled_in, from_plain, recorded_config
from rnnscope.errors import UserError
from rnnscope.pipeline.console import Console
from rnnscope.pipeline.extensions import extension_changes
from rnnscope.pipeline.fit import fit
from rnnscope.pipeline.options import RunOptions, StopAt
from rnnscope.pipeline.ranks import together
from rnnscope.pipeline.resume import recorded_of, resume_run
from rnnscope.runs.environment import SOURCE, git_commit, git_patch
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.record import Record, parent_entry
from rnnscope.runs.segments import Segment, cut_segments, differences, flatten, trained_segments
from rnnscope.runs.snapshot import read_vocabulary
from rnnscope.runs.verdict import Verdict, check_comparable, judge, read_rows


def reproduce(
    parent: RunFolder, until: int | None = None, data: str | None = None, extensions: ExtensionsConfig | None = None
) -> tuple[RunFolder, Verdict]:
    """Train `parent` again, up to step `until`, and return the new run's folder and the verdict.

    Args:
        data: where its text lies now, if it has moved.

    Raises:
        UserError: when the folder does not say how, or its text is not to be had.
    """
    asked, record = extensions or ExtensionsConfig(), Record.read(parent.record)
    config = recorded_config(parent, record)
    check_comparable(parent)
    stop, looked = end_of(parent, record)
    if until is not None and until < 1:
        raise UserError(f"until={until} must be at least 1")
    segments = trained_segments(asdict(config), record, stop, looked)
    cut = cut_segments(segments, stop if until is None else until)
    if not cut:
        raise UserError(f"{parent.path} has no trained step to compare with")
    moved = moved_to(config.dataset.corpus, data)
    configs = [with_changes(from_plain(segment.config, str(parent.config)), moved) for segment in cut]
    with together(config.trainer) as rendezvous:
        with Console() as console:
            changes = extension_changes(record, asked)
            for line in [*code_lines(parent, record), *filled_in(parent, record), *(f"warning: {line}" for line in changes)]:
                console.say(line)
        told = RunOptions(extensions=asked, rendezvous=rendezvous)
        child = train_segments(parent, record, list(zip(cut, configs, strict=True)), until, told)
    whole = cut == segments
    verdict = judge(parent, child, None if whole else cut[-1].stop, config.trainer.deterministic)
    told = Record.read(child.record)
    told.update(verdict={"kind": verdict.kind, "until": None if whole else cut[-1].stop, "lines": verdict.lines})
    return child, verdict


def end_of(parent: RunFolder, record: Record) -> tuple[int, bool]:
    """Return the last step that `parent` recorded, and whether it was its end: then validated and sampled."""
    if record.values.get("status") in ("running", "failed"):  # it was killed: its rows go on after the last checkpoint
        return max((int(row["step"]) for row in read_rows(parent.metrics)), default=0), False
    return record.get("progress.step", int, 0), record.values.get("status") == "finished"


def train_segments(
    parent: RunFolder, record: Record, segments: list[tuple[Segment, TrainConfig]], until: int | None, told: RunOptions
) -> RunFolder:
    """Train a new run through the stretches that `parent` went through and return its folder."""
    result, before = None, {}
    for segment, config in segments:
        recorded = recorded_of(record, segment.resolved)
        if config.init_from is not None:
            recorded = replace(recorded, vocabulary=read_vocabulary(parent))
        stop = StopAt(segment.stop, segment.looked, segment.stop == until)
        options = replace(told, recorded=recorded, stop=stop, parent=parent_entry(record, reproduced=True))
        plain = asdict(config)
        if result is None:
            result = fit(config, record.get("name", str), options=options)
        else:
            changed = {key: flatten(plain).get(key) for key in differences(before, plain)}
            result = resume_run(result.run, changed, options)
        if result.status == "diverged":
            break
        if result.status == "interrupted" and result.step < segment.stop:
            raise KeyboardInterrupt
        before = plain
    assert result is not None
    return result.run


def code_lines(parent: RunFolder, record: Record) -> list[str]:
    """Return what to say when the code differs from what the run was trained with: the way back to it."""
    commit = record.get("git_commit", str)
    patch = parent.patch.read_text(encoding="utf-8", errors="surrogateescape") if parent.patch.is_file() else ""
    if commit is None or (commit == git_commit() and patch == git_patch()):
        return []
    if not re.fullmatch(r"[0-9a-f]{7,64}", commit):
        return ["warning: the run's git_commit is not a commit; its code is not known"]
    git = f"git -C {shlex.quote(str(SOURCE))}"
    lines = [
        "the code differs from that of the run; to get it back, with your own changes kept in git stash:",
        f"  {git} stash -u",
    ]
    lines.append(f"  {git} checkout {commit}")
    return [*lines, *([f"  {git} apply {shlex.quote(str(parent.patch.resolve()))}"] if patch else [])]
