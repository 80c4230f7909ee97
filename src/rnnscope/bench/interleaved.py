"""The pipeline and a bare loop of the same work, taking turns in one process."""

import math
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from rnnscope.bench.baseline import BareLoop
from rnnscope.config.compose import compose_train
from rnnscope.monitor.activations import Activations
from rnnscope.pipeline.build import Training, assemble
from rnnscope.pipeline.callbacks import TrainingCallbacks
from rnnscope.pipeline.console import Console
from rnnscope.pipeline.fit import write_snapshot
from rnnscope.pipeline.lightning import quiet_lightning
from rnnscope.pipeline.options import RunOptions
from rnnscope.pipeline.session import Session
from rnnscope.runs.folder import make_run_folder
from rnnscope.training.callback import Callback, CallbackList
from rnnscope.training.task import LanguageModelTask

WARM_UP_STEPS = 20
TURN = 5.0  # seconds at most: short enough that whatever else the machine does slows both sides alike


@dataclass
class Side:
    """How much one side has trained, and in what time."""

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
    """What each side did in all its turns. `watched` leaves the time of validation out, `everything` leaves nothing out."""

    precision: str
    bare: Side = field(default_factory=Side)
    watched: Side = field(default_factory=Side)
    everything: Side = field(default_factory=Side)
    activations: float = math.nan  # share of the time that reading a window once more takes, at the default interval
    deterministic: float = math.nan  # speed with kernels that repeat their bits, against that with any


def train_case(overrides: list[str], seconds: float) -> Turns:
    """Alternate turns of the pipeline and of the bare loop until each had `seconds` at least.

    It ends as many steps after a validation as it began: what happens seldom, samples and checkpoints, has its true share.
    What the training writes is gone afterwards.

    Raises:
        KeyboardInterrupt: where a signal ended it before.
    """
    quiet_lightning()
    config = compose_train([*overrides, "trainer.max_steps=1000000000", "schedule=constant"])
    with tempfile.TemporaryDirectory() as folder, Console(quiet=True) as console:
        training = assemble(config, console.say, RunOptions(cache=Path(folder) / "cache"))
        run = make_run_folder(Path(folder) / "run")
        session = Session(run, write_snapshot(run, training, {}), training, console)
        turns = Turns(training.hardware.precision)
        taking = TakeTurns(session.callbacks, turns, bare_loop(training), seconds)
        session.train(taking)
        if not taking.done:
            raise KeyboardInterrupt
        turns.deterministic = deterministic_ratio(training, seconds / 3)
    return turns


def deterministic_ratio(training: Training, seconds: float) -> float:
    """Return how fast the bare loop is under trainer.deterministic=true, as a ratio of false; the two take turns."""
    sides, loops = {False: Side(), True: Side()}, {}
    while sides[True].seconds < seconds:
        for repeating, side in sides.items():
            torch.use_deterministic_algorithms(repeating)
            if repeating not in loops:
                loops[repeating] = bare_loop(training)
            side.add(*loops[repeating].train(min(TURN, seconds)))
    return sides[True].speed / sides[False].speed


def bare_loop(training: Training) -> BareLoop:
    """Return the loop of the same model, windows and precision: the text lies in the same columns."""
    model, dataset = training.config.model, training.config.dataset
    rows, steps = dataset.batch_size, dataset.sequence_length
    ids = np.asarray(training.data.stream("train")).astype(np.int64)
    columns = torch.from_numpy(ids[: len(ids) // rows * rows].reshape(rows, -1)).t().contiguous().to(training.hardware.device)
    bf16 = training.hardware.precision == "bf16"
    return BareLoop(columns, len(training.data.vocabulary), model.sizes[0], model.num_layers, steps, bf16)


class Timed(Callback):
    """Another callback, with the seconds that it takes after steps."""

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
    """Calls the callbacks of a training; after each turn of it the bare loop runs while the pipeline stands still.

    It trains on the windows of that turn: which tokens they hold decides how long their gradients take. `done` says
    whether it ended the training itself, both sides having had `seconds` at least.
    """

    def __init__(self, inner: TrainingCallbacks, turns: Turns, bare: BareLoop, seconds: float) -> None:
        self.validation = Timed(inner.validation)
        self.activations = Timed(next(callback for callback in inner.callbacks if isinstance(callback, Activations)))
        timed = {timer.inner: timer for timer in (self.validation, self.activations)}
        callbacks = [timed.get(callback, callback) for callback in inner.callbacks]
        self.callbacks = CallbackList(inner.ends, callbacks, inner.every)
        self.turns, self.bare, self.seconds, self.done = turns, bare, seconds, False
        self._period, self._turn = inner.validation.every, min(TURN, seconds)

    def start(self, task: LanguageModelTask) -> None:
        self.callbacks.start(task)

    def before_step(self, task: LanguageModelTask) -> None:
        self.callbacks.before_step(task)

    def after_step(self, task: LanguageModelTask) -> None:
        self.callbacks.after_step(task)
        if task.step == WARM_UP_STEPS:
            self.bare.train(self._turn)
            self._begin(task)
        if task.step <= WARM_UP_STEPS or task.ending:  # a signal ends it
            return
        period_ends = (task.step - WARM_UP_STEPS) % self._period == 0
        if time.perf_counter() - self._began < self._turn and not period_ends:
            return
        if task.device.type == "cuda":
            torch.cuda.synchronize()  # the turn ends when its work is done
        took, tokens = time.perf_counter() - self._began, task.tokens_seen - self._tokens
        self.turns.everything.add(tokens, took)
        self.turns.watched.add(tokens, took - self.validation.seconds)
        self.bare.step = self._step
        self.turns.bare.add(*self.bare.train(took))
        if period_ends and self.turns.everything.seconds >= self.seconds:
            self.done = task.ending = task.interrupted = True
            self.turns.activations = self.activations.seconds / self.turns.everything.seconds
        self._begin(task)

    def _begin(self, task: LanguageModelTask) -> None:
        self._step, self._tokens, self.validation.seconds = task.step, task.tokens_seen, 0.0
        self._began = time.perf_counter()
