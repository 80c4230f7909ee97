"""The callbacks of a training, in order."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from rnnscope.model.scoring import Score, evaluate
from rnnscope.monitor.activations import Activations
from rnnscope.monitor.budget import Budget
from rnnscope.monitor.busy_machine import BusyMachine
from rnnscope.monitor.curves import TrainingCurves, first_loss_line
from rnnscope.monitor.divergence import Divergence
from rnnscope.monitor.progress import Progress
from rnnscope.monitor.recorder import Recorder
from rnnscope.monitor.sample_writer import Sampler, SampleWriter
from rnnscope.monitor.saving import Saving
from rnnscope.monitor.throughput import Throughput
from rnnscope.monitor.update_sizes import UpdateSizes
from rnnscope.monitor.validation import Validation
from rnnscope.pipeline.build import Training
from rnnscope.pipeline.console import Console
from rnnscope.pipeline.writers import Writers
from rnnscope.runs.generation import TextGenerator
from rnnscope.training.callback import Callback, CallbackList
from rnnscope.training.task import LanguageModelTask

IN_EVERY_PROCESS = (Divergence, TrainingCurves, Validation, Recorder, Saving)  # the rest only observe, in rank 0


class TrainingCallbacks(CallbackList):
    """First the callbacks that end a run, then those that measure, those that write, and those that save.

    Some are attributes as well, to be read at the end of a run. In processes other than rank 0 there are only those that
    decide or synchronize something.

    Args:
        begin, save: called by `Saving`.
    """

    def __init__(
        self,
        training: Training,
        writers: Writers,
        console: Console,
        begin: Callable[[], None],
        save: Callable[[bool, int | None], None],
    ) -> None:
        monitor, trainer, total = training.config.monitor, training.config.trainer, training.total_steps
        scalars, lines = monitor.scalars_every, monitor.lines_every
        recorder = self.recorder = Recorder(writers.metrics, writers.timings, writers.board)
        throughput = self.throughput = Throughput(recorder, scalars)
        self.budget = make_budget(training, lambda: throughput.seconds)
        check = self.budget.check if may_break_off(training) else lambda: None
        self.validation = make_validation(training, recorder, check)
        saved = trainer.checkpoint_every, trainer.checkpoint_minutes, trainer.keep_every
        collectives = training.task.collectives
        self.points = synchronization_points(training) if collectives else None
        callbacks: list[Callback] = [
            Divergence(recorder, scalars, [*filter(None, (trainer.val_every, trainer.checkpoint_every, trainer.keep_every))]),
            TrainingCurves(recorder, scalars, training.tokens_per_character("train")),
            UpdateSizes(recorder, monitor.updates_every, monitor.histograms_every),
            Activations(writers.board, monitor.activations_every),
            self.validation,
            throughput,
            recorder,
            Progress(console, recorder, throughput, scalars, lines, total),
            BusyMachine(console.say, scalars, training.hardware.threads),
            make_sample_writer(training, writers, console, check),
            Saving(recorder, self.validation, *saved, begin, save, agreement(training)),
        ]
        if collectives and collectives.rank:
            callbacks = [callback for callback in callbacks if isinstance(callback, IN_EVERY_PROCESS)]
        every = [trainer.val_every, trainer.checkpoint_every, trainer.keep_every, scalars, lines]
        every += [monitor.updates_every, monitor.histograms_every, monitor.activations_every, monitor.samples_every]
        super().__init__(self.budget, callbacks, list(filter(None, every)))
        self.training, self.console = training, console

    def after_step(self, task: LanguageModelTask) -> None:
        if task.step == 1 and task.sums.tokens and task.collectives is None and self.training.config.init_from is None:
            line = first_loss_line(task.sums.nats / task.sums.tokens, task.model.vocabulary_size)
            if line:
                self.console.say(line)
        super().after_step(task)

    def before_step(self, task: LanguageModelTask) -> None:
        if self.points:
            task.synchronizes = self.points(task.step + 1)
        super().before_step(task)

    def progress(self) -> dict[str, Any]:
        """Return the `progress` entry for run.json."""
        losses = {key: self.recorder.latest.get(key) for key in ("train/loss", "val/loss")}
        step, seconds = self.training.task.step, round(self.throughput.seconds, 3)
        return {"step": step, "total": self.training.total_steps, "seconds": seconds, **losses}


def may_break_off(training: Training) -> bool:
    """Whether a validation or sample may be interrupted in the middle; not if several processes or Lightning take part."""
    return training.task.collectives is None and training.extensions is None


def make_validation(training: Training, recorder: Recorder, check: Callable[[], None]) -> Validation:
    """Return the callback that validates and stops early; `check` is called between windows."""
    trainer, job = training.config.trainer, training.options.job
    scorer = training.extensions.validate if training.extensions else lambda task: score(task, val_windows(training, check))
    return Validation(
        recorder,
        trainer.val_every,
        scorer if training.data.splits["val"].tokens else None,
        training.tokens_per_character("val"),
        training.words,
        trainer.patience,
        job.report if job else None,
    )


def score(task: LanguageModelTask, windows: Iterator[Any]) -> Score:
    """Return the score of the model over all processes; `windows` are this process's share."""
    with task.evaluated():
        found = evaluate(task.model, windows, task.precision)
    if task.collectives is None:
        return found
    nats, correct = task.collectives.sums([found.nats, found.correct])
    return replace(found, nats=nats, correct=round(correct))


def make_budget(training: Training, seconds: Callable[[], float]) -> Budget:
    """Return the callback that ends the run: at its budgets, or where the repeated run ended."""
    stop, job = training.options.stop, training.options.job
    agree = agreement(training)
    if stop is not None:  # repeat exactly as many steps as the earlier run took
        total, pause_at = (stop.step, None) if stop.as_end else (training.total_steps, stop.step)
        return Budget(total, None, seconds, pause_at, agree=agree)
    limits = training.total_steps, training.config.trainer.max_minutes
    return Budget(*limits, seconds, asked=job.asked) if job else Budget(*limits, seconds, agree=agree)


def agreement(training: Training) -> Callable[[Any], Any]:
    """Return a function that gives all processes rank 0's value, for values that depend on a clock or a signal."""
    collectives = training.task.collectives
    return collectives.broadcast if collectives else lambda value: value


def synchronization_points(training: Training) -> Callable[[int], bool]:
    """Return a function that tells whether processes synchronize after a step: if it logs, validates, saves or may be last."""
    monitor, trainer, stop = training.config.monitor, training.config.trainer, training.options.stop
    every = (monitor.scalars_every, monitor.samples_every, trainer.val_every, trainer.checkpoint_every, trainer.keep_every)
    last = (training.total_steps, stop.step if stop else None)
    return lambda step: step in last or any(step % steps == 0 for steps in every if steps)


def val_windows(training: Training, check: Callable[[], None]) -> Iterator[Any]:
    """Return this process's share of the windows to validate on, from the first token of the val split."""
    config, processes = training.config, training.hardware.processes
    rank, world_size = processes.rank, processes.world_size
    if not training.hardware.shared_validation:  # rank 0 has all rows, and no other process has any
        rank, world_size = (0, 1) if rank == 0 else (0, config.dataset.val_batch_size + 1)
    windows = training.data.windows("val", config.trainer.val_tokens, rank, world_size)
    windows.device = training.hardware.device
    for window in windows:
        check()
        yield window


def make_sample_writer(training: Training, writers: Writers, console: Console, check: Callable[[], None]) -> SampleWriter:
    """Return the callback that generates text while training; `check` is called before each token."""
    config, monitor = training.config, training.config.monitor
    alone = config.dataset.windows == "samples"
    generator = TextGenerator(training.data.vocabulary, vars(config.dataset), check)
    what = monitor.sample_prompt, monitor.sample_length, monitor.sample_temperatures
    sampler = Sampler(*what, generator.cards, config.seed, alone)

    def show(step: int, temperature: float, text: str) -> None:
        console.say(f"\n--- sample at step {step}, temperature {temperature} ---\n{text}\n---\n")

    return SampleWriter(sampler, monitor.samples_every or config.trainer.val_every, writers.board, writers.samples, show)
