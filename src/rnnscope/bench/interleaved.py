"""The pipeline and a bare loop of the same work, taking turns in one process."""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from rnnscope.bench.baseline import BareLoop
from rnnscope.config.compose import compose_train
from rnnscope.monitor.validation import Validation
from rnnscope.pipeline.build import assemble
from rnnscope.pipeline.console import Screen
from rnnscope.pipeline.fit import quiet_lightning, write_snapshot
from rnnscope.pipeline.session import Session
from rnnscope.runs.folder import create_run_folder
from rnnscope.training.callback import CallbackList
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
    deterministic: float | None = None  # speed with kernels that repeat their bits, against that with any


def train_case(overrides: list[str], seconds: float) -> Turns:
    """Alternate turns of the pipeline and of the bare loop until each had `seconds` at least.

    It ends as many steps after a validation as it began: what happens seldom, samples and checkpoints, has its true share.
    """
    quiet_lightning()
    config = compose_train([*overrides, "trainer.max_steps=1000000000", "schedule=constant"])
    screen = Screen(quiet=True)
    training = assemble(config, screen.say)
    run = create_run_folder("bench")
    session = Session(run, write_snapshot(run, training, {}), training, screen)
    turns = Turns(precision=training.resolved["precision"])
    bare = bare_loop(training)
    watch = session.watch
    watch.monitors = TakeTurns(watch.monitors, turns, bare, seconds, watch.validation)
    session.train()
    turns.deterministic = deterministic_ratio(training, seconds / 3)
    return turns


def deterministic_ratio(training: Any, seconds: float) -> float:
    """Return how fast the bare loop is under trainer.deterministic=true, as a ratio of false; the two take turns."""
    sides, loops = {False: Side(), True: Side()}, {}
    while sides[True].seconds < seconds:
        for repeating, side in sides.items():
            torch.use_deterministic_algorithms(repeating)
            if repeating not in loops:
                loops[repeating] = bare_loop(training)
            side.add(*loops[repeating].train(min(TURN, seconds)))
    return sides[True].speed / sides[False].speed


def bare_loop(training: Any) -> BareLoop:
    """Return the loop of the same model, windows and precision: the text lies in the same columns."""
    model, dataset = training.config["model"], training.config["dataset"]
    rows, steps = dataset["batch_size"], dataset["sequence_length"]
    ids = np.asarray(training.data.stream("train")).astype(np.int64)
    columns = torch.from_numpy(ids[: len(ids) // rows * rows].reshape(rows, -1)).t().contiguous().to(training.device)
    bf16 = training.resolved["precision"] == "bf16"
    return BareLoop(columns, len(training.data.vocabulary), model["hidden_size"], model["num_layers"], steps, bf16)


class TakeTurns(CallbackList):
    """The monitors of a training; after each turn of it the bare loop runs while the pipeline stands still.

    It trains on the windows of that turn: which tokens they hold decides how long their gradients take.
    """

    def __init__(self, monitors: CallbackList, turns: Turns, bare: BareLoop, seconds: float, validation: Validation) -> None:
        super().__init__(monitors.ends, monitors.callbacks, monitors.every)
        self.turns, self.bare, self.seconds = turns, bare, seconds
        self._period, self._validating, self._look = validation.every, 0.0, validation.after_step
        self._turn = min(TURN, seconds)
        validation.after_step = self._timed  # type: ignore[method-assign]

    def _timed(self, task: LanguageModelTask) -> None:
        begin = time.perf_counter()
        self._look(task)
        self._validating += time.perf_counter() - begin

    def after_step(self, task: LanguageModelTask) -> None:
        super().after_step(task)
        if task.step == WARM_UP_STEPS:
            self.bare.train(self._turn)
            self._go_on(task)
        if task.step <= WARM_UP_STEPS:
            return
        period_ends = (task.step - WARM_UP_STEPS) % self._period == 0
        if time.perf_counter() - self._began < self._turn and not period_ends:
            return
        if task.device.type == "cuda":
            torch.cuda.synchronize()  # the turn ends when its work is done
        took, tokens = time.perf_counter() - self._began, task.tokens_seen - self._tokens
        self.turns.everything.add(tokens, took)
        self.turns.watched.add(tokens, took - self._validating)
        self.bare.step = self._step
        self.turns.bare.add(*self.bare.train(took))
        task.ending = task.interrupted = period_ends and self.turns.everything.seconds >= self.seconds
        self._go_on(task)

    def _go_on(self, task: LanguageModelTask) -> None:
        self._step, self._tokens, self._validating = task.step, task.tokens_seen, 0.0
        self._began = time.perf_counter()
