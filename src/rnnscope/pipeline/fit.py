"""The one function that trains. `train`, `resume`, `reproduce` and each job of a sweep call it and nothing else."""

import logging
import warnings
from typing import Any

from rnnscope.pipeline.build import Terms, Training, assemble
from rnnscope.pipeline.console import Screen
from rnnscope.pipeline.follow import follow
from rnnscope.pipeline.session import Result, Session
from rnnscope.runs.environment import environment, git_patch
from rnnscope.runs.files import replace_file, replace_text
from rnnscope.runs.folder import RunFolder, check_run_name, create_run_folder, make_run_folder
from rnnscope.runs.lock import RunLock
from rnnscope.runs.record import Record, now
from rnnscope.runs.segments import flatten
from rnnscope.runs.snapshot import write_config, write_vocabulary
from rnnscope.training.distributed.processes import is_follower, silence


def fit(
    config: dict[str, Any], name: str | None = None, command: dict[str, str] | None = None, terms: Terms | None = None
) -> Result:
    """Train what `config` describes in a new run folder and return how it ended.

    Args:
        config: the resolved config as plain values.
        name: of the folder under outputs/runs; None takes dataset-model-optimizer. A job of a sweep has its own.
        command: Hydra's own record of the command line, kept under .hydra/.
        terms: of the run that is done again, or of a job.

    Raises:
        UserError: for anything the user can mend; before training starts, no folder is left.
    """
    quiet_lightning()
    if is_follower(config):
        silence()
        return follow(assemble(config, print, terms))
    job = terms.job if terms else None
    if job is None:
        check_run_name(name or run_name(config))  # before the text is read, which may take minutes
    with Screen(quiet=job is not None) as screen:
        training = assemble(config, screen.say, terms)
        describe(training, screen)
        run = make_run_folder(job.folder) if job else create_run_folder(name or run_name(config))
        with RunLock(run.lock):
            screen.log_to(run.log)
            record = write_snapshot(run, training, command or {})
            screen.say(f"run folder   {run.path}")
            return Session(run, record, training, screen).train()


def run_name(config: dict[str, Any]) -> str:
    """Return the default name of a run's folder."""
    return f"{config['dataset']['name']}-{config['model']['cell']}-{config['optimizer']['name']}"


def quiet_lightning() -> None:
    """Keep Lightning's advertisements and hints about options that are ours off the terminal."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    hints = "GPU available but not used|does not have many workers|isinstance.treespec|The `srun` command is available"
    warnings.filterwarnings("ignore", message=f".*({hints}).*")


def describe(training: Training, screen: Screen) -> None:
    """Say what is about to be trained: the text, device, parameters beside tokens, the budget."""
    for line in training.data.report:
        screen.say(line)
    resolved, tokens = training.resolved, training.data.splits["train"].tokens
    model, steps = training.config["model"], resolved["total_steps"]
    parameters, processes = training.model.parameter_count(), training.processes.world_size
    screen.say(
        f"model        {model['num_layers']} x {model['hidden_size']} {model['cell']}: {parameters:,} parameters for"
        f" {tokens:,} training tokens; {resolved['precision']} on {resolved['device']}, {resolved['threads']} threads"
        f"{f' in each of {processes} processes' if processes > 1 else ''}"
    )
    per_epoch = training.windows.windows_per_epoch
    if steps is None:
        screen.say(f"budget       {training.config['trainer']['max_minutes']} minutes; {per_epoch:,} steps are one epoch")
    else:
        screen.say(f"budget       {steps:,} steps = {steps / per_epoch:.2f} epochs of {per_epoch:,} windows")


def write_snapshot(run: RunFolder, training: Training, command: dict[str, Any]) -> Record:
    """Write everything that is known of a run before its first step."""
    write_config(run, training.config)
    write_vocabulary(run, training.data.vocabulary)
    run.hydra.mkdir()
    for name, text in command.items():
        replace_text(run.hydra / name, text)
    patch = git_patch()
    if patch:
        replace_file(run.patch, lambda temporary: temporary.write_bytes(patch.encode("utf-8", "surrogateescape")))
    splits = {name: vars(info) for name, info in training.data.splits.items()}
    return Record.create(
        run.record,
        name=run.path.parent.name,
        seed=training.config["seed"],
        resolved=training.resolved,
        requested={key: training.config["trainer"][key] for key in ("accelerator", "precision", "threads")},
        parameters=training.model.parameter_count(),
        data={"fingerprint": training.data.fingerprint, "splits": splits},
        parent=training.terms.parent,
        initial_sha256=training.initial,
        segments=[{"from_step": 0, "started": now(), "resolved": machine(training.resolved)}],
        progress={"step": 0, "total": training.resolved["total_steps"]},
        config=flatten(training.config),
        **environment(),
    )


def machine(resolved: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the resolved values that decides bits."""
    return {key: resolved.get(key) for key in ("device", "precision", "threads", "world_size", "step_version")}
