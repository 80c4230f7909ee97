"""Training a new run: from a command line, from an earlier run with changes, or from a config file."""

import shutil
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rnnscope.config.changes import complete, with_changes
from rnnscope.config.compose import Composition
from rnnscope.config.places import is_text, moved_to, text_name, with_absolute_places
from rnnscope.config.schema import ExtensionsConfig, TrainConfig
from rnnscope.config.validate import from_plain, recorded_config
from rnnscope.config.without_effect import lines_without_effect
from rnnscope.format import plural, printable
from rnnscope.pipeline.budgets import schedule_line
from rnnscope.pipeline.build import Training, assemble
from rnnscope.pipeline.claims import changed_on_the_way, check_expectations
from rnnscope.pipeline.console import Console
from rnnscope.pipeline.extensions import extensions_entry
from rnnscope.pipeline.lightning import prepare_process
from rnnscope.pipeline.options import Job, Recorded, RunOptions
from rnnscope.pipeline.ranks import gather_ranks, together
from rnnscope.pipeline.session import Result, Session
from rnnscope.pipeline.warm_start import adopt
from rnnscope.runs.distributions import write_environment
from rnnscope.runs.environment import environment, git_patch
from rnnscope.runs.expectation import deciding
from rnnscope.runs.files import replace_file, replace_text
from rnnscope.runs.folder import RunFolder, check_run_name, create_run_folder, make_run_folder
from rnnscope.runs.lock import RunLock
from rnnscope.runs.moving import remove_empty
from rnnscope.runs.record import Record, now, parent_entry
from rnnscope.runs.segments import as_recorded, differences
from rnnscope.runs.snapshot import read_config_file, write_config, write_vocabulary

MANY_PASSES = 20  # over a text: most runs reach their lowest val/loss well before this


def fit_composed(composition: Composition, job: Job | None = None) -> Result:
    """Train a composed config; `init_from` takes the model of an earlier run.

    Raises:
        UserError: if that run does not exist, or a key was set that contradicts it.
    """
    with together(composition.config.trainer) as rendezvous:
        config, parent = adopt(composition.config, composition.keys)
        name = config.name or composition.choices.get("experiment")
        keys, extensions = tuple(composition.keys), composition.extensions
        options = RunOptions(parent=parent, job=job, extensions=extensions, overridden=keys, rendezvous=rendezvous)
        if job is None:
            say_without_effect(config, keys)
        return fit(config, name, composition.files, options)


def fit_changed(parent: RunFolder, changes: dict[str, Any], data: str | None, extensions: ExtensionsConfig) -> Result:
    """Train the config of an earlier run with changes, in a new run folder, and print what differs.

    Args:
        data: the path of the text, if that has moved.

    Raises:
        UserError: for an unknown key or invalid value, and for a text that is neither the parent's nor named.
    """
    record = Record.read(parent.record)
    old = recorded_config(parent, record)
    moved = moved_to(old.dataset.corpus, data)
    new = with_changes(old, moved | complete(changes))
    new = from_plain(with_absolute_places(asdict(new)))  # runs of older versions may have relative paths
    with together(new.trainer) as rendezvous:
        if "init_from" in changes:
            new, _ = adopt(new, changes)
        changed = differences(asdict(old), asdict(new))
        print(printable(f"from {parent.path}, {'changed:' if changed else 'nothing changed'}"))
        for key, (before, after) in changed.items():
            print(printable(f"  {key}: {before} -> {after}"))
        say_without_effect(new, changes)
        text = None if any(map(is_text, changes)) else record.get("data.fingerprint.text", str)
        recorded, entry = Recorded(fingerprint={"text": text} if text else {}), parent_entry(record, changed=changed)
        deciding_now = [key for key in changed if key not in moved or key in changes]
        keys = (*record.get("overridden", list, []), *changed_on_the_way(record), *deciding_now)
        options = RunOptions(recorded, parent=entry, extensions=extensions, overridden=keys, rendezvous=rendezvous)
        return fit(new, new.name, options=options)


def fit_file(path: Path, changes: dict[str, Any], data: str | None, extensions: ExtensionsConfig) -> Result:
    """Train a config.yaml with changes; no other file of its run is needed.

    Args:
        data: the path of the text, if that has moved.

    Raises:
        UserError: if it is not a config, for an unknown key or invalid value, and if the text is missing.
    """
    config = from_plain(read_config_file(path), str(path))
    config = with_changes(config, moved_to(config.dataset.corpus, data) | complete(changes))
    config = from_plain(with_absolute_places(asdict(config)))
    with together(config.trainer) as rendezvous:
        say_without_effect(config, changes)
        config, parent = adopt(config, changes) if "init_from" in changes else (config, None)
        options = RunOptions(parent=parent, extensions=extensions, overridden=(*changes,), rendezvous=rendezvous)
        return fit(config, config.name, options=options)


def say_without_effect(config: TrainConfig, keys: Iterable[str]) -> None:
    """Print which of the keys that were set have no effect."""
    for line in lines_without_effect(config, keys):
        print(printable(line))


def fit(
    config: TrainConfig, name: str | None = None, command: dict[str, str] | None = None, options: RunOptions | None = None
) -> Result:
    """Train `config` in a new run folder and return the result.

    Args:
        name: of the folder under outputs/runs; None means text-model-optimizer. A sweep names its jobs itself.
        command: Hydra's record of the command line, stored under .hydra/.
        options: with a `rendezvous` where several processes train (see ranks.py).

    Raises:
        UserError: for anything that the user can fix; before training starts, no folder is left behind.
    """
    prepare_process()
    job = options.job if options else None
    if job is None:
        check_run_name(name or run_name(config))  # before the text is read, which may take minutes
    with Console(quiet=job is not None) as console:
        training = assemble(config, console.say, options)
        check_expectations(training)
        describe(training, console)
        gather_ranks(training)
        under = options.under if options else None
        run = make_run_folder(job.folder) if job else create_run_folder(name or run_name(config), under)
        with removed_without_record(run), RunLock(run.lock):
            console.log_to(run.log)
            record = write_snapshot(run, training, command or {})
            console.say(f"run folder   {run.path}")
            parent = record.get("parent", dict, {})
            if parent.get("reproduced"):
                console.say(f"reproduces   {parent['path']}")
            return Session(run, record, training, console).train()


@contextmanager
def removed_without_record(run: RunFolder) -> Generator[None]:
    """Remove a run folder that an error leaves without run.json, as when the disk is full."""
    try:
        yield
    except BaseException:
        if not run.record.exists():
            shutil.rmtree(run.path, ignore_errors=True)
            remove_empty(run.path.parent)
        raise


def run_name(config: TrainConfig) -> str:
    """Return the default name of a run."""
    return f"{text_name(config.dataset)}-{config.model.cell}-{config.optimizer.name}"


def describe(training: Training, console: Console) -> None:
    """Print what is about to be trained: text, model, device, number of parameters and tokens, budget."""
    for line in training.data.report:
        console.say(line)
    hardware, tokens = training.hardware, training.data.splits["train"].tokens
    model, steps = training.config.model, training.total_steps
    parameters, processes = training.model.parameter_count(), hardware.processes.world_size
    console.say(
        f"model        {model.shape} {model.cell}: {parameters:,} parameters for"
        f" {tokens:,} training tokens; {hardware.precision} on {hardware.device.type}, {plural(hardware.threads, 'thread')}"
        f"{f' in each of {processes} processes' if processes > 1 else ''}"
    )
    if line := schedule_line(training.config, training.horizon, steps):
        console.say(line)
    per_epoch = training.windows.windows_per_epoch
    if steps is None:
        console.say(
            f"budget       {training.config.trainer.max_minutes} minutes; {per_epoch:,} steps are one pass over the text"
        )
    else:
        console.say(f"budget       {plural(steps, 'step')}, {steps / per_epoch:.2f} passes over the text")
        if steps > MANY_PASSES * per_epoch and training.config.trainer.patience is None:
            console.say(
                f"warning: more than {MANY_PASSES} passes over a text may overfit: trainer.patience=5 ends training after 5"
                " validations without a lower val/loss"
            )


def requested(config: TrainConfig) -> dict[str, Any]:
    """Return the entry of a record on what the config asks of the hardware."""
    return {key: getattr(config.trainer, key) for key in ("accelerator", "precision", "threads")}


def write_snapshot(run: RunFolder, training: Training, command: dict[str, str]) -> Record:
    """Write everything that is known about a run before its first step."""
    config = asdict(training.config)
    write_config(run, config)
    write_vocabulary(run, training.data.vocabulary)
    run.hydra.mkdir()
    for name, text in command.items():
        replace_text(run.hydra / name, text)
    write_environment(run)
    patch = git_patch()
    if patch:
        replace_file(run.patch, lambda temporary: temporary.write_bytes(patch.encode("utf-8", "surrogateescape")))
    named = extensions_entry(training.options.extensions)
    splits = {name: vars(info) for name, info in training.data.splits.items()}
    expected = {"overridden": deciding(training.options.overridden)} if training.config.expect else {}
    return Record.create(
        run.record,
        name=run.path.parent.name,
        seed=training.config.seed,
        resolved=training.resolved,
        requested=requested(training.config),
        parameters=training.model.parameter_count(),
        data={"fingerprint": training.data.fingerprint, "splits": splits},
        parent=training.options.parent,
        initial_sha256=training.initial,
        segments=[{"from_step": 0, "started": now(), "resolved": training.hardware.as_record(), **named}],
        progress={"step": 0, "total": training.total_steps},
        config=as_recorded(config),
        **expected,
        **environment(),
    )
