"""What watches a training: the open files of its run, and the monitors that write to them, in their order."""

from collections.abc import Callable
from dataclasses import dataclass

from rnnscope.monitor.budget import Budget
from rnnscope.monitor.curves import TrainingCurves
from rnnscope.monitor.divergence import Divergence
from rnnscope.monitor.monitors import Monitor, Monitors
from rnnscope.monitor.progress import Progress
from rnnscope.monitor.recorder import Recorder
from rnnscope.monitor.sample_writer import Samples
from rnnscope.monitor.saving import Saving
from rnnscope.monitor.tensorboard import Board
from rnnscope.monitor.throughput import Throughput
from rnnscope.monitor.update_sizes import UpdateSizes
from rnnscope.monitor.validation import Validation
from rnnscope.pipeline.build import Training
from rnnscope.pipeline.console import Screen
from rnnscope.runs.generation import drawing, first_id, prompt_ids
from rnnscope.runs.journal import CsvJournal, JsonJournal
from rnnscope.training.distributed.synchronization import Meetings


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

    def truncate(self, offsets: dict[str, int]) -> None:
        """Forget what was written after a checkpoint that remembers `offsets`."""
        for name in ("metrics", "timings", "samples"):
            getattr(self, name).truncate(offsets[name])

    def sync(self) -> None:
        """Put on disk what a checkpoint is about to count on."""
        for writer in (self.metrics, self.timings, self.samples):
            writer.sync()

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


def make_budget(training: Training, seconds: Callable[[], float]) -> Budget:
    """Return the monitor that ends the run: by its own budgets, or where the run that it repeats ended."""
    terms = training.terms
    if terms.end is not None:
        return Budget(terms.end, None, seconds, terms.pause)
    if terms.pause is not None:  # an earlier run got this far, whatever the clock says now
        return Budget(training.resolved["total_steps"], None, seconds, terms.pause)
    limits = training.resolved["total_steps"], training.config["trainer"]["max_minutes"]
    return Budget(*limits, seconds, asked=terms.job.asked) if terms.job else Budget(*limits, seconds)


def meetings(training: Training) -> Meetings:
    """Return when the processes of a training meet: for all that is logged, validated or saved, and where it may end."""
    monitor, trainer, terms = training.config["monitor"], training.config["trainer"], training.terms
    every = (monitor["scalars_every"], monitor["samples_every"])
    every += (trainer["val_every"], trainer["checkpoint_every"], trainer["keep_every"])
    last = (training.resolved["total_steps"], terms.end, terms.pause)
    return Meetings(monitor["scalars_every"], tuple(filter(None, every)), tuple(filter(None, last)))


def make_monitors(
    training: Training,
    writers: Writers,
    screen: Screen,
    begin: Callable[[], None],
    save: Callable[[bool, int | None], None],
) -> Watch:
    """Return the monitors: first what ends a run, then what measures, then what writes, last what saves."""
    config = training.config
    monitor, trainer = config["monitor"], config["trainer"]
    recorder = Recorder(writers.metrics, writers.timings, writers.board)
    throughput = Throughput(recorder, monitor["scalars_every"])
    budget = make_budget(training, lambda: throughput.seconds)
    cadences = [monitor["scalars_every"], trainer["val_every"], trainer["checkpoint_every"]]
    validation = Validation(
        recorder,
        trainer["val_every"],
        training.val_windows,
        training.tokens_per_character("val"),
        training.words,
        trainer["patience"],
        training.terms.job.report if training.terms.job else None,
    )
    lines = (monitor["scalars_every"], monitor["lines_every"], training.resolved["total_steps"])
    monitors: list[Monitor] = [
        Divergence(recorder, monitor["scalars_every"], cadences[1:]),
        TrainingCurves(recorder, monitor["scalars_every"], training.tokens_per_character("train")),
        UpdateSizes(recorder, monitor["updates_every"], monitor["histograms_every"]),
        validation,
        throughput,
        recorder,
        Progress(screen, recorder, throughput, *lines),
        make_samples(training, writers, screen),
        Saving(
            recorder, validation, trainer["checkpoint_every"], trainer["checkpoint_minutes"], trainer["keep_every"], begin, save
        ),
    ]
    keys = ("scalars_every", "updates_every", "histograms_every", "lines_every", "samples_every")
    every = [*cadences, trainer["keep_every"], *(monitor[key] for key in keys)]
    return Watch(budget, validation, recorder, throughput, Monitors(budget, monitors, list(filter(None, every))))


def make_samples(training: Training, writers: Writers, screen: Screen) -> Samples:
    """Return the monitor that generates text while training.

    Raises:
        UserError: when the prompt holds what the vocabulary lacks.
    """
    monitor, vocabulary = training.config["monitor"], training.data.vocabulary
    prompt, length = monitor["sample_prompt"], monitor["sample_length"]
    # an untrained model ends a document after a few characters: what it has learnt to write would not be seen
    least = length if training.config["dataset"]["start_end"] == "document" else 0
    return Samples(
        writers.board,
        writers.samples,
        monitor["samples_every"] or training.config["trainer"]["val_every"],
        prompt,
        [first_id(vocabulary, training.config), *prompt_ids(vocabulary, prompt)],
        length,
        monitor["sample_temperatures"],
        drawing(vocabulary, training.config, minimum_length=least),
        vocabulary.decode,
        training.config["seed"],
        lambda step, temperature, text: screen.say(
            f"\n--- sample at step {step}, temperature {temperature} ---\n{text}\n---\n"
        ),
    )
