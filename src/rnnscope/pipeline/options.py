"""The options of a training besides its config: from a sweep, or from the record of the run that it resumes or repeats."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnscope.config.schema import ExtensionsConfig
from rnnscope.data.vocabulary import Vocabulary
from rnnscope.training.distributed.rendezvous import Rendezvous


@dataclass(frozen=True)
class Job:
    """The connection between a training and the sweep whose job it is.

    Args:
        folder: its run folder, which this process creates.
        swept: the keys in which the jobs of the sweep differ, for TensorBoard.
        asked: called after every step; returns what asked the job to end, or None.
        report: called with the step and loss of each validation; returns why the run should be pruned, or None.
    """

    folder: Path
    swept: tuple[str, ...] = ()
    asked: Callable[[], str | None] = lambda: None
    report: Callable[[int, float], str | None] = lambda step, loss: None


@dataclass(frozen=True)
class Recorded:
    """What a resumed or repeated run takes from its record, while a new one takes it from config and machine.

    Args:
        resolved: its device, precision and threads, if this machine has them, and its number of processes.
        horizon: the budget in steps that its schedule was made for.
        fingerprint: of its training data; different data are refused.
        initial: the hash of its initial weights, if they were those of a run (`init_from`).
        vocabulary: its vocabulary, if that was the one of a run.
    """

    resolved: dict[str, Any] = field(default_factory=dict)
    horizon: int | None = None
    fingerprint: dict[str, Any] = field(default_factory=dict)
    initial: str | None = None
    vocabulary: Vocabulary | None = None


@dataclass(frozen=True)
class StopAt:
    """The step after which a run stops, regardless of its budgets.

    Args:
        as_end: stop as at the end of a run, else as if interrupted.
        until: whether the user named the step.
        last: whether no further segment of a reproduction follows.
    """

    step: int
    as_end: bool
    until: bool = False
    last: bool = True


@dataclass(frozen=True)
class RunOptions:
    """The options of a training besides its config.

    Args:
        from_checkpoint: the weights come from a checkpoint of the run itself.
        parent: the run that it comes from, for its record.
        under: the folder in which to create its run folder; None for outputs/runs/<name>.
        extensions: Lightning callbacks, loggers and plug-ins that the command line names.
        cache: the folder of encoded texts; None for the cache in the outputs folder.
        overridden: keys that differ from the experiment that `expect` belongs to.
        rendezvous: with the other training processes; None if there are none.
    """

    recorded: Recorded = field(default_factory=Recorded)
    stop: StopAt | None = None
    from_checkpoint: bool = False
    parent: dict[str, Any] | None = None
    under: Path | None = None
    job: Job | None = None
    extensions: ExtensionsConfig = field(default_factory=ExtensionsConfig)
    cache: Path | None = None
    overridden: tuple[str, ...] = ()
    rendezvous: Rendezvous | None = None
