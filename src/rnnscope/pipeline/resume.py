"""Continuing a run in its own folder: `resume`, and the later segments of a run that `reproduce` trains again."""

from dataclasses import asdict, replace
from typing import Any

from rnnscope.config.changes import with_changes
from rnnscope.config.compose import Composition
from rnnscope.config.schema import TrainConfig
from rnnscope.config.validate import filled_in, recorded_config
from rnnscope.config.without_effect import lines_without_effect
from rnnscope.errors import UserError
from rnnscope.format import shell
from rnnscope.monitor.throughput import saved_seconds
from rnnscope.pipeline.budgets import schedule_line
from rnnscope.pipeline.build import Training, assemble
from rnnscope.pipeline.checkpointing import find_start
from rnnscope.pipeline.console import Console
from rnnscope.pipeline.extensions import extension_changes, extensions_entry
from rnnscope.pipeline.fit import fit_composed, requested
from rnnscope.pipeline.hardware import DECIDING
from rnnscope.pipeline.lightning import prepare_process
from rnnscope.pipeline.options import Job, Recorded, RunOptions, StopAt
from rnnscope.pipeline.ranks import gather_ranks, together
from rnnscope.pipeline.session import Result, Session
from rnnscope.pipeline.summary import larger_budget
from rnnscope.runs.environment import environment, environment_differences, git_commit, git_patch, recorded_patch
from rnnscope.runs.folder import RunFolder, refuse_links
from rnnscope.runs.lock import RunLock
from rnnscope.runs.record import Record, now
from rnnscope.runs.segments import as_recorded, differences, flatten, segments_of
from rnnscope.runs.snapshot import read_config, read_vocabulary, write_config
from rnnscope.runs.validate_checkpoint import check_fit
from rnnscope.training.config import StepMapConfig


def resume_run(run: RunFolder, changes: dict[str, Any] | None = None, options: RunOptions | None = None) -> Result:
    """Continue `run` exactly from its newest complete checkpoint, and return the result.

    Args:
        changes: new values of dotted keys from here on.
        options: the `recorded` part is taken from the run's own record, unless they say where to stop.

    Raises:
        UserError: if a different process trains it, it diverged or used up its budget, or its text or checkpoints changed.
    """
    prepare_process()
    refuse_links(run)
    told = options or RunOptions()
    trainer = with_changes(recorded_config(run, Record.read(run.record)), changes or {}).trainer
    with (
        together(trainer, told.rendezvous) as rendezvous,
        RunLock(run.lock),
        Console(quiet=told.job is not None) as console,
    ):
        console.log_to(run.log)
        return continue_locked(run, changes or {}, replace(told, rendezvous=rendezvous), console)


def continue_locked(run: RunFolder, changes: dict[str, Any], told: RunOptions, console: Console) -> Result:
    """Continue a locked run, unless it has nothing left to do."""
    record = Record.read(run.record)
    before = recorded_config(run, record)
    for line in filled_in(run, record):
        console.say(line)
    config = with_changes(before, changes)
    name, saved = find_start(run, record, console.say)
    if before == config:
        refuse_repetition(run, record, config, saved)
    if saved and "owed" in saved and before != config and told.stop is None:
        owed = call_owed(run, record, saved, told, console)
        name, saved = find_start(run, record := Record.read(run.record), console.say)
        if saved is None or "owed" in saved:  # interrupted once more
            return owed
    ended = saved is not None and before == config and is_the_end(record, saved)
    if saved and ended and record.values.get("status") == "finished":
        longer = to_train_longer(config, bool(record.values.get("stopped_early")))
        why = f" ({reason})" if (reason := record.get("reason", str)) else ""
        console.say(f"{run.path} finished at step {saved['task']['step']}{why}; to train longer, set {longer}")
        return finished_result(run, record)
    for line in lines_without_effect(config, changes):
        console.say(line)
    for line in extension_changes(record, told.extensions):
        console.say(f"warning: {line}")
    options = replace(options_of(run, record, config, changes, told), from_checkpoint=saved is not None)
    training = assemble(config, console.say, options)
    if read_vocabulary(run).tokens != training.data.vocabulary.tokens:
        raise UserError(f"{run.vocabulary} is not the vocabulary of the run's text: it was changed; restore it")
    if saved:
        columns = config.dataset.batch_size // training.hardware.processes.world_size
        check_fit(saved, training.model, columns, str(run.checkpoints / name))
    if ended:
        return Session(run, record, training, console, saved).end()
    refuse_spent_budget(training, saved, str(run.checkpoints / name))
    gather_ranks(training)
    session = Session(run, record, training, console, saved)
    begin_segment(run, record, training, name, saved, differences(asdict(before), asdict(config)), console)
    return session.train()


def call_owed(run: RunFolder, record: Record, saved: dict[str, Any], told: RunOptions, console: Console) -> Result:
    """Call the callbacks that a signal interrupted, with the settings of their step, and take no step.

    What they validate and write belongs to the time before the settings change.
    """
    step, resolved = saved["task"]["step"], record.get("resolved", dict, {})
    stop = StopAt(step, as_end=step == record.get("progress.total", int), last=False)
    recorded = recorded_of(record, {key: resolved.get(key) for key in DECIDING})
    console.say(f"what a signal interrupted at step {step} comes first, with the settings of that step")
    return continue_locked(run, {}, replace(told, recorded=recorded, stop=stop), console)


def is_the_end(record: Record, saved: dict[str, Any]) -> bool:
    """Whether a run ended with this checkpoint: it is the newest, and no session with a larger budget went on from it."""
    step, segments = saved["task"]["step"], segments_of(record)
    went_on = segments and segments[-1].get("after_end") and segments[-1]["from_step"] == step
    return saved["ended"] and not went_on and step >= record.get("progress.step", int, 0)


def to_train_longer(config: TrainConfig, stopped_early: bool) -> str:
    """Return the keys that a finished run needs to train longer."""
    if stopped_early and config.trainer.patience is not None:
        return "trainer.patience=..."
    budgets = [key for key in ("max_steps", "max_epochs", "max_minutes") if getattr(config.trainer, key) is not None]
    horizon = ["schedule.horizon=..."] if config.schedule.name == "cosine" else []
    return " ".join([*(f"trainer.{key}=..." for key in budgets), *horizon])


def train_or_resume(composition: Composition, job: Job) -> None:
    """Train a job of a sweep in its folder, or continue the run that is there.

    Raises:
        UserError: for anything that the user can fix.
    """
    run = RunFolder(job.folder)
    if run.record.exists():
        resume_run(run, options=RunOptions(job=job, extensions=composition.extensions))
    else:
        fit_composed(composition, job)


def options_of(run: RunFolder, record: Record, config: TrainConfig, changes: dict[str, Any], told: RunOptions) -> RunOptions:
    """Return the options of a continued run: recorded values, except for those that `changes` or `told` replace."""
    if told.stop is None:
        resolved = {key: record.get("resolved", dict, {}).get(key) for key in DECIDING}
        for key, changed in {"device": "accelerator", "precision": "precision", "threads": "threads"}.items():
            if f"trainer.{changed}" in changes:
                del resolved[key]
        if "trainer.accelerator" in changes:
            del resolved["step_version"]
        told = replace(told, recorded=recorded_of(record, resolved))
    if config.init_from is None:
        return told
    return replace(told, recorded=replace(told.recorded, vocabulary=read_vocabulary(run)))


def recorded_of(record: Record, resolved: dict[str, Any]) -> Recorded:
    """Return the recorded values of a run or segment that was computed on `resolved`."""
    horizon, fingerprint = record.get("resolved.horizon", int), record.get("data.fingerprint", dict, {})
    return Recorded(resolved, horizon, fingerprint, record.get("initial_sha256", str))


def refuse_repetition(run: RunFolder, record: Record, config: TrainConfig, saved: dict[str, Any] | None) -> None:
    """Refuse to continue a diverged run without changes.

    Raises:
        UserError: if it diverged, saying what to change.
    """
    if record.values.get("status") == "diverged":
        step = saved["task"]["step"] if saved else 0
        rate = f"schedule.rates.{step}=..." if isinstance(config.schedule, StepMapConfig) else "optimizer.lr=..."
        raise UserError(
            f"{run.path} diverged ({record.values.get('reason')}) and would do so again; to continue from step {step},"
            f" change something, as in: {shell('rnnscope', 'resume', f'run={run.path}', rate)}"
        )


def refuse_spent_budget(training: Training, saved: dict[str, Any] | None, source: str) -> None:
    """Refuse to continue if no step is left to train.

    Raises:
        UserError: if a budget is used up, naming it.
    """
    if saved is None or training.options.stop is not None or "owed" in saved:
        return
    step, total, minutes = saved["task"]["step"], training.total_steps, training.config.trainer.max_minutes
    seconds = saved_seconds(saved["monitors"], source)
    more = f"used up at step {step}; give more, such as {' '.join(larger_budget(training, step, seconds))}"
    if total is not None and step >= total:
        raise UserError(f"the budget of {total} steps is {more}")
    if minutes is not None and seconds >= 60 * minutes:
        raise UserError(f"the budget of {minutes:g} minutes is {more}")


def begin_segment(
    run: RunFolder,
    record: Record,
    training: Training,
    name: str,
    saved: dict[str, Any] | None,
    changed: dict[str, list[Any]],
    console: Console,
) -> None:
    """Print and record where the run continues and what changed; run.json is written first, then config.yaml."""
    step, config = saved["task"]["step"] if saved else 0, asdict(training.config)
    other = [*code_changed(run, record), *environment_differences(record.values, environment())]
    segment = {"from_step": step, "started": now(), "checkpoint": name, "after_end": bool(saved and saved["ended"])}
    segment |= {"changed": changed, "resolved": training.hardware.as_record(), "environment": other}
    segment |= extensions_entry(training.options.extensions)
    earlier = [rewound(segment, step) for segment in segments_of(record)]
    record.update(
        status="running",
        segments=[*earlier, segment],
        resolved=training.resolved,
        requested=requested(training.config),
        config=as_recorded(config),
        progress={**record.get("progress", dict, {}), "step": step, "total": training.total_steps},
        weights_sha256=None,
        ended=None,
        reason=None,
        stopped_early=False,
        **({"claims": []} if training.config.expect else {}),
    )
    if changed or flatten(read_config(run)).keys() != flatten(config).keys():  # or an older rnnscope's
        write_config(run, config)
    line = schedule_line(training.config, training.horizon, training.total_steps, step)
    if line and training.options.stop is None:
        console.say(line)
    if "trainer.val_tokens" in changed and step:
        console.say(
            "warning: with trainer.val_tokens, val/loss is measured on different tokens than before: best/loss compares both"
        )
    console.say(f"continuing {run.path} from step {step} ({name})")
    for what in (*(f"{key}: {old} -> {new}" for key, (old, new) in changed.items()), *other):
        console.say(f"  changed since: {what}")


def code_changed(run: RunFolder, record: Record) -> list[str]:
    """Return a line if the commit is the same but the uncommitted changes differ from code.patch."""
    commit = record.values.get("git_commit")
    if commit is None or commit != git_commit():
        return []
    return [] if recorded_patch(run) == git_patch() else ["the uncommitted changes of the code (code.patch)"]


def rewound(segment: dict[str, Any], step: int) -> dict[str, Any]:
    """Return a segment after the run went back to `step`: later changes now begin there."""
    return segment if segment["from_step"] <= step else {**segment, "from_step": step, "after_end": False}


def finished_result(run: RunFolder, record: Record) -> Result:
    """Return the recorded result of a finished run."""
    step, digest = record.get("progress.step", int, 0), record.get("weights_sha256", str)
    return Result(run, "finished", step, record.get("last", dict, {}), digest)
