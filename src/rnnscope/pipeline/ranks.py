"""The processes that train one model together: rank 0 tells the others what, and then all run the same code.

Rank 0 alone looks runs up, writes and prints. The others are told the resolved config and ask nothing again: what they would
find could differ. Each takes its share of the columns of every window:

    every step               all sum their gradients and nats, so that each takes the very same optimizer step
    validation               each scores its share of the rows, and all sum what they found
    synchronization points   steps known beforehand. Rank 0 says what hangs on its clock, or on a signal that it got; all
                             give it their part of a checkpoint: the state that their columns carry, their random numbers

Whatever else decides something, such as patience or a loss that is not finite, does so everywhere from the same numbers.
"""

import os
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, NoReturn

from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment

from rnnscope.config.extensions import import_plugins
from rnnscope.config.schema import ExtensionsConfig
from rnnscope.config.validate import from_plain
from rnnscope.data.vocabulary import Vocabulary
from rnnscope.errors import UserError
from rnnscope.monitor.budget import SIGNALS
from rnnscope.pipeline.build import Training, assemble
from rnnscope.pipeline.callbacks import TrainingCallbacks
from rnnscope.pipeline.checkpointing import CheckpointPart
from rnnscope.pipeline.console import Console
from rnnscope.pipeline.lightning import quiet_lightning
from rnnscope.pipeline.options import Recorded, RunOptions, StopAt
from rnnscope.pipeline.trainer import run_trainer
from rnnscope.pipeline.writers import nowhere
from rnnscope.training.config import TrainerConfig
from rnnscope.training.distributed.collectives import ProcessLost
from rnnscope.training.distributed.processes import cluster, rank_in
from rnnscope.training.distributed.rendezvous import Rendezvous, leave_with

ENTRY = "from rnnscope.pipeline.ranks import main; main({parent})"  # what rank 0 starts the others with


@contextmanager
def together(trainer: TrainerConfig, given: Rendezvous | None = None) -> Iterator[Rendezvous | None]:
    """Have other processes train along with what is trained in the block, where `trainer` asks for them.

    In one that torchrun or Slurm started besides rank 0 the block is never entered.

    Args:
        given: what is in use already, by a command that trains several times.
    """
    if given or trainer.strategy != "ddp":
        yield given
        return
    environment = cluster()
    if rank_in(environment):
        train_along(environment, os.getppid())
    with Rendezvous(environment, ENTRY) as rendezvous:
        yield rendezvous


def gather_ranks(training: Training) -> None:
    """Tell the other processes, where there are some, what is trained, and form the group once all have assembled it.

    Raises:
        UserError: if one of them cannot, with its reason.
    """
    rendezvous = training.options.rendezvous
    if rendezvous is None:
        return
    rendezvous.tell(assignment(training), training.hardware.processes)
    try:
        join_group(training, rendezvous)
    except ProcessLost as error:
        raise UserError(f"{rendezvous.why_lost()} (before the first step)") from error


def join_group(training: Training, rendezvous: Rendezvous) -> None:
    """Form the group; all processes do at the same time."""
    rendezvous.form_group(training.hardware.processes.world_size, training.hardware.device)
    assert training.task.collectives is not None
    training.task.collectives.connect()


def assignment(training: Training) -> dict[str, Any]:
    """Return what another process needs to assemble the same training, as plain values."""
    config, options = training.config, training.options
    given = config.init_from is not None or options.recorded.vocabulary is not None
    return {
        "config": asdict(config),
        "resolved": training.hardware.as_record(),
        "horizon": training.horizon,
        "vocabulary": training.data.vocabulary.to_json() if given else None,
        "stop": options.stop and asdict(options.stop),
        "agreed": training.agreed,
        "extensions": asdict(options.extensions),
    }


def main(parent: int) -> NoReturn:
    """What a process runs that rank 0, the process `parent`, has started."""
    train_along(cluster(), parent)


def train_along(environment: ClusterEnvironment, parent: int) -> NoReturn:
    """Train along with rank 0 until that has nothing more to train, and leave; leave too when `parent` is gone.

    The exit status is 1 when rank 0 is gone, or this process cannot train the same.
    """
    quiet_lightning()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # rank 0 says it all; errors still show
    for number in SIGNALS:  # rank 0 gets them too, and decides for all
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=leave_with, args=(parent,), daemon=True).start()
    try:
        rendezvous = Rendezvous(environment)
        while told := rendezvous.hear():
            train_told(told, rendezvous)
        os._exit(0)  # at once: to take Python apart takes a second, and nothing is left to be written
    except (ProcessLost, SystemExit):  # rank 0 says why
        pass
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def train_told(told: dict[str, Any], rendezvous: Rendezvous) -> None:
    """Assemble what rank 0 told, and train this process's share of it."""
    try:
        training = assemble_told(told)
    except UserError as error:
        rendezvous.fail(str(error))
    rendezvous.ready()
    join_group(training, rendezvous)
    part = CheckpointPart(training)
    callbacks = TrainingCallbacks(training, nowhere(), Console(quiet=True), part.begin, part.save)
    part.receive(callbacks)
    run_trainer(training, callbacks)


def assemble_told(told: dict[str, Any]) -> Training:
    """Return this process's side of a training.

    Raises:
        UserError: if it would not be the same training.
    """
    vocabulary, stop = told["vocabulary"], told["stop"]
    recorded = Recorded(told["resolved"], told["horizon"], vocabulary=vocabulary and Vocabulary.from_json(vocabulary))
    extensions = ExtensionsConfig(**told["extensions"])
    import_plugins(extensions.plugins)
    # weights come from rank 0
    options = RunOptions(recorded, stop and StopAt(**stop), from_checkpoint=True, extensions=extensions)
    training = assemble(from_plain(told["config"]), lambda line: None, options)
    for key, value in training.agreed.items():
        if value != told["agreed"][key]:
            raise UserError(f"it has a different {key} from process 0: {value}, not {told['agreed'][key]}")
    return training
