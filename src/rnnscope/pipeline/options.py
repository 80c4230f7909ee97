"""What a training is told besides its config: by a sweep, by the record of the run that it resumes or repeats."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnscope.config.schema import ExtensionsConfig
from rnnscope.data.vocabulary import Vocabulary
from rnnscope.training.distributed.rendezvous import Rendezvous


@dataclass(frozen=True)
class Job:
    """What a job of a sweep is told, and tells, while it trains.

    Args:
        folder: its run folder, made exclusively.
        swept: the keys in which the jobs of the sweep differ, for TensorBoard.
        asked: what asks it to end, None while nothing does; called after every step.
        report: told the step and loss of each validation; returns why the run is not worth going on, or None if it is.
    """

    folder: Path
    swept: tuple[str, ...] = ()
    asked: Callable[[], str | None] = lambda: None
    report: Callable[[int, float], str | None] = lambda step, loss: None


@dataclass(frozen=True)
class Recorded:
    """What a run that is resumed or repeated takes from its record, where a new one asks machine and config.

    Args:
        resolved: its device, precision and threads, as far as this machine has them, and its number of processes.
        horizon: the budget in steps that its schedule was made for.
        fingerprint: of the data that it was trained on; different data are refused.
        initial: the hash of the weights it began with, where those were another run's (`init_from`).
        vocabulary: the one it began with, where that was another run's.
    """

    resolved: dict[str, Any] = field(default_factory=dict)
    horizon: int | None = None
    fingerprint: dict[str, Any] = field(default_factory=dict)
    initial: str | None = None
    vocabulary: Vocabulary | None = None


@dataclass(frozen=True)
class StopAt:
    """The step after which a run stops, whatever budget its config names.

    Args:
        as_end: as its end, or else as if interrupted there.
        until: whether the user named the step.
    """

    step: int
    as_end: bool
    until: bool = False


@dataclass(frozen=True)
class RunOptions:
    """What a training is told besides its config.

    Args:
        from_checkpoint: its weights come from a checkpoint of its own.
        parent: the run that it came from, for its record.
        under: the folder in which its run folder is made; None for outputs/runs/<name>.
        extensions: Lightning callbacks, loggers and plug-ins that the command line names.
        cache: where encoded texts are kept; None for the cache of the outputs folder.
        overridden: keys that differ from the experiment whose numbers are expected.
        rendezvous: with the other processes that train along; None if there are none.
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
