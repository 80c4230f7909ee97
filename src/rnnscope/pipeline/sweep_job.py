"""One job of a sweep, from its first step or from where its run stands."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rnnscope.pipeline.build import Job
from rnnscope.pipeline.fit import fit
from rnnscope.pipeline.resume import go_on
from rnnscope.runs.folder import RunFolder


def train_or_resume(
    folder: Path,
    config: dict[str, Any],
    swept: tuple[str, ...],
    asked: Callable[[], str | None],
    report: Callable[[int, float], str | None],
) -> None:
    """Train `config` in `folder`, or go on with the run that is there.

    Args:
        swept: the keys in which the jobs of the sweep differ, for TensorBoard.
        asked: what asks the run to stop, None while nothing does.
        report: takes the step and loss of each validation, and returns why the run is not worth going on.

    Raises:
        UserError: for anything the user can mend.
    """
    from rnnscope.commands.train import ordered

    job, run = Job(folder, swept, asked, report), RunFolder(folder)
    if run.record.exists():
        go_on(run, job=job)
        return
    config, name, command, terms = ordered(config)
    fit(config, name, command, replace(terms, job=job))
