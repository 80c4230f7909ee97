"""Training a run again from its folder alone, in a new folder, and judging whether it is the same."""

import re
import shlex
from dataclasses import asdict, replace
from pathlib import Path

from rnnscope.config.schema import TrainConfig
from rnnscope.config.validate import filled_in, from_plain, recorded_config
from rnnscope.errors import UserError
from rnnscope.pipeline.console import Console
from rnnscope.pipeline.fit import fit
from rnnscope.pipeline.options import RunOptions, StopAt
from rnnscope.pipeline.resume import recorded_of, resume_run
from rnnscope.runs.environment import SOURCE, git_commit, git_patch
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.record import Record, parent_entry
from rnnscope.runs.segments import Segment, cut_segments, differences, flatten, trained_segments
from rnnscope.runs.snapshot import read_vocabulary
from rnnscope.runs.verdict import Verdict, check_comparable, judge, read_rows
from rnnscope.training.distributed.processes import is_follower


def reproduce(parent: RunFolder, until: int | None = None, text: str | None = None) -> tuple[RunFolder, Verdict]:
    """Train `parent` again, up to step `until`, and return the new run's folder and the verdict.

    Raises:
        UserError: when the folder does not say how, or its text is not to be had.
    """
    record = Record.read(parent.record)
    config = recorded_config(parent, record)
    check_comparable(parent)
    stop, looked = end_of(parent, record)
    if until is not None and until < 1:
        raise UserError(f"until={until} must be at least 1")
    segments = trained_segments(asdict(config), record, stop, looked)
    cut = cut_segments(segments, stop if until is None else until)
    if not cut:
        raise UserError(f"{parent.path} has no trained step to compare with")
    follows = is_follower(config.trainer)
    with Console(quiet=follows) as console:
        for line in [*code_lines(parent, record), *filled_in(parent, record)]:
            console.say(line)
    child = train_segments(
        parent, record, [(segment, at(from_plain(segment.config, str(parent.config)), text)) for segment in cut]
    )
    if follows:  # the verdict is for process 0 to give
        raise SystemExit(0)
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


def at(config: TrainConfig, text: str | None) -> TrainConfig:
    """Return the config with its text at another path; files beside it are looked for beside it."""
    if text is None:
        return config
    corpus = config.dataset.corpus
    if corpus.packages:
        raise UserError(f"text={text}: this run was trained on packages ({', '.join(corpus.packages)}), not on a file")
    beside = {
        key: str(Path(text).with_name(Path(path).name))
        for key, path in {"val_path": corpus.val_path, "test_path": corpus.test_path}.items()
        if path is not None
    }
    moved = replace(corpus, path=text, **beside, url=None, val_url=None, test_url=None)
    return replace(config, dataset=replace(config.dataset, corpus=moved))


def train_segments(parent: RunFolder, record: Record, segments: list[tuple[Segment, TrainConfig]]) -> RunFolder:
    """Train a new run through the stretches that `parent` went through and return its folder."""
    result, before = None, {}
    for segment, config in segments:
        recorded = recorded_of(record, segment.resolved)
        if config.init_from is not None:
            recorded = replace(recorded, vocabulary=read_vocabulary(parent))
        options = RunOptions(recorded, StopAt(segment.stop, segment.looked), parent=parent_entry(record, reproduced=True))
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
