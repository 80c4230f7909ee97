"""From a config to the parts of a training: data, task, monitors. Every check that needs no run folder happens here."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from rnnscope.data.batches import StreamWindows, Windows
from rnnscope.data.module import TextData
from rnnscope.data.vocabulary import Vocabulary
from rnnscope.errors import UserError
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.precision import keep_freed_memory, prepare_torch, resolve_device, resolve_precision, resolve_threads
from rnnscope.model.sampling import check_temperature
from rnnscope.paths import cache_folder
from rnnscope.pipeline.warm_start import copy_weights, starting_run
from rnnscope.runs.generation import strangers
from rnnscope.runs.snapshot import build_model
from rnnscope.training.distributed.collectives import Exchange
from rnnscope.training.distributed.processes import Processes, check_world_size, find_processes
from rnnscope.training.optimizers import is_capturable, make_optimizer
from rnnscope.training.randomness import seed_all, seed_of_process
from rnnscope.training.schedules import make_schedule
from rnnscope.training.state_resets import Resets
from rnnscope.training.task import LanguageModelTask

AT_LEAST_ONE = {
    "trainer": ("max_steps", "val_every", "val_tokens", "checkpoint_every", "keep_every", "patience", "devices"),
    "monitor": ("scalars_every", "updates_every", "histograms_every", "samples_every", "lines_every"),
}
MOST_THREADS = 4096
STEP_VERSIONS = {"cpu": 1, "cuda": 2}  # how a step rounds; 2: the optimizer reads its learning rate on the GPU, in float32
CUDA_GRAPH = ("auto", "always", "never")
ABOVE_ZERO = ("max_epochs", "max_minutes", "checkpoint_minutes", "clip_norm", "clip_value")


@dataclass(frozen=True)
class Job:
    """What a job of a sweep is told, and tells, while it trains.

    Args:
        folder: its run folder, made exclusively.
        swept: the keys in which the jobs of the sweep differ, for TensorBoard.
        asked: what asks it to end, None while nothing does; called after every step.
        report: told the step and loss of each validation; returns why the run is not worth going on, None where it is.
    """

    folder: Path
    swept: tuple[str, ...] = ()
    asked: Callable[[], str | None] = lambda: None
    report: Callable[[int, float], str | None] = lambda step, loss: None


@dataclass(frozen=True)
class Terms:
    """What a run that goes on, or is done again, takes from its record where a new run asks machine, clock and config.

    Args:
        resolved: its device, precision and threads, for as far as this machine has them, and its number of processes.
        horizon: the budget in steps that its schedule was made for.
        end: the step where it ends, whatever budget its config names.
        pause: the step after which it stops as if interrupted.
        fingerprint: of the data that it was trained on; other data are refused.
        parent: the run that it came from, for its record.
        vocabulary: the one it began with where that was another run's (`init_from`).
        initial: the hash of the weights it began with, where those were another run's.
        going_on: its weights come from a checkpoint of its own.
        job: of the sweep that the run is a part of.
    """

    resolved: dict[str, Any] = field(default_factory=dict)
    horizon: int | None = None
    end: int | None = None
    pause: int | None = None
    fingerprint: dict[str, Any] = field(default_factory=dict)
    parent: dict[str, Any] | None = None
    vocabulary: Vocabulary | None = None
    initial: str | None = None
    going_on: bool = False
    job: Job | None = None


@dataclass
class Training:
    """Everything that trains, before there is a run folder."""

    config: dict[str, Any]
    terms: Terms
    data: TextData
    model: LanguageModel
    task: LanguageModelTask
    resolved: dict[str, Any]  # what `auto` and null became: device, precision, threads, world_size, total_steps, horizon
    device: torch.device
    initial: str | None  # hash of the weights of the run that this one starts from
    processes: Processes
    windows: Windows  # this process's share of those to train on

    @property
    def words(self) -> bool:
        return self.data.vocabulary.level == "word"

    def tokens_per_character(self, split: str) -> float:
        """Return how many tokens stand for a character of the split's text."""
        info = self.data.splits[split]
        return info.tokens / info.characters if info.characters else math.nan

    def val_windows(self) -> Iterator[Any]:
        """Return the windows that validation looks at, from the first token of the val split."""
        dataset, limit = self.config["dataset"], self.config["trainer"]["val_tokens"]
        if dataset["windows"] != "stream" or limit is None:
            windows: Windows = self.data.windows("val")
            windows.device = self.device
            return iter(windows)
        stream, sizes = self.data.stream("val")[: limit + 1], (dataset["val_batch_size"], dataset["sequence_length"])
        windows = StreamWindows(stream, *sizes, given=self.data.given)
        windows.device = self.device
        return iter(windows)


def check_config(config: dict[str, Any]) -> None:
    """Refuse numbers that mean nothing, naming the key.

    Raises:
        UserError: for the first of them.
    """
    for group, keys in AT_LEAST_ONE.items():
        for key in keys:
            value = config[group].get(key)
            if value is not None and value < 1:
                raise UserError(f"{group}.{key}={value} must be at least 1")
    trainer = config["trainer"]
    for key in ABOVE_ZERO:
        if trainer[key] is not None and not trainer[key] > 0:
            raise UserError(f"trainer.{key}={trainer[key]} must be above 0, or null for none")
    if not 0 <= trainer["state_reset"] <= 1:
        raise UserError(f"trainer.state_reset={trainer['state_reset']} must lie in [0, 1]: it is a share of columns")
    if trainer["clip_norm"] is not None and trainer["clip_value"] is not None:
        raise UserError("trainer.clip_norm and trainer.clip_value are both set: set one of them to null")
    if all(trainer[key] is None for key in ("max_steps", "max_epochs", "max_minutes")):
        raise UserError("this training would never end: set trainer.max_steps, trainer.max_epochs or trainer.max_minutes")
    if not 0 <= config["seed"] < 2**63:
        raise UserError(f"seed={config['seed']} must not be negative, nor beyond 2^63")
    for temperature in config["monitor"]["sample_temperatures"]:
        check_temperature(temperature)


def assemble(config: dict[str, Any], say: Callable[[str], None], terms: Terms | None = None) -> Training:
    """Build data, model and task from a config, on the terms of an earlier run if there are any.

    Raises:
        UserError: for anything in config or text that cannot be trained on.
    """
    check_config(config)
    terms = terms or Terms()
    trainer, model_keys = {**config["trainer"], **recorded_machine(terms.resolved, say)}, config["model"]
    device = resolve_device(trainer["accelerator"])
    processes = find_processes(trainer, device)
    check_world_size(terms.resolved, processes, trainer)
    device = processes.place(device)
    threads = resolve_threads(trainer["threads"])
    threads = processes.threads(threads) if trainer["threads"] is None else threads
    precision = resolve_precision(trainer["precision"], device, model_keys["cell"], model_keys["hidden_size"])
    prepare_torch(threads, trainer["deterministic"])
    start = None if terms.going_on else starting_run(config)
    vocabulary = terms.vocabulary or (start.vocabulary if start else None)
    places = {"cache_dir": cache_folder(), "say": say}
    data = TextData(**config["dataset"], seed=config["seed"], vocabulary=vocabulary, **places)
    prepare(data, terms, config["dataset"]["corpus"])
    keep_freed_memory()  # after the text, whose pieces are better given back
    check_data(data.fingerprint, terms.fingerprint, config["dataset"]["corpus"])
    if strange := data.vocabulary.unknown(config["monitor"]["sample_prompt"]):
        raise UserError(strangers("monitor.sample_prompt", strange))
    seed_all(config["seed"])  # after the data, whose preparation must not shift the weights
    model = build_model(config, len(data.vocabulary))
    initial = copy_weights(model, start, terms.initial) if start else terms.initial
    if processes.rank:
        seed_all(seed_of_process(config["seed"], processes.rank))  # the same weights, but dropout of its own
    model = move(model, device, model_keys)
    windows = data.train_windows(processes.rank, processes.world_size)
    total_steps = count_steps(trainer, windows.windows_per_epoch)
    step_version = resolve_step_version(terms.resolved, device)
    optimizer = make_optimizer(model.parameters(), **config["optimizer"], capturable=step_version > 1)
    cuda_graph = resolve_cuda_graph(trainer["cuda_graph"], optimizer, device, processes, say)
    windows.device = device
    horizon = terms.horizon or total_steps
    schedule = make_schedule(lr=config["optimizer"]["lr"], total_steps=horizon, **config["schedule"])
    exchange = Exchange(processes.rank, processes.world_size) if processes.together else None
    clips = trainer["clip_norm"], trainer["clip_value"]
    columns = processes.rank, processes.world_size
    resets = Resets(trainer["state_reset"], config["seed"], *columns) if trainer["state_reset"] else None
    task = LanguageModelTask(model, optimizer, schedule, precision, *clips, resets, exchange, cuda_graph)
    resolved = {"device": device.type, "precision": precision, "threads": threads, "world_size": processes.world_size}
    resolved |= {"step_version": step_version, "total_steps": total_steps, "horizon": horizon}
    return Training(config, terms, data, model, task, resolved, device, initial, processes, windows)


def move(model: LanguageModel, device: torch.device, keys: dict[str, Any]) -> LanguageModel:
    """Return the model on the device.

    Raises:
        UserError: when the GPU has no room for it.
    """
    try:
        return model.to(device)
    except torch.OutOfMemoryError as error:
        size = f"model.num_layers={keys['num_layers']} and model.hidden_size={keys['hidden_size']}"
        raise UserError(f"the GPU has no room for the model: lower {size}, or use trainer=cpu") from error


def resolve_step_version(recorded: dict[str, Any], device: torch.device) -> int:
    """Return how the steps of this training round: as recorded (1 where nothing was), else as is best on this device.

    Raises:
        UserError: for a version that this code does not know.
    """
    best = STEP_VERSIONS[device.type]
    if "step_version" not in recorded:
        return best
    version = recorded["step_version"] or 1
    if type(version) is not int or not 0 < version <= max(STEP_VERSIONS.values()):
        raise UserError(f"run.json: resolved step_version={version!r} is unknown; use the version of rnnscope that wrote it")
    return min(version, best)


def resolve_cuda_graph(
    wanted: str,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    processes: Processes,
    say: Callable[[str], None],
) -> bool:
    """Return whether steps are replayed as a CUDA graph: `auto` does where it can, and says why where it cannot.

    Raises:
        UserError: where it must (`always`) and cannot.
    """
    if wanted not in CUDA_GRAPH:
        raise UserError(f"trainer.cuda_graph={wanted} is unknown: choose one of {', '.join(CUDA_GRAPH)}")
    if wanted == "never" or (wanted == "auto" and device.type != "cuda"):
        return False
    obstacle = None
    if device.type != "cuda":
        obstacle = "there is no GPU in use"
    elif processes.together:
        obstacle = "processes exchange gradients in the middle of a step (trainer=ddp)"
    elif not is_capturable(optimizer):
        obstacle = f"torch's {type(optimizer).__name__} works out its rate on the host in every step"
    if obstacle and wanted == "always":
        raise UserError(f"trainer.cuda_graph=always is impossible: {obstacle}; use trainer.cuda_graph=auto")
    if obstacle:
        say(f"no CUDA graph: {obstacle}; steps are slower than they could be")
    return not obstacle


def recorded_machine(resolved: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """Return the keys of `trainer` that make this process compute as the recorded one did, saying where it cannot."""
    keys = {key: resolved[key] for key in ("precision", "threads") if resolved.get(key) is not None}
    if type(keys.get("threads", 1)) is not int or not 0 < keys.get("threads", 1) <= MOST_THREADS:
        raise UserError(f"run.json: resolved threads={keys['threads']!r} is no number of threads; it was changed by hand")
    if resolved.get("device") == "cuda" and not torch.cuda.is_available():
        say("warning: the run was trained on a GPU and there is none here: on the CPU its numbers will differ")
    if resolved.get("device") is not None:
        keys["accelerator"] = "gpu" if resolved["device"] == "cuda" and torch.cuda.is_available() else "cpu"
    return keys


def prepare(data: TextData, terms: Terms, corpus: dict[str, Any]) -> None:
    """Read the text; where that of an earlier run is not to be had, say that it may lie elsewhere.

    Raises:
        UserError: for anything in it that cannot be trained on.
    """
    try:
        data.prepare()
    except UserError as error:
        if not terms.fingerprint or corpus["path"] is None:
            raise
        raise UserError(f"{error}; if the run's text lies elsewhere now: text=...") from None


def check_data(found: dict[str, Any], recorded: dict[str, Any], corpus: dict[str, Any]) -> None:
    """Refuse data whose tokens are not the ones recorded: file names and settings may differ, ids may not.

    Raises:
        UserError: saying what changed.
    """
    if not recorded or all(found[key] == recorded.get(key) for key in ("vocabulary", "streams")):
        return
    parts = {"text": "the text itself", "settings": "how it is read (settings, or versions of libraries)"}
    changed = [what for key, what in parts.items() if found[key] != recorded.get(key)]
    old = recorded["streams"] if isinstance(recorded.get("streams"), dict) else {}
    streams = [name for name, digest in found["streams"].items() if digest != old.get(name)]
    where = corpus["path"] or f"packages {', '.join(corpus['packages'])}"
    raise UserError(
        f"the data changed since the run was trained: {' and '.join(changed) or 'the vocabulary'} of {where} differs"
        f" ({', '.join(streams)} split); put the text back, or start a new run with: rnnscope train"
    )


def count_steps(trainer: dict[str, Any], windows_per_epoch: int) -> int | None:
    """Return the optimiser steps that the budgets in steps and epochs allow, None where only the clock limits them."""
    limits = [trainer["max_steps"]] if trainer["max_steps"] is not None else []
    if trainer["max_epochs"] is not None:
        limits.append(math.ceil(trainer["max_epochs"] * windows_per_epoch))
    return min(limits) if limits else None
