"""Going on with a run in its own folder: `resume`, and the later stretches of a run that `reproduce` does again."""

from dataclasses import replace
from functools import reduce
from itertools import islice
from typing import Any

from rnnscope.config.validate import checked, filled_in, recorded_config
from rnnscope.errors import UserError
from rnnscope.monitor.throughput import saved_seconds
from rnnscope.pipeline.build import Job, Terms, Training, assemble
from rnnscope.pipeline.console import Screen
from rnnscope.pipeline.fit import machine, quiet_lightning
from rnnscope.pipeline.follow import follow
from rnnscope.pipeline.session import Result, Session
from rnnscope.runs.checkpoints import BEST, LAST, Checkpoints
from rnnscope.runs.environment import environment, environment_differences, git_commit, git_patch
from rnnscope.runs.files import remove_temporaries
from rnnscope.runs.folder import RunFolder, refuse_links
from rnnscope.runs.journal import whole_lines
from rnnscope.runs.lock import RunLock
from rnnscope.runs.record import Record, now
from rnnscope.runs.segments import differences, flatten, segments_of, with_value
from rnnscope.runs.snapshot import read_config, read_vocabulary, write_config
from rnnscope.runs.validate_checkpoint import check_fit, check_whole
from rnnscope.training.distributed.processes import is_follower, silence


def go_on(run: RunFolder, changes: dict[str, Any] | None = None, terms: Terms | None = None, job: Job | None = None) -> Result:
    """Train on in `run`, exactly from where its newest whole checkpoint stands, and return how it ended.

    Args:
        changes: values of dotted keys that are other from here on.
        terms: of the run that is done again; None takes them from the run's own record.
        job: of the sweep that the run is a part of, while that does it.

    Raises:
        UserError: when it is being trained elsewhere, has ended, or its text or checkpoints are not what they were.
    """
    quiet_lightning()
    refuse_links(run)
    if is_follower(recorded_config(run, Record.read(run.record))):
        return follow_on(run, changes or {}, terms)
    with RunLock(run.lock), Screen(quiet=job is not None) as screen:
        record = Record.read(run.record)
        screen.log_to(run.log)
        before = recorded_config(run, record)
        for line in filled_in(run, record):
            screen.say(line)
        config = changed_config(before, changes or {})
        name, saved = start_of(run, record, screen)
        refuse_repetition(run, record, saved, before == config)
        if saved and saved["ended"] and record.values.get("status") == "finished" and before == config:
            screen.say(f"{run.path} finished at step {saved['task']['step']}; to train longer: trainer.max_steps=...")
            return finished_result(run, record)
        terms = replace(terms or terms_of(record, changes or {}), job=job)
        if config["init_from"] is not None:
            terms = replace(terms, vocabulary=read_vocabulary(run), going_on=saved is not None)
        training = assemble(config, screen.say, terms)
        if saved:
            columns = config["dataset"]["batch_size"] // training.processes.world_size
            check_fit(saved, training.model, columns, str(run.checkpoints / name))
        if saved and saved["ended"] and before == config:
            return Session(run, record, training, screen, saved).end()
        refuse_spent_budget(training, saved, str(run.checkpoints / name))
        session = Session(run, record, training, screen, saved)
        begin_segment(run, record, training, name, saved, differences(before, config), screen)
        return session.train()


def changed_config(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `config` with other values at dotted keys, checked."""
    return checked(reduce(lambda found, item: with_value(found, *item), changes.items(), config), None)


def follow_on(run: RunFolder, changes: dict[str, Any], terms: Terms | None) -> Result:
    """Follow the process that goes on with `run`: what it needs from the checkpoint, it is told."""
    silence()
    record = Record.read(run.record)
    before = recorded_config(run, record)
    config = changed_config(before, changes)
    if record.values.get("status") == "finished" and before == config:  # then the other will find nothing to do either
        return finished_result(run, record)
    terms = terms or terms_of(record, changes)
    if config["init_from"] is not None:
        terms = replace(terms, vocabulary=read_vocabulary(run), going_on=True)
    return follow(assemble(config, print, terms))


def start_of(run: RunFolder, record: Record, screen: Screen) -> tuple[str, dict[str, Any] | None]:
    """Return the checkpoint to go on from and its file's name; none where the run was killed before its first step.

    Raises:
        UserError: when there should be one.
    """
    remove_temporaries(run.path)
    checkpoints = Checkpoints(run.checkpoints, record.get("id", str))
    found = checkpoints.newest(screen.say)
    if found is not None:
        checkpoints.adopt(found[0])
        check_whole(found[1], str(run.checkpoints / found[0]))
        if found[0] != LAST and not checkpoints.is_whole(BEST):
            replace_best(found[1], screen)
        return found
    if record.get("progress.step", int, 0) > 0 or has_rows(run):
        raise UserError(f"{run.checkpoints} has no checkpoint any more; rnnscope reproduce run={run.path} trains it again")
    screen.say("there is no checkpoint yet: the run was stopped before its first step, and begins now")
    for path in (run.metrics, run.timings, run.samples):
        path.unlink(missing_ok=True)
    return "none", None


def has_rows(run: RunFolder) -> bool:
    """Whether the run has logged a step: a checkpoint was written before that, whatever has become of it."""
    return run.metrics.is_file() and len(list(islice(whole_lines(run.metrics), 2))) == 2


def replace_best(saved: dict[str, Any], screen: Screen) -> None:
    """Let the checkpoint that a run goes back to be its best one, where that was damaged too.

    The weights that were exported as the best may be of later steps, which the run does not have any more.
    """
    screen.say(f"best.ckpt is lost as well: until a better one comes, it is the checkpoint of step {saved['task']['step']}")
    saved["names"] = [*saved["names"], BEST]  # which follow when training begins


def refuse_repetition(run: RunFolder, record: Record, saved: dict[str, Any] | None, unchanged: bool) -> None:
    """Refuse to go on with a run that diverged, unless something is other this time.

    Raises:
        UserError: saying what to change.
    """
    if record.values.get("status") == "diverged" and unchanged:
        step = saved["task"]["step"] if saved else 0
        raise UserError(
            f"{run.path} diverged ({record.values.get('reason')}) and would again: it goes on from step {step} with a change,"
            f" for example: rnnscope resume run={run.path} optimizer.lr=..."
        )


def refuse_spent_budget(training: Training, saved: dict[str, Any] | None, source: str) -> None:
    """Refuse to go on where not a single step is left to train.

    Raises:
        UserError: naming the budget.
    """
    if saved is None or training.terms.end is not None or training.terms.pause is not None:
        return
    step, total, minutes = saved["task"]["step"], training.resolved["total_steps"], training.config["trainer"]["max_minutes"]
    if total is not None and step >= total:
        raise UserError(
            f"the budget of {total} steps is used up at step {step}; give more, such as trainer.max_steps={2 * step}"
        )
    seconds = saved_seconds(saved["monitors"], source)
    if minutes is not None and seconds >= 60 * minutes:
        raise UserError(
            f"the budget of {minutes:g} minutes is used up at step {step}; give more, such as"
            f" trainer.max_minutes={seconds / 30:.3g}"
        )


def terms_of(record: Record, changes: dict[str, Any]) -> Terms:
    """Return the recorded terms, without what `changes` set anew."""
    resolved = machine(record.get("resolved", dict, {}))
    for key, changed in {"device": "accelerator", "precision": "precision", "threads": "threads"}.items():
        if f"trainer.{changed}" in changes:
            del resolved[key]
    if "trainer.accelerator" in changes:
        del resolved["step_version"]
    horizon, fingerprint = record.get("resolved.horizon", int), record.get("data.fingerprint", dict, {})
    return Terms(resolved, horizon, fingerprint=fingerprint, initial=record.get("initial_sha256", str))


def begin_segment(
    run: RunFolder,
    record: Record,
    training: Training,
    name: str,
    saved: dict[str, Any] | None,
    changed: dict[str, list[Any]],
    screen: Screen,
) -> None:
    """Say and record where the run goes on and what is other from there; run.json first, then config.yaml follows."""
    step = saved["task"]["step"] if saved else 0
    other = [*code_changed(run, record), *environment_differences(record.values, environment())]
    segment = {"from_step": step, "started": now(), "checkpoint": name, "after_end": bool(saved and saved["ended"])}
    segment |= {"changed": changed, "resolved": machine(training.resolved), "environment": other}
    earlier = [rewound(segment, step) for segment in segments_of(record)]
    record.update(
        status="running",
        segments=[*earlier, segment],
        resolved=training.resolved,
        config=flatten(training.config),
        progress={**record.get("progress", dict, {}), "step": step, "total": training.resolved["total_steps"]},
        weights_sha256=None,
        ended=None,
        reason=None,
    )
    if changed or flatten(read_config(run)).keys() != flatten(training.config).keys():  # or an older rnnscope's
        write_config(run, training.config)
    screen.say(f"going on in {run.path} from step {step} ({name})")
    for what in (*(f"{key}: {old} -> {new}" for key, (old, new) in changed.items()), *other):
        screen.say(f"  changed since: {what}")


def code_changed(run: RunFolder, record: Record) -> list[str]:
    """Return a line where the code has other uncommitted changes than code.patch holds, on the same commit."""
    commit = record.values.get("git_commit")
    if commit is None or commit != git_commit():
        return []
    recorded = run.patch.read_bytes() if run.patch.is_file() else b""
    same = recorded == git_patch().encode("utf-8", "surrogateescape")
    return [] if same else ["the uncommitted changes of the code (code.patch)"]


def rewound(segment: dict[str, Any], step: int) -> dict[str, Any]:
    """Return a segment as it stands when the run goes back to `step`: what changed later holds from there already."""
    return segment if segment["from_step"] <= step else {**segment, "from_step": step, "after_end": False}


def finished_result(run: RunFolder, record: Record) -> Result:
    """Return the recorded result of a run that has nothing left to do."""
    step, digest = record.get("progress.step", int, 0), record.get("weights_sha256", str)
    return Result(run, "finished", step, record.get("last", dict, {}), digest)
