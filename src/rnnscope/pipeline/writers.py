"""The files of a run that callbacks write to."""

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

HPARAMS = {  # the HParams tab needs the same keys in every run, else TensorBoard loses columns
    "dataset": ("name", "level", "batch_size", "sequence_length"),
    "model": ("cell", "hidden_size", "num_layers", "dropout", "input", "tied_weights", "init"),
    "optimizer": ("name", "lr", "weight_decay"),
    "schedule": ("name",),
    "trainer": ("clip_norm", "max_steps", "max_epochs"),
}


@dataclass
class Writers:
    """The journals, which a checkpoint relies on, and TensorBoard's event file."""

    metrics: CsvJournal
    timings: CsvJournal
    samples: JsonJournal
    board: TensorBoardWriter

    @property
    def journals(self) -> dict[str, CsvJournal | JsonJournal]:
        return {"metrics": self.metrics, "timings": self.timings, "samples": self.samples}

    def offsets(self) -> dict[str, int]:
        """Return the current length of each journal, for a checkpoint."""
        return {name: journal.offset for name, journal in self.journals.items()}

    def truncate(self, offsets: dict[str, int]) -> None:
        """Cut off what was written after the checkpoint with these `offsets`."""
        for name, journal in self.journals.items():
            journal.truncate(offsets[name])

    def sync(self) -> None:
        """Sync the journals to disk: a checkpoint is about to rely on them."""
        for journal in self.journals.values():
            journal.sync()

    def close(self) -> None:
        for writer in (*self.journals.values(), self.board):
            writer.close()


class Nowhere:
    """Discards what is written."""

    def append(self, values: dict[str, Any]) -> None: ...

    def scalars(self, step: int, values: dict[str, float]) -> None: ...


def nowhere() -> Writers:
    """Return the writers of a process other than rank 0, which discard everything."""
    file: Any = Nowhere()
    return Writers(file, file, file, file)


def open_writers(run: RunFolder, training: Training, first_step: int, say: Callable[[str], None]) -> Writers:
    """Open the files of a run whose next step is `first_step`; `say` reports columns that an older run's files lack."""
    metrics = CsvJournal(run.metrics, training.metric_columns)
    timings = CsvJournal(run.timings, TIMING_COLUMNS)
    extensions, place = training.extensions, (run.path, first_step)  # the board comes last, as it creates a file
    board = BoardAndLoggers(*place, extensions.loggers) if extensions else TensorBoardWriter(*place)
    if not first_step:
        swept = training.options.job.swept if training.options.job else ()
        board.hparams(hparams_of(training.config, swept), ["best/loss", "best/bits_per_character"], swept)
    for journal in (metrics, timings):
        if journal.left_out:
            listed = ", ".join(journal.left_out)
            say(f"{journal.path} has no columns for metrics that were added after the run began: {listed}")
    return Writers(metrics, timings, JsonJournal(run.samples), board)


def hparams_of(config: TrainConfig, swept: Iterable[str] = ()) -> dict[str, bool | str | float | int]:
    """Return the keys for the HParams tab, including swept keys that are not groups; None becomes text."""
    listed = ["seed", *(f"{group}.{key}" for group, keys in HPARAMS.items() for key in keys)]
    listed += [key for key in swept if key not in listed and "." in key]
    flat: dict[str, Any] = flatten(asdict(config))
    values = {key: "none" if flat.get(key) is None else flat[key] for key in listed}
    return {key: value if isinstance(value, (bool, int, float)) else str(value) for key, value in values.items()}
