"""rnnscope trains small recurrent language models from composed configs and shows how they learn.

docs/architecture.md shows how the parts fit together. From Python:

    run = rnnscope.train(["model=gru"])           # then run.curve("val/loss"), run.resume("trainer.max_steps=4000"), ...
    model = rnnscope.load("latest")               # then model.sample(prompt="def "), .score("some text"), .states("def ")
    rnnscope.compare(group="seed")                # the table of `rnnscope compare`, a DataFrame where pandas is installed
    task, data = rnnscope.compose(["model=gru"])  # the LightningModule and its data, for a pl.Trainer of your own
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnscope.config.extensions import register_callback, register_cell, register_optimizer, register_schedule
    from rnnscope.data.module import TextData
    from rnnscope.pipeline.run import Run
    from rnnscope.runs.load import LoadedRun
    from rnnscope.training.task import LanguageModelTask

__version__ = "0.1.0"
__all__ = [
    "compare",
    "compose",
    "find",
    "load",
    "register_callback",
    "register_cell",
    "register_optimizer",
    "register_schedule",
    "train",
]


def __getattr__(name: str) -> Any:
    """Return a function with which a plug-in registers its parts, imported only when it is asked for."""
    if name.startswith("register_") and name in __all__:
        from rnnscope.config import extensions

        return getattr(extensions, name)
    raise AttributeError(f"module 'rnnscope' has no attribute {name!r}")


def load(run: str = "latest", checkpoint: str = "best") -> LoadedRun:
    """Open a run for sampling and scoring: a folder, a unique prefix of a run's name, or `latest`.

    Needs config.yaml, vocabulary.json and model.safetensors of the run (and checkpoints/ for another checkpoint).
    """
    from rnnscope.runs.load import load as load_run

    found = load_run(run, checkpoint)
    found.folder = found.folder.absolute()
    return found


def train(overrides: Sequence[str] = ()) -> Run:
    """Train what `rnnscope train <overrides>` would, and return the run, which has `resume`, `reproduce` and `curve`.

    Raises:
        UserError: for a key, value or text that cannot be trained on.
    """
    from rnnscope.pipeline.run import train as train_run

    return train_run(overrides)


def find(run: str = "latest") -> Run:
    """Return a run by its folder, a unique prefix of its name, or `latest`, as `train` returned it.

    Raises:
        UserError: if no run matches, or several do.
    """
    from rnnscope.pipeline.run import find as find_run

    return find_run(run)


def compare(
    folder: str | Path | None = None, filter: str | None = None, sort: str = "bits_per_character", group: str | None = None
) -> Any:
    """Return the table of `rnnscope compare`: a pandas DataFrame where pandas is installed, else a list of dicts.

    Args:
        folder: the folder with the runs; None for the outputs folder.
        filter, sort, group: as for the command, such as `"model.cell=lstm"`, `"-steps"` and `"seed"`.

    Raises:
        UserError: if there are no runs, or no such column.
    """
    from rnnscope.comparison.frame import frame

    return frame(folder, filter or "", sort, group)


def compose(overrides: Sequence[str] = ()) -> tuple[LanguageModelTask, TextData]:
    """Return the LightningModule and the LightningDataModule that `rnnscope train <overrides>` would train.

    `pl.Trainer(max_steps=100).fit(task, datamodule=data)` then trains the same weights, bit for bit. The seed and torch's
    number of threads are set here, as the command sets them.

    Raises:
        UserError: for a key, value or text that cannot be trained on.
    """
    from rnnscope.pipeline.build import compose as compose_task

    return compose_task(list(overrides))
