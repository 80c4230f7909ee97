"""Training a run again from its folder alone, in a new folder, and judging whether it is the same."""

import re
import shlex
from typing import Any


def reproduce(parent: Any, until: int | None = None, text: str | None = None) -> tuple[Any, Any]:
    """Train `parent` again, up to step `until`, and return the new run's folder and the verdict.

    Raises:
        UserError: when the folder does not say how, or its text is not to be had.
    """
    from rnnscope.config.validate import checked, filled_in, recorded_config
    from rnnscope.errors import UserError
    from rnnscope.pipeline.console import Screen
    from rnnscope.runs.record import Record
    from rnnscope.runs.segments import cut_segments, trained_segments
    from rnnscope.runs.verdict import check_comparable, judge
    from rnnscope.training.distributed.processes import is_follower

    record = Record.read(parent.record)
    config = recorded_config(parent, record)
    check_comparable(parent)
    stop, looked = end_of(parent, record)
    if until is not None and until < 1:
        raise UserError(f"until={until} must be at least 1")
    legs = trained_segments(config, record, stop, looked)
    cut = cut_segments(legs, stop if until is None else until)
    if not cut:
        raise UserError(f"{parent.path} has no trained step to compare with")
    follows = is_follower(config)
    with Screen(quiet=follows) as screen:
        for line in [*code_lines(parent, record), *filled_in(parent, record)]:
            screen.say(line)
    child = train_legs(parent, record, [(leg, checked(at(leg.config, text), str(parent.config))) for leg in cut])
    if follows:  # the verdict is for process 0 to give
        raise SystemExit(0)
    whole = cut == legs
    verdict = judge(parent, child, None if whole else cut[-1].stop, config["trainer"]["deterministic"])
    told = Record.read(child.record)
    told.update(verdict={"kind": verdict.kind, "until": None if whole else cut[-1].stop, "lines": verdict.lines})
    return child, verdict


def end_of(parent: Any, record: Any) -> tuple[int, bool]:
    """Return the last step that `parent` recorded, and whether it was its end: then validated and sampled."""
    from rnnscope.runs.journal import read_rows

    if record.values.get("status") in ("running", "failed"):  # it was killed: its rows go on after the last checkpoint
        return max((int(row["step"]) for row in read_rows(parent.metrics)), default=0), False
    return record.get("progress.step", int, 0), record.values.get("status") == "finished"


def at(config: dict[str, Any], text: str | None) -> dict[str, Any]:
    """Return the config with its text at another path; files beside it are looked for beside it."""
    from pathlib import Path

    from rnnscope.errors import UserError
    from rnnscope.runs.segments import with_value

    if text is None:
        return config
    corpus = config["dataset"]["corpus"]
    if corpus["packages"]:
        raise UserError(f"text={text}: this run was trained on packages ({', '.join(corpus['packages'])}), not on a file")
    for key in ("val_path", "test_path"):
        if corpus[key] is not None:
            config = with_value(config, f"dataset.corpus.{key}", str(Path(text).with_name(Path(corpus[key]).name)))
    for key in ("url", "val_url", "test_url"):
        config = with_value(config, f"dataset.corpus.{key}", None)
    return with_value(config, "dataset.corpus.path", text)


def train_legs(parent: Any, record: Any, legs: list[tuple[Any, dict[str, Any]]]) -> Any:
    """Train a new run through the stretches that `parent` went through and return its folder."""
    from rnnscope.pipeline.build import Terms
    from rnnscope.pipeline.fit import fit
    from rnnscope.pipeline.resume import go_on
    from rnnscope.runs.record import parent_entry
    from rnnscope.runs.segments import differences, flatten
    from rnnscope.runs.snapshot import read_vocabulary

    result, before = None, None
    for leg, config in legs:
        terms = Terms(
            resolved=leg.resolved,
            horizon=record.get("resolved.horizon", int),
            end=leg.stop if leg.looked else None,
            pause=None if leg.looked else leg.stop,
            fingerprint=record.get("data.fingerprint", dict, {}),
            parent=parent_entry(record, reproduced=True),
            vocabulary=read_vocabulary(parent) if config["init_from"] is not None else None,
            initial=record.get("initial_sha256", str),
        )
        if result is None:
            result = fit(config, record.get("name", str), terms=terms)
        else:
            changed = {key: flatten(config).get(key) for key in differences(before or {}, config)}
            result = go_on(result.run, changed, terms)
        if result.status == "diverged":
            break
        if result.status == "interrupted" and result.step < leg.stop:
            raise KeyboardInterrupt
        before = config
    assert result is not None
    return result.run


def code_lines(parent: Any, record: Any) -> list[str]:
    """Return what to say when other code is checked out than the run was trained with: the way back to it."""
    from rnnscope.runs.environment import SOURCE, git_commit, git_patch

    commit = record.get("git_commit", str)
    patch = parent.patch.read_text(encoding="utf-8", errors="surrogateescape") if parent.patch.is_file() else ""
    if commit is None or (commit == git_commit() and patch == git_patch()):
        return []
    if not re.fullmatch(r"[0-9a-f]{7,64}", commit):
        return ["warning: the run's git_commit is no commit; its code is not known"]
    git = f"git -C {shlex.quote(str(SOURCE))}"
    lines = ["this code is not the run's; to bring that back, keeping your own changes in git stash:", f"  {git} stash -u"]
    lines.append(f"  {git} checkout {commit}")
    return [*lines, *([f"  {git} apply {shlex.quote(str(parent.patch.resolve()))}"] if patch else [])]
