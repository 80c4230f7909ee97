"""The pipeline and a bare loop of the same work, in turns in one process."""

import math
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from rnnscope.bench.baseline import BareLoop
from rnnscope.bench.limit import operations_per_token
from rnnscope.config.compose import compose_train
from rnnscope.monitor.activations import Activations
from rnnscope.pipeline.build import Training, assemble
from rnnscope.pipeline.callbacks import TrainingCallbacks
from rnnscope.pipeline.console import Console
from rnnscope.pipeline.fit import write_snapshot
from rnnscope.pipeline.lightning import prepare_process
from rnnscope.pipeline.options import RunOptions
from rnnscope.pipeline.session import Session
from rnnscope.runs.folder import make_run_folder
from rnnscope.training.callback import Callback, CallbackList
from rnnscope.training.task import LanguageModelTask

WARM_UP_STEPS = 20
TURN = 5.0  # seconds at most: short, so that other work on the machine slows both sides alike


@dataclass
class Side:
    """The tokens and seconds of one side."""

    tokens: int = 0
    seconds: float = 0.0

    def add(self, tokens: int, seconds: float) -> None:
        self.tokens, self.seconds = self.tokens + tokens, self.seconds + seconds

    @property
    def speed(self) -> float:
        """Tokens per second."""
        return self.tokens / self.seconds


@dataclass
class Turns:
    """The results of all turns; `watched` excludes the time of validation, `everything` excludes nothing."""

    precision: str
    bare: Side = field(default_factory=Side)
    watched: Side = field(default_factory=Side)
    everything: Side = field(default_factory=Side)
    activations: float = math.nan  # share of the time for reading a window once more, at the default interval
    operations: int = 0  # floating-point operations per token
    deterministic: float = math.nan  # speed with deterministic kernels, relative to any kernels


def train_case(overrides: list[str], seconds: float) -> Turns:
    """Alternate turns of the pipeline and of the bare loop until each had at least `seconds`.

    It covers whole intervals between validations, so that rare work such as samples and checkpoints has its true share. The
    files of the training are deleted.

    Raises:
        KeyboardInterrupt: if a signal ended it early.
    """
    prepare_process()
    config = compose_train([*overrides, "trainer.max_steps=1000000000", "schedule=constant"])
    with tempfile.TemporaryDirectory() as folder, Console(quiet=True) as console:
        training = assemble(config, console.say, RunOptions(cache=Path(folder) / "cache"))
        run = make_run_folder(Path(folder) / "run")
        session = Session(run, write_snapshot(run, training, {}), training, console)
        turns = Turns(training.hardware.precision, operations=operations_per_token(training.model))
        taking = TakeTurns(session.callbacks, turns, bare_loop(training), seconds)
        session.train(taking)
        if not taking.done:
            raise KeyboardInterrupt
        turns.deterministic = deterministic_ratio(training, seconds / 3)
    return turns


def deterministic_ratio(training: Training, seconds: float) -> float:
    """Return the speed of the bare loop with trainer.deterministic=true, relative to false, measured in turns."""
    sides, loops = {False: Side(), True: Side()}, {}
    while sides[True].seconds < seconds:
        for repeating, side in sides.items():
            torch.use_deterministic_algorithms(repeating)
            if repeating not in loops:
                loops[repeating] = bare_loop(training)
            side.add(*loops[repeating].train(min(TURN, seconds)))
    return sides[True].speed / sides[False].speed


def bare_loop(training: Training) -> BareLoop:
    """Return the bare loop with the same model, windows and precision as a training."""
    model, dataset = training.config.model, training.config.dataset
    rows, steps = dataset.batch_size, dataset.sequence_length
    ids = np.asarray(training.data.stream("train")).astype(np.int64)
    columns = torch.from_numpy(ids[: len(ids) // rows * rows].reshape(rows, -1)).t().contiguous().to(training.hardware.device)
    bf16 = training.hardware.precision == "bf16"
    return BareLoop(columns, len(training.data.vocabulary), model.sizes[0], model.num_layers, steps, bf16)


class Timed(Callback):
    """Measures the seconds that a callback takes after steps."""

    name = "Timed"

    def __init__(self, inner: Callback) -> None:
        self.inner, self.seconds = inner, 0.0

    def start(self, task: LanguageModelTask) -> None:
        self.inner.start(task)

    def before_step(self, task: LanguageModelTask) -> None:
        self.inner.before_step(task)

    def after_step(self, task: LanguageModelTask) -> None:
        begin = time.perf_counter()
        self.inner.after_step(task)
        self.seconds += time.perf_counter() - begin


class TakeTurns(Callback):
    """Calls the callbacks of a training, and runs the bare loop after each turn of the pipeline.

    The bare loop trains on the same windows, since the tokens in them affect the speed. `done` is True if this callback ended
    the training, because both sides had at least `seconds`.
    """

    def __init__(self, inner: TrainingCallbacks, turns: Turns, bare: BareLoop, seconds: float) -> None:
        self.validation = Timed(inner.validation)
        self.activations = Timed(next(callback for callback in inner.callbacks if isinstance(callback, Activations)))
        timed = {timer.inner: timer for timer in (self.validation, self.activations)}
        callbacks = [timed.get(callback, callback) for callback in inner.callbacks]
        self.callbacks = CallbackList(inner.ends, callbacks, inner.every)
        self.turns, self.bare, self.seconds, self.done = turns, bare, seconds, False
        self._period, self._turn, self._budget = inner.validation.every, min(TURN, seconds), inner.budget

    def start(self, task: LanguageModelTask) -> None:
        self.callbacks.start(task)

    def before_step(self, task: LanguageModelTask) -> None:
        self.callbacks.before_step(task)

    def after_step(self, task: LanguageModelTask) -> None:
        self.callbacks.after_step(task)
        if task.step == WARM_UP_STEPS:
            self.bare.train(self._turn, self._stopped)
            self._begin(task)
        if task.step <= WARM_UP_STEPS or task.ending:  # ended by a signal
            return
        period_ends = (task.step - WARM_UP_STEPS) % self._period == 0
        if time.perf_counter() - self._began < self._turn and not period_ends:
            return
        if task.device.type == "cuda":
            torch.cuda.synchronize()  # the turn ends when the GPU has finished
        took, tokens = time.perf_counter() - self._began, task.tokens_seen - self._tokens
        self.turns.everything.add(tokens, took)
        self.turns.watched.add(tokens, took - self.validation.seconds)
        self.bare.step = self._step
        self.turns.bare.add(*self.bare.train(took, self._stopped))
        if period_ends and self.turns.everything.seconds >= self.seconds and not self._stopped():
            self.done = task.ending = task.interrupted = True
            self.turns.activations = self.activations.seconds / self.turns.everything.seconds
        self._begin(task)

    def _stopped(self) -> bool:
        return self._budget.signal is not None

    def _begin(self, task: LanguageModelTask) -> None:
        self._step, self._tokens, self.validation.seconds = task.step, task.tokens_seen, 0.0
        self._began = time.perf_counter()
