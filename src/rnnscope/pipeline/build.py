"""Building the parts of a training from a config: hardware, data, model, task. Checks all that needs no run folder."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from rnnscope.allocator import keep_freed_memory
from rnnscope.config.compose import compose_command
from rnnscope.config.schema import TrainConfig
from rnnscope.config.validate import check_config
from rnnscope.data.batches import Windows
from rnnscope.data.cleaning import clean
from rnnscope.data.module import TextData
from rnnscope.errors import UserError
from rnnscope.model.language_model import LanguageModel
from rnnscope.monitor.recorder import metric_columns
from rnnscope.paths import cache_folder
from rnnscope.pipeline.budgets import count_steps
from rnnscope.pipeline.extensions import Extensions
from rnnscope.pipeline.hardware import Hardware, find_hardware, resolve_cuda_graph
from rnnscope.pipeline.options import RunOptions
from rnnscope.pipeline.warm_start import adopt, copy_weights, starting_run
from rnnscope.runs.generation import spaced, strangers
from rnnscope.runs.load import LoadedRun
from rnnscope.runs.own_text import check_data, finding
from rnnscope.runs.snapshot import build_model
from rnnscope.training.averaging import WeightAverage
from rnnscope.training.config import PlateauConfig
from rnnscope.training.distributed.collectives import Collectives
from rnnscope.training.optimizer_step import OptimizerStep
from rnnscope.training.optimizers import make_optimizer
from rnnscope.training.penalties import Penalties
from rnnscope.training.randomness import random_state, seed_all, seed_of_process
from rnnscope.training.schedules import make_schedule
from rnnscope.training.state_resets import StateResets
from rnnscope.training.trainer_task import TrainerTask


@dataclass
class Training:
    """Everything that a training needs, before there is a run folder."""

    config: TrainConfig
    options: RunOptions
    hardware: Hardware
    data: TextData
    model: LanguageModel
    task: TrainerTask
    windows: Windows  # this process's share of the training windows
    total_steps: int | None  # None if only a time budget limits them
    horizon: int | None  # the step budget that the schedule is made for
    initial: str | None  # hash of the weights of the run that this one starts from
    extensions: Extensions | None = None  # None unless training runs in Lightning's own loop

    @property
    def resolved(self) -> dict[str, Any]:
        """The values that `auto` and null in the config stand for, for the record."""
        return {**self.hardware.as_record(), "total_steps": self.total_steps, "horizon": self.horizon}

    @property
    def words(self) -> bool:
        return self.data.vocabulary.level == "word"

    @property
    def metric_columns(self) -> list[str]:
        """The columns of metrics.csv."""
        return metric_columns(list(self.model.trained()), self.words, self.task.plain_step.penalties is not None)

    @property
    def agreed(self) -> dict[str, Any]:
        """What must be equal in all processes that train together."""
        resolved = {key: self.resolved[key] for key in ("device", "precision", "horizon")}
        return {**resolved, "text": self.data.fingerprint["streams"]}

    def tokens_per_character(self, split: str) -> float:
        """Return the number of tokens per character of a split's text."""
        info = self.data.splits[split]
        return info.tokens / info.characters if info.characters else math.nan


def assemble(config: TrainConfig, say: Callable[[str], None], options: RunOptions | None = None) -> Training:
    """Build data, model and task from a config.

    Raises:
        UserError: for anything in config or text that cannot be trained on.
    """
    check_config(config)
    options = options or RunOptions()
    extensions = Extensions(options.extensions) if options.extensions.in_lightning else None
    hardware = find_hardware(config, options.recorded.resolved, say)
    if extensions:
        extensions.check(hardware.device)
    start = None if options.from_checkpoint else starting_run(config)
    data = make_data(config, options, start, say)
    model, initial = make_model(config, options, start, data, hardware)
    windows = data.train_windows(hardware.processes.rank, hardware.processes.world_size)
    windows.device = hardware.device
    total_steps = count_steps(config.trainer, windows.windows_per_epoch)
    horizon = options.recorded.horizon or total_steps
    task = make_task(config, model, horizon, hardware, say)
    return Training(config, options, hardware, data, model, task, windows, total_steps, horizon, initial, extensions)


def compose(overrides: list[str]) -> tuple[TrainerTask, TextData]:
    """Return the LightningModule and the data module that `rnnscope train <overrides>` would train.

    It sets torch's threads and seeds, as the command does.

    Raises:
        UserError: for anything in the overrides or the text that cannot be trained on.
    """
    composition = compose_command(overrides)
    if composition.config.trainer.strategy != "single":
        raise UserError("trainer=ddp: give the processes to the Trainer instead: pl.Trainer(strategy='ddp', devices=2)")
    if composition.extensions.in_lightning:
        raise UserError("callbacks and loggers: give them to the Trainer instead: pl.Trainer(callbacks=[...], logger=...)")
    config, _ = adopt(composition.config, composition.keys)
    training = assemble(config, print)
    training.task.start_random = random_state()  # training starts from it, even if random numbers are drawn before
    return training.task, training.data


def make_data(config: TrainConfig, options: RunOptions, start: LoadedRun | None, say: Callable[[str], None]) -> TextData:
    """Return the prepared text, encoded with the vocabulary of the run that is resumed, repeated or started from, if any.

    Raises:
        UserError: for anything in it that cannot be trained on, and if it is not the recorded text.
    """
    recorded, corpus = options.recorded, config.dataset.corpus
    vocabulary = recorded.vocabulary or (start.vocabulary if start else None)
    places = {"cache_dir": options.cache or cache_folder(), "say": say}
    data = TextData.from_config(config.dataset, seed=config.seed, vocabulary=vocabulary, **places)
    data.val_tokens = config.trainer.val_tokens
    with finding(corpus, recorded.fingerprint):
        data.prepare()
    keep_freed_memory()  # only now: what preparing the text used should go back to the system
    check_data(data.fingerprint, recorded.fingerprint, corpus)
    if not data.splits["val"].tokens:
        check_without_validation(config, say)
    typed = clean(config.monitor.sample_prompt, vars(config.dataset))
    prompt = spaced(data.vocabulary, typed)
    if prompt != typed:
        say("monitor.sample_prompt is read with a space in front: its first word is known only after one")
    if strange := data.vocabulary.unknown(prompt):
        raise UserError(strangers("monitor.sample_prompt", strange))
    return data


def check_without_validation(config: TrainConfig, say: Callable[[str], None]) -> None:
    """Say what an empty val split means, and refuse settings that need validation.

    Raises:
        UserError: for such a setting, naming the key.
    """
    remedy = "the val split is empty: give dataset.split.val a share"
    if config.trainer.patience is not None:
        raise UserError(
            f"trainer.patience={config.trainer.patience} needs validation, and {remedy}, or set trainer.patience=null"
        )
    if config.trainer.average == "asgd":
        raise UserError(f"trainer.average=asgd needs validation, and {remedy}, or set trainer.average=ema")
    if isinstance(config.schedule, PlateauConfig) and config.schedule.watch == "val/loss":
        raise UserError(f"schedule.watch=val/loss needs validation, and {remedy}, or set schedule.watch=train/loss")
    say("the val split is empty: nothing is validated, and the newest weights count as the best")


def make_model(
    config: TrainConfig, options: RunOptions, start: LoadedRun | None, data: TextData, hardware: Hardware
) -> tuple[LanguageModel, str | None]:
    """Return the model on its device, and the hash of its initial weights if they come from a run.

    Raises:
        UserError: if it does not fit on the GPU, or the weights are not the recorded ones.
    """
    seed_all(config.seed)  # after the data, whose preparation must not change the initial weights
    model, initial = build_model(config.model, len(data.vocabulary)), options.recorded.initial
    if start is not None:
        initial = copy_weights(model, start, initial)
    if hardware.torch_kernels:
        model.use_torch_kernels()
    if hardware.processes.rank:
        seed_all(seed_of_process(config.seed, hardware.processes.rank))  # equal weights, but different dropout
    try:
        return model.to(hardware.device), initial
    except torch.OutOfMemoryError as error:
        size = f"model.num_layers={config.model.num_layers} and model.hidden_size={config.model.hidden_size}"
        raise UserError(f"the model does not fit on the GPU; lower {size}, or use trainer=cpu") from error


def make_task(
    config: TrainConfig, model: LanguageModel, horizon: int | None, hardware: Hardware, say: Callable[[str], None]
) -> TrainerTask:
    """Return the task that takes the steps, with its optimizer, schedule, clipping, state resets and collectives."""
    trainer, processes = config.trainer, hardware.processes
    how = {"capturable": hardware.capturable, "precision": hardware.precision}
    optimizer = make_optimizer(model, **asdict(config.optimizer), **how)
    schedule = make_schedule(lr=config.optimizer.lr, total_steps=horizon, **asdict(config.schedule))
    place = processes.rank, processes.world_size
    collectives = Collectives(*place) if processes.together else None
    penalties = Penalties(trainer.activation_penalty, trainer.temporal_penalty)
    penalties = penalties if penalties != Penalties(0, 0) else None
    take = OptimizerStep(model, optimizer, hardware.precision, trainer.clip_norm, trainer.clip_value, collectives, penalties)
    resets = StateResets(trainer.state_reset, config.seed, *place) if trainer.state_reset else None
    averaging = trainer.average, model, trainer.ema_decay, trainer.asgd_interval
    average = WeightAverage(*averaging) if trainer.average != "none" else None
    return TrainerTask(take, schedule, resets, resolve_cuda_graph(trainer.cuda_graph, optimizer, hardware, say), average)
