"""The one function that trains. `train`, `resume`, `reproduce` and each job of a sweep call it and nothing else."""

import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from rnnscope.commands.assemble import Training, Watch, Writers, assemble, make_monitors
from rnnscope.commands.screen import Screen
from rnnscope.errors import UserError
from rnnscope.monitor.board import Board
from rnnscope.monitor.progress import clock
from rnnscope.monitor.recorder import TIMING_COLUMNS, metric_columns
from rnnscope.runs.checkpoints import BEST, LAST, Checkpoints
from rnnscope.runs.environment import environment, git_patch
from rnnscope.runs.files import replace_text
from rnnscope.runs.folder import RunFolder, create_run_folder, outputs_folder
from rnnscope.runs.journal import CsvJournal, JsonJournal
from rnnscope.runs.lock import RunLock
from rnnscope.runs.record import Record, now
from rnnscope.runs.snapshot import write_config, write_vocabulary
from rnnscope.runs.weights import hash_weights, save_weights
from rnnscope.training.randomness import random_state

CHECKPOINT_FORMAT = 1
HPARAMS = {  # what the HParams tab lists: the same keys in every run, or TensorBoard loses columns
    "dataset": ("name", "level", "batch_size", "sequence_length"),
    "model": ("cell", "hidden_size", "num_layers", "dropout", "input", "tied_weights", "init"),
    "optimizer": ("name", "lr", "weight_decay"),
    "schedule": ("name",),
    "trainer": ("clip_norm", "max_steps", "max_epochs"),
}


@dataclass
class Result:
    """How a training ended: the run, its status, and its newest metrics."""

    run: RunFolder
    status: str
    step: int
    metrics: dict[str, float]
    weights_hash: str | None


def fit(config: dict[str, Any], name: str | None = None, command: dict[str, Any] | None = None) -> Result:
    """Train what `config` describes in a new run folder and return how it ended.

    Args:
        config: the resolved config as plain values.
        name: of the folder under outputs/runs; None takes dataset-model-optimizer.
        command: Hydra's own record of the command line, kept under .hydra/.

    Raises:
        UserError: for anything the user can mend; before training starts, no folder is left.
    """
    screen = Screen()
    quiet_lightning()
    training = assemble(config, screen.say)
    describe(training, screen)
    run = create_run_folder(name or run_name(config))
    lock = RunLock(run.lock)
    lock.acquire()
    try:
        screen.log_to(run.log)
        record = write_snapshot(run, training, command or {})
        screen.say(f"run folder   {run.path}")
        return Session(run, record, training, screen).train()
    finally:
        lock.release()
        screen.close()


def run_name(config: dict[str, Any]) -> str:
    """Return the default name of a run's folder."""
    return f"{config['dataset']['name']}-{config['model']['cell']}-{config['optimizer']['name']}"


def quiet_lightning() -> None:
    """Keep Lightning's advertisements and hints about options that are ours off the terminal."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*(GPU available but not used|does not have many workers|isinstance.treespec).*")


def describe(training: Training, screen: Screen) -> None:
    """Say what is about to be trained: the text, device, parameters beside tokens, the budget."""
    for line in training.data.report:
        screen.say(line)
    resolved, tokens = training.resolved, training.data.splits["train"].tokens
    model, steps = training.config["model"], resolved["total_steps"]
    parameters = training.model.parameter_count()
    screen.say(
        f"model        {model['num_layers']} x {model['hidden_size']} {model['cell']}: {parameters:,} parameters for"
        f" {tokens:,} training tokens; {resolved['precision']} on {resolved['device']}, {resolved['threads']} threads"
    )
    per_epoch = training.data.train_dataloader().windows_per_epoch
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
        replace_text(run.patch, patch)
    splits = {name: vars(info) for name, info in training.data.splits.items()}
    return Record.create(
        run.record,
        seed=training.config["seed"],
        resolved=training.resolved,
        requested={key: training.config["trainer"][key] for key in ("accelerator", "precision", "threads")},
        parameters=training.model.parameter_count(),
        data={"fingerprint": training.data.fingerprint, "splits": splits},
        parent=None,
        segments=[{"from_step": 0, "started": now()}],
        progress={"step": 0, "total": training.resolved["total_steps"]},
        config=flatten(training.config),
        **environment(),
    )


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


class Endless:
    """Hands the windows to Lightning as a plain iterable: their position is the task's to remember, not Lightning's."""

    def __init__(self, windows: Any) -> None:
        self._windows = windows

    def __iter__(self) -> Iterator[Any]:
        return iter(self._windows)


class Session:
    """One go at training a run: from its first step, or from a checkpoint, to wherever it ends."""

    def __init__(self, run: RunFolder, record: Record, training: Training, screen: Screen) -> None:
        self.run, self.record, self.training, self.screen = run, record, training, screen
        self.windows = training.data.train_dataloader()
        self.checkpoints = Checkpoints(run.checkpoints)
        self.writers = self._open_writers()
        self.watch: Watch = make_monitors(training, self.writers, screen, self.save)

    def _open_writers(self) -> Writers:
        parameters = [name for name, _ in self.training.model.named_parameters()]
        board = Board(str(self.run.path))
        board.hparams(hparams_of(self.training.config), ["best/loss", "best/bits_per_character"])
        return Writers(
            CsvJournal(self.run.metrics, metric_columns(parameters, self.training.words)),
            CsvJournal(self.run.timings, TIMING_COLUMNS),
            JsonJournal(self.run.samples),
            board,
        )

    def train(self) -> Result:
        """Train to the end and record how it went, whatever way it went."""
        status, error = "failed", None
        try:
            self._run_trainer()
            status = self._status()
        except KeyboardInterrupt:
            status = "interrupted"
        except torch.OutOfMemoryError as exception:
            error = str(exception).splitlines()[0]
            raise UserError(self._out_of_memory(error)) from exception
        except BaseException as exception:
            error = f"{type(exception).__name__}: {exception}"
            raise
        finally:
            self.watch.budget.restore_handlers()
            self.writers.close()
            result = self._finish(status, error)
        self._farewell(result)
        return result

    def _run_trainer(self) -> None:
        trainer = pl.Trainer(
            accelerator="gpu" if self.training.device.type == "cuda" else "cpu",
            devices=1,
            max_epochs=1,  # the data counts its own epochs: to Lightning the windows never end
            max_steps=-1,
            callbacks=[self.watch.monitors],
            plugins=[LightningEnvironment()],  # else Lightning takes over any Slurm allocation it finds itself in
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            limit_val_batches=0,
        )
        trainer.fit(self.training.task, train_dataloaders=Endless(self.windows))

    def save(self, is_best: bool, kept: int | None) -> None:
        """Write a checkpoint of this very moment, under every name that it deserves."""
        names = [LAST, *([BEST] if is_best else []), *([f"step_{kept}.ckpt"] if kept is not None else [])]
        state = self._capture()
        self.checkpoints.save(lambda path: torch.save(state, path), names)
        if is_best:
            save_weights(self.training.model, self.run.weights)
        self.record.update(progress=self._progress())

    def _capture(self) -> dict[str, Any]:
        return {
            "format": CHECKPOINT_FORMAT,
            "state_dict": self.training.model.state_dict(),
            "task": self.training.task.capture(),
            "monitors": self.watch.monitors.state(),
            "random": random_state(),
            "offsets": self.writers.offsets(),
        }

    def _progress(self) -> dict[str, Any]:
        task, latest = self.training.task, self.watch.recorder.latest
        seconds = round(self.watch.throughput.seconds, 3)
        losses = {key: latest.get(key) for key in ("train/loss", "val/loss")}
        return {"step": task.step, "total": self.training.resolved["total_steps"], "seconds": seconds, **losses}

    def _status(self) -> str:
        task = self.training.task
        return "diverged" if task.diverged else "interrupted" if task.interrupted else "finished"

    def _finish(self, status: str, error: str | None) -> Result:
        task, latest = self.training.task, dict(self.watch.recorder.latest)
        digest = hash_weights(self.training.model)
        validation = self.watch.validation
        self.record.update(
            status=status,
            ended=now(),
            reason=error or task.diverged or self.watch.budget.signal,
            stopped_early=validation.stopped_early,
            progress=self._progress(),
            best={
                "step": validation.best_step,
                "loss": latest.get("best/loss"),
                "bits_per_character": latest.get("best/bits_per_character"),
            },
            last=latest,
            weights_sha256=digest,
        )
        return Result(self.run, status, task.step, latest, digest)

    def _out_of_memory(self, reason: str) -> str:
        dataset, model = self.training.config["dataset"], self.training.config["model"]
        keys = {"dataset.batch_size": dataset["batch_size"], "dataset.sequence_length": dataset["sequence_length"]}
        keys["model.hidden_size"] = model["hidden_size"]
        lower = ", ".join(f"{key} ({value})" for key, value in keys.items())
        return f"out of GPU memory at step {self.training.task.step + 1} ({reason}); lower one of {lower}"

    def _farewell(self, result: Result) -> None:
        """Say how it ended, where everything is, and the exact next commands."""
        best = result.metrics.get("best/loss")
        numbers = (
            ""
            if best is None
            else (
                f"; best val/loss {best:.4f} ({result.metrics['best/bits_per_character']:.4f} bits per character)"
                f" at step {self.watch.validation.best_step}"
            )
        )
        self.screen.say(f"\n{result.status} at step {result.step} after {clock(self.watch.throughput.seconds)}{numbers}")
        if result.status == "diverged":
            self.screen.say(self._what_to_try())
        name = (
            str(self.run.path.relative_to(outputs_folder() / "runs"))
            if self.run.path.is_relative_to(outputs_folder() / "runs")
            else str(self.run.path)
        )
        watch = f"tensorboard --logdir {outputs_folder()} --samples_per_plugin text=0,scalars=10000"
        lines = {"run folder": str(self.run.path), "watch": watch}
        if best is not None or any(self.run.checkpoints.glob("*.ckpt")):
            lines |= {"sample": f"rnnscope sample run={name}", "score": f"rnnscope evaluate run={name}"}
        for what, line in lines.items():
            self.screen.say(f"  {what:<12} {line}")

    def _what_to_try(self) -> str:
        config = self.training.config
        tries = [f"a lower optimizer.lr (now {config['optimizer']['lr']:g})"]
        if config["trainer"]["clip_norm"] is None:
            tries.append("trainer.clip_norm=1")
        if self.training.resolved["precision"] == "bf16":
            tries.append("trainer.precision=float32")
        return f"{self.training.task.diverged}: try {', or '.join(tries)}"


def hparams_of(config: dict[str, Any]) -> dict[str, bool | str | float | int]:
    """Return the few flat keys that the HParams tab lists, None as text."""
    found: dict[str, bool | str | float | int] = {"seed": config["seed"]}
    for group, keys in HPARAMS.items():
        for key in keys:
            value = config[group].get(key)
            found[f"{group}.{key}"] = "none" if value is None else value
    return found
