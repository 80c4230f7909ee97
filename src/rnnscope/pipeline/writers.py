"""The open files of a run that callbacks write to."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rnnscope.config.schema import TrainConfig
from rnnscope.monitor.recorder import TIMING_COLUMNS
from rnnscope.monitor.tensorboard import TensorBoardWriter
from rnnscope.pipeline.build import Training
from rnnscope.pipeline.loggers import BoardAndLoggers
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.journal import CsvJournal, JsonJournal
from rnnscope.runs.segments import flatten

HPARAMS = {  # what the HParams tab lists: the same keys in every run, or TensorBoard loses columns
    "dataset": ("name", "level", "batch_size", "sequence_length"),
    "model": ("cell", "hidden_size", "num_layers", "dropout", "input", "tied_weights", "init"),
    "optimizer": ("name", "lr", "weight_decay"),
    "schedule": ("name",),
    "trainer": ("clip_norm", "max_steps", "max_epochs"),
}


@dataclass
class Writers:
    """The journals, which a checkpoint counts on, and TensorBoard's file."""

    metrics: CsvJournal
    timings: CsvJournal
    samples: JsonJournal
    board: TensorBoardWriter

    @property
    def journals(self) -> dict[str, CsvJournal | JsonJournal]:
        return {"metrics": self.metrics, "timings": self.timings, "samples": self.samples}

    def offsets(self) -> dict[str, int]:
        """Return how long each file is now: what a checkpoint remembers."""
        return {name: journal.offset for name, journal in self.journals.items()}

    def truncate(self, offsets: dict[str, int]) -> None:
        """Forget what was written after a checkpoint that remembers `offsets`."""
        for name, journal in self.journals.items():
            journal.truncate(offsets[name])

    def sync(self) -> None:
        """Put on disk what a checkpoint is about to count on."""
        for journal in self.journals.values():
            journal.sync()

    def close(self) -> None:
        for writer in (*self.journals.values(), self.board):
            writer.close()


class Nowhere:
    """Takes what is written and keeps nothing."""

    def append(self, values: dict[str, Any]) -> None: ...

    def scalars(self, step: int, values: dict[str, float]) -> None: ...


def nowhere() -> Writers:
    """Return the files of a process that writes none: every one but rank 0."""
    file: Any = Nowhere()
    return Writers(file, file, file, file)


def open_writers(run: RunFolder, training: Training, first_step: int, say: Callable[[str], None]) -> Writers:
    """Open the files of a run whose next step is `first_step`, saying what an older run's files have no columns for."""
    metrics = CsvJournal(run.metrics, training.metric_columns)
    timings = CsvJournal(run.timings, TIMING_COLUMNS)
    extensions, place = training.extensions, (run.path, first_step)  # the board after what may be refused: it makes a file
    board = BoardAndLoggers(*place, extensions.loggers) if extensions else TensorBoardWriter(*place)
    if not first_step:
        swept = training.options.job.swept if training.options.job else ()
        board.hparams(hparams_of(training.config, swept), ["best/loss", "best/bits_per_character"], swept)
    for journal in (metrics, timings):
        if journal.left_out:
            listed = ", ".join(journal.left_out)
            say(f"{journal.path} has no columns for what is now measured as well: {listed}")
    return Writers(metrics, timings, JsonJournal(run.samples), board)


def hparams_of(config: TrainConfig, swept: Iterable[str] = ()) -> dict[str, bool | str | float | int]:
    """Return the few flat keys that the HParams tab lists, and those of a sweep's keys that are not groups; None as text."""
    listed = ["seed", *(f"{group}.{key}" for group, keys in HPARAMS.items() for key in keys)]
    listed += [key for key in swept if key not in listed and "." in key]
    flat: dict[str, Any] = flatten(asdict(config))
    values = {key: "none" if flat.get(key) is None else flat[key] for key in listed}
    return {key: value if isinstance(value, (bool, int, float)) else str(value) for key, value in values.items()}
