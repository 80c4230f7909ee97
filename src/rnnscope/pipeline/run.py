"""A run in Python: training, resuming, reproducing and loading it, as the commands do."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnscope.config.changes import check_on_the_way, parse_changes
from rnnscope.config.compose import compose_command, process_arguments
from rnnscope.config.overrides import change, check_word
from rnnscope.config.schema import ExtensionsConfig
from rnnscope.pipeline.fit import fit_composed
from rnnscope.pipeline.options import RunOptions
from rnnscope.pipeline.reproduce import reproduce
from rnnscope.pipeline.resume import resume_run
from rnnscope.runs.find import find_run
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.journal import read_curve
from rnnscope.runs.load import LoadedRun, load
from rnnscope.runs.record import Record
from rnnscope.runs.verdict import Verdict
from rnnscope.text_io import check_argument


@dataclass(frozen=True)
class Run:
    """A run folder, whatever its status."""

    folder: RunFolder
    extensions: ExtensionsConfig = field(default_factory=ExtensionsConfig)

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def record(self) -> dict[str, Any]:
        """The contents of run.json: `status`, `best`, `last`, `resolved` and more (see docs/runs.md)."""
        return Record.read(self.folder.record).values

    def resume(self, *changes: str) -> "Run":
        """Continue the run, with changes such as `trainer.max_steps=4000`, and return it.

        Raises:
            UserError: if it cannot continue, or a key cannot change.
        """
        for word in changes:
            check_argument(word)
            check_word(word)
        parsed = parse_changes([change("resume", word) for word in changes])
        check_on_the_way(parsed, str(self.path))
        resume_run(self.folder, parsed, RunOptions(extensions=self.extensions))
        return self

    def reproduce(self, until: int | None = None) -> Verdict:
        """Train the run again, up to step `until`, and return the verdict on whether each step is the same.

        Raises:
            UserError: if its folder is incomplete, or its text is missing or has changed.
        """
        return reproduce(self.folder, until, extensions=self.extensions)[1]

    def curve(self, name: str = "val/loss") -> tuple[list[int], list[float]]:
        """Return the steps and values of a column of metrics.csv.

        Raises:
            UserError: for an unknown name, listing the known ones.
        """
        return read_curve(self.folder.metrics, name)

    def load(self, checkpoint: str = "best") -> LoadedRun:
        """Open the run for sampling and scoring."""
        return load(str(self.path), checkpoint)


def train(overrides: Sequence[str]) -> Run:
    """Train as `rnnscope train <overrides>` does, and return the run. For sweeps, use the command line.

    Raises:
        UserError: for anything that cannot be trained on.
    """
    composition = compose_command(overrides)
    with process_arguments(["rnnscope", "train", *overrides]):
        return Run(fit_composed(composition).run.absolute(), composition.extensions)


def find(run: str) -> Run:
    """Return a run by the name that `run=` takes.

    Raises:
        UserError: if it names no run, or more than one.
    """
    return Run(find_run(str(run)).absolute())
