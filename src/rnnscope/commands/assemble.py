"""From a config to the parts of a training: data, task, monitors. Every check that needs no run folder happens here."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from rnnscope.commands.screen import Screen
from rnnscope.data.batches import StreamWindows
from rnnscope.data.module import TextData
from rnnscope.errors import UserError
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.precision import prepare_torch, resolve_device, resolve_precision, resolve_threads
from rnnscope.model.sampling import Choice
from rnnscope.monitor.board import Board
from rnnscope.monitor.budget import Budget
from rnnscope.monitor.curves import TrainingCurves
from rnnscope.monitor.divergence import Divergence
from rnnscope.monitor.monitors import Monitor, Monitors
from rnnscope.monitor.progress import Progress
from rnnscope.monitor.recorder import Recorder
from rnnscope.monitor.samples import Samples
from rnnscope.monitor.saving import Saving
from rnnscope.monitor.throughput import Throughput
from rnnscope.monitor.update_sizes import UpdateSizes
from rnnscope.monitor.validation import Validation
from rnnscope.runs.folder import outputs_folder
from rnnscope.runs.journal import CsvJournal, JsonJournal
from rnnscope.runs.load import prompt_ids
from rnnscope.runs.snapshot import build_model
from rnnscope.training.optimizers import make_optimizer
from rnnscope.training.randomness import seed_all
from rnnscope.training.schedules import make_schedule
from rnnscope.training.task import LanguageModelTask

AT_LEAST_ONE = {
    "trainer": ("max_steps", "val_every", "val_tokens", "checkpoint_every", "keep_every", "patience"),
    "monitor": ("scalars_every", "updates_every", "histograms_every", "samples_every", "lines_every"),
}
ABOVE_ZERO = ("max_epochs", "max_minutes", "clip_norm", "clip_value")


@dataclass
class Training:
    """Everything that trains, before there is a run folder."""

    config: dict[str, Any]
    data: TextData
    model: LanguageModel
    task: LanguageModelTask
    resolved: dict[str, Any]  # what `auto` and null became: device, precision, threads, total_steps
    device: torch.device

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
            return iter(self.data.windows("val"))
        stream, sizes = self.data.stream("val")[: limit + 1], (dataset["val_batch_size"], dataset["sequence_length"])
        return iter(StreamWindows(stream, *sizes, given=self.data.given))


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
    if trainer["clip_norm"] is not None and trainer["clip_value"] is not None:
        raise UserError("trainer.clip_norm and trainer.clip_value are both set: set one of them to null")
    if all(trainer[key] is None for key in ("max_steps", "max_epochs", "max_minutes")):
        raise UserError("this training would never end: set trainer.max_steps, trainer.max_epochs or trainer.max_minutes")
    if config["seed"] < 0:
        raise UserError(f"seed={config['seed']} must not be negative")
    for temperature in config["monitor"]["sample_temperatures"]:
        Choice(temperature)


def assemble(config: dict[str, Any], say: Callable[[str], None], vocabulary: Any = None) -> Training:
    """Build data, model and task from a config.

    Raises:
        UserError: for anything in config or text that cannot be trained on.
    """
    check_config(config)
    trainer, model_keys = config["trainer"], config["model"]
    device = resolve_device(trainer["accelerator"])
    threads = resolve_threads(trainer["threads"])
    precision = resolve_precision(trainer["precision"], device, model_keys["cell"], model_keys["hidden_size"])
    prepare_torch(threads, trainer["deterministic"])
    data = TextData(
        **config["dataset"], seed=config["seed"], cache_dir=outputs_folder() / "cache", vocabulary=vocabulary, say=say
    )
    data.prepare()
    seed_all(config["seed"])  # after the data, whose preparation must not shift the weights
    model = build_model(config, len(data.vocabulary)).to(device)
    total_steps = count_steps(trainer, data.train_dataloader().windows_per_epoch)
    optimizer = make_optimizer(model.parameters(), **config["optimizer"])
    schedule = make_schedule(lr=config["optimizer"]["lr"], total_steps=total_steps, **config["schedule"])
    task = LanguageModelTask(model, optimizer, schedule, precision, trainer["clip_norm"], trainer["clip_value"])
    resolved = {"device": device.type, "precision": precision, "threads": threads, "total_steps": total_steps}
    return Training(config, data, model, task, resolved, device)


def count_steps(trainer: dict[str, Any], windows_per_epoch: int) -> int | None:
    """Return the optimiser steps that the budgets in steps and epochs allow, None where only the clock limits them."""
    limits = [trainer["max_steps"]] if trainer["max_steps"] is not None else []
    if trainer["max_epochs"] is not None:
        limits.append(math.ceil(trainer["max_epochs"] * windows_per_epoch))
    return min(limits) if limits else None


@dataclass
class Writers:
    """The open files of a run that monitors write to."""

    metrics: CsvJournal
    timings: CsvJournal
    samples: JsonJournal
    board: Board

    def offsets(self) -> dict[str, int]:
        """Return how long each file is now: what a checkpoint remembers."""
        return {name: getattr(self, name).offset for name in ("metrics", "timings", "samples")}

    def close(self) -> None:
        for writer in (self.metrics, self.timings, self.samples, self.board):
            writer.close()


@dataclass
class Watch:
    """The monitors of a training, and those among them that the end of a run asks for its numbers."""

    budget: Budget
    validation: Validation
    recorder: Recorder
    throughput: Throughput
    monitors: Monitors


def make_monitors(training: Training, writers: Writers, screen: Screen, save: Callable[[bool, int | None], None]) -> Watch:
    """Return the monitors: first what ends a run, then what measures, then what writes, last what saves."""
    config = training.config
    monitor, trainer = config["monitor"], config["trainer"]
    recorder = Recorder(writers.metrics, writers.timings, writers.board)
    throughput = Throughput(recorder, monitor["scalars_every"])
    budget = Budget(training.resolved["total_steps"], trainer["max_minutes"], lambda: throughput.seconds)
    cadences = [monitor["scalars_every"], trainer["val_every"], trainer["checkpoint_every"]]
    validation = Validation(
        recorder,
        trainer["val_every"],
        training.val_windows,
        training.tokens_per_character("val"),
        training.words,
        trainer["patience"],
    )
    lines = (monitor["scalars_every"], monitor["lines_every"], training.resolved["total_steps"])
    monitors: list[Monitor] = [
        budget,
        Divergence(cadences),
        TrainingCurves(recorder, monitor["scalars_every"], training.tokens_per_character("train")),
        UpdateSizes(recorder, monitor["updates_every"], monitor["histograms_every"]),
        validation,
        throughput,
        recorder,
        Progress(screen, recorder, throughput, *lines),
        make_samples(training, writers, screen),
        Saving(validation, trainer["checkpoint_every"], trainer["keep_every"], save),
    ]
    return Watch(budget, validation, recorder, throughput, Monitors(monitors))


def make_samples(training: Training, writers: Writers, screen: Screen) -> Samples:
    """Return the monitor that generates text while training.

    Raises:
        UserError: when the prompt holds what the vocabulary lacks.
    """
    monitor, vocabulary = training.config["monitor"], training.data.vocabulary
    never = tuple(id for id in (vocabulary.unk, None if vocabulary.level == "byte" else vocabulary.start) if id is not None)
    choices = [Choice(temperature, never=never, end=vocabulary.end) for temperature in monitor["sample_temperatures"]]
    prompt = monitor["sample_prompt"]
    return Samples(
        writers.board,
        writers.samples,
        monitor["samples_every"] or training.config["trainer"]["val_every"],
        prompt,
        prompt_ids(vocabulary, prompt),
        monitor["sample_length"],
        choices,
        vocabulary.decode,
        training.config["seed"],
        lambda step, temperature, text: screen.say(
            f"\n--- sample at step {step}, temperature {temperature} ---\n{text}\n---\n"
        ),
    )
