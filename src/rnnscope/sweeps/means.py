"""The mean of runs that differ in the seed alone, shown in TensorBoard as one more run."""

import contextlib
import shutil
from pathlib import Path

from rnnscope.comparison.curves import mean_rows
from rnnscope.comparison.groups import Group
from rnnscope.errors import UserError
from rnnscope.monitor.tensorboard import TensorBoardWriter
from rnnscope.sweeps.names import hashed, job_name

MEANS = "means"  # folder in the sweep's folder; it contains event files only
UNCHARTED = ("epoch", "tokens")  # columns of metrics.csv that no run shows in TensorBoard


def write_means(folder: Path, groups: list[Group], keys: list[str]) -> None:
    """Write an event file for each group of several runs, replacing earlier ones.

    Args:
        keys: the keys in which groups differ.
    """
    shutil.rmtree(folder / MEANS, ignore_errors=True)
    for group in groups:
        if len(group.runs) < 2:
            continue
        name = job_name({key: group.runs[0].config.get(key) for key in keys}, keys) or "all"
        place = folder / MEANS / name
        board = TensorBoardWriter(place if not place.exists() else folder / MEANS / hashed(name, {"group": group.label}))
        with contextlib.suppress(UserError):  # a damaged metrics.csv, which the table of runs has reported
            for step, spreads in mean_rows([run.folder.metrics for run in group.counting]):
                board.scalars(step, {tag: mean for tag, (mean, _) in spreads.items() if tag not in UNCHARTED})
        board.close()
