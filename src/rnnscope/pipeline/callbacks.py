"""The callbacks of a training, in their order."""

from collections.abc import Callable, Iterator
from typing import Any

from rnnscope.data.batches import StreamWindows, Windows
from rnnscope.monitor.budget import Budget
from rnnscope.monitor.curves import TrainingCurves
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
from rnnscope.training.distributed.synchronization import SynchronizationPoints


class TrainingCallbacks(CallbackList):
    """First what ends a run, then what measures, then what writes, last what saves.

    Those with a name of their own are asked for their numbers at the end of a run.

    Args:
        begin, save: what `Saving` calls.
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
        self.validation = make_validation(training, recorder)
        callbacks: list[Callback] = [
            Divergence(recorder, scalars, [trainer.val_every, trainer.checkpoint_every]),
            TrainingCurves(recorder, scalars, training.tokens_per_character("train")),
            UpdateSizes(recorder, monitor.updates_every, monitor.histograms_every),
            self.validation,
            throughput,
            recorder,
            Progress(console, recorder, throughput, scalars, lines, total),
            make_sample_writer(training, writers, console),
            Saving(
                recorder,
                self.validation,
                trainer.checkpoint_every,
                trainer.checkpoint_minutes,
                trainer.keep_every,
                begin,
                save,
            ),
        ]
        every = [trainer.val_every, trainer.checkpoint_every, trainer.keep_every, scalars, lines]
        every += [monitor.updates_every, monitor.histograms_every, monitor.samples_every]
        super().__init__(self.budget, callbacks, list(filter(None, every)))
        self.training = training

    def progress(self) -> dict[str, Any]:
        """Return how far the training is, for run.json."""
        losses = {key: self.recorder.latest.get(key) for key in ("train/loss", "val/loss")}
        step, seconds = self.training.task.step, round(self.throughput.seconds, 3)
        return {"step": step, "total": self.training.total_steps, "seconds": seconds, **losses}


def make_validation(training: Training, recorder: Recorder) -> Validation:
    """Return the callback that validates, and ends the run where that no longer improves."""
    trainer, job = training.config.trainer, training.options.job
    return Validation(
        recorder,
        trainer.val_every,
        lambda: val_windows(training),
        training.tokens_per_character("val"),
        training.words,
        trainer.patience,
        job.report if job else None,
    )


def make_budget(training: Training, seconds: Callable[[], float]) -> Budget:
    """Return the callback that ends the run: by its own budgets, or where the run that it repeats ended."""
    stop, job = training.options.stop, training.options.job
    if stop is not None:  # an earlier run got this far, whatever the clock says now
        return Budget(stop.step, None, seconds) if stop.as_end else Budget(training.total_steps, None, seconds, stop.step)
    limits = training.total_steps, training.config.trainer.max_minutes
    return Budget(*limits, seconds, asked=job.asked) if job else Budget(*limits, seconds)


def synchronization_points(training: Training) -> SynchronizationPoints:
    """Return when the processes of a training meet: for all that is logged, validated or saved, and where it may end."""
    monitor, trainer, stop = training.config.monitor, training.config.trainer, training.options.stop
    every = (monitor.scalars_every, monitor.samples_every, trainer.val_every, trainer.checkpoint_every, trainer.keep_every)
    last = (training.total_steps, stop.step if stop else None)
    return SynchronizationPoints(monitor.scalars_every, tuple(filter(None, every)), tuple(filter(None, last)))


def val_windows(training: Training) -> Iterator[Any]:
    """Return the windows that validation looks at, from the first token of the val split."""
    dataset, limit = training.config.dataset, training.config.trainer.val_tokens
    if dataset.windows != "stream" or limit is None:
        windows: Windows = training.data.windows("val")
    else:
        stream = training.data.stream("val")[: limit + 1]
        windows = StreamWindows(stream, dataset.val_batch_size, dataset.sequence_length, given=training.data.given)
    windows.device = training.hardware.device
    return iter(windows)


def make_sample_writer(training: Training, writers: Writers, console: Console) -> SampleWriter:
    """Return the callback that generates text while training."""
    config, monitor = training.config, training.config.monitor
    alone = config.dataset.windows == "samples"
    generator = TextGenerator(training.data.vocabulary, config.dataset.start_end, config.dataset.windows)
    what = monitor.sample_prompt, monitor.sample_length, monitor.sample_temperatures
    sampler = Sampler(*what, generator.cards, config.seed, alone)

    def show(step: int, temperature: float, text: str) -> None:
        console.say(f"\n--- sample at step {step}, temperature {temperature} ---\n{text}\n---\n")

    return SampleWriter(sampler, monitor.samples_every or config.trainer.val_every, writers.board, writers.samples, show)
