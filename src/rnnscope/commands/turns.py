"""The pipeline and a bare loop of the same work, taking turns in one process."""

import statistics
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from rnnscope.commands.assemble import assemble
from rnnscope.commands.bare_loop import BareLoop
from rnnscope.commands.compose import compose_train
from rnnscope.commands.fit import quiet_lightning, write_snapshot
from rnnscope.commands.screen import Screen
from rnnscope.commands.session import Session
from rnnscope.monitor.monitors import Monitor
from rnnscope.runs.folder import create_run_folder
from rnnscope.training.task import LanguageModelTask

WARM_UP_STEPS = 20
WINDOWS = 200  # of the training text, over and over, in the bare loop


@dataclass
class Turns:
    """Tokens per second of every turn. `watched` leaves the time of validation out, `everything` leaves nothing out."""

    precision: str
    bare: list[float] = field(default_factory=list)
    watched: list[float] = field(default_factory=list)
    everything: list[float] = field(default_factory=list)
    deterministic: float | None = None  # speed with kernels that repeat their bits, against that with any

    def ratio(self, side: list[float]) -> float:
        """Return the median of each turn against the mean of the bare turns before and after it."""
        around = [(before + after) / 2 for before, after in pairwise(self.bare)]
        return statistics.median(own / other for own, other in zip(side, around, strict=True))


def train_case(overrides: list[str], seconds: float, rounds: int) -> Turns:
    """Alternate turns of the pipeline and of the bare loop."""
    quiet_lightning()
    config = compose_train([*overrides, "trainer.max_steps=1000000000", "schedule=constant"])
    screen = Screen(quiet=True)
    training = assemble(config, screen.say)
    run = create_run_folder("bench")
    session = Session(run, write_snapshot(run, training, {}), training, screen)
    turns = Turns(precision=training.resolved["precision"])
    bare = bare_loop(training)
    session.watch.monitors.monitors.append(TakeTurns(turns, bare, seconds, rounds, session.watch.validation))
    session.train()
    turns.deterministic = deterministic_ratio(bare, seconds / 5, rounds)
    return turns


def deterministic_ratio(bare: BareLoop, seconds: float, rounds: int) -> float:
    """Return how fast the bare loop is under trainer.deterministic=true, as a ratio of false; the two take turns."""
    ratios = []
    for _ in range(rounds):
        torch.use_deterministic_algorithms(False)
        free = bare.train(seconds)
        torch.use_deterministic_algorithms(True)
        ratios.append(bare.train(seconds) / free)
    return statistics.median(ratios)


def bare_loop(training: Any) -> BareLoop:
    """Return the loop of the same model, window and precision."""
    model, dataset = training.config["model"], training.config["dataset"]
    rows, steps = dataset["batch_size"], dataset["sequence_length"]
    ids = np.asarray(training.data.stream("train")[: WINDOWS * rows * steps]).astype(np.int64)
    columns = torch.from_numpy(ids[: len(ids) // rows * rows].reshape(rows, -1)).t().contiguous().to(training.device)
    bf16 = training.resolved["precision"] == "bf16"
    return BareLoop(columns, len(training.data.vocabulary), model["hidden_size"], model["num_layers"], steps, bf16)


class TakeTurns(Monitor):
    """Lets the bare loop run while the pipeline stands still: bare, pipeline, bare, pipeline, ..., bare."""

    def __init__(self, turns: Turns, bare: BareLoop, seconds: float, rounds: int, validation: Any) -> None:
        self.turns, self.bare, self.seconds, self.rounds = turns, bare, seconds, rounds
        self._validating, self._look = 0.0, validation.after_step
        validation.after_step = self._timed
        self._began: float | None = None

    def _timed(self, task: LanguageModelTask) -> None:
        begin = time.perf_counter()
        self._look(task)
        self._validating += time.perf_counter() - begin

    def after_step(self, task: LanguageModelTask) -> None:
        if self._began is None:
            if task.step == WARM_UP_STEPS:
                self.bare.train(1.0)
                self._take(task)
            return
        if time.perf_counter() - self._began >= self.seconds:
            took, tokens = time.perf_counter() - self._began, task.tokens_seen - self._tokens
            self.turns.everything.append(tokens / took)
            self.turns.watched.append(tokens / (took - self._validating))
            self._take(task)
            task.ending = task.interrupted = len(self.turns.everything) == self.rounds

    def _take(self, task: LanguageModelTask) -> None:
        """Give the bare loop its turn, then start the pipeline's clock."""
        self.turns.bare.append(self.bare.train(self.seconds))
        self._began, self._tokens, self._validating = time.perf_counter(), task.tokens_seen, 0.0
