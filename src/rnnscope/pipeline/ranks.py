"""The processes that train one model together: rank 0 assigns the work, then all run the same code.

Only rank 0 looks up runs, writes and prints. The others get the resolved config from it and resolve nothing themselves,
since they might find something else. Each trains on its share of the columns of every window:

    every step               all sum their gradients and nats, so that each takes exactly the same optimizer step
    validation               each scores its share of the rows, and all sum the results
    synchronization points   steps known in advance. Rank 0 broadcasts what depends on its clock or on a signal; the others
                             send it their part of a checkpoint: carried state and random state

Everything else that decides something, such as patience or a loss that is not finite, is equal in all processes.
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
from rnnscope.pipeline.lightning import prepare_process
from rnnscope.pipeline.options import Recorded, RunOptions, StopAt
from rnnscope.pipeline.trainer import run_trainer
from rnnscope.pipeline.writers import nowhere
from rnnscope.training.config import TrainerConfig
from rnnscope.training.distributed.collectives import ProcessLost
from rnnscope.training.distributed.processes import cluster, rank_in
from rnnscope.training.distributed.rendezvous import Rendezvous, leave_with

ENTRY = "from rnnscope.pipeline.ranks import main; main({parent})"  # with this, rank 0 starts the others


@contextmanager
def together(trainer: TrainerConfig, given: Rendezvous | None = None) -> Iterator[Rendezvous | None]:
    """Start the other processes that train along in the block, if `trainer` asks for them.

    In a process that torchrun or Slurm started with a rank above 0, the block is never entered.

    Args:
        given: a rendezvous that exists already, in a command that trains several times.
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
    """Send the assignment to the other processes, if there are any, and form the group once all have assembled it.

    Raises:
        UserError: if one of them fails, with its reason.
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
    """Form the process group; all processes call this at the same time."""
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
    """The entry point of a process that rank 0, the process `parent`, has started."""
    train_along(cluster(), parent)


def train_along(environment: ClusterEnvironment, parent: int) -> NoReturn:
    """Train along with rank 0 until it has nothing more to train, or `parent` is gone; then exit.

    The exit status is 1 if rank 0 is lost, or this process cannot train the same.
    """
    prepare_process()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # rank 0 prints everything; errors still show
    for number in SIGNALS:  # rank 0 gets them as well, and decides for all
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=leave_with, args=(parent,), daemon=True).start()
    try:
        rendezvous = Rendezvous(environment)
        while told := rendezvous.hear():
            train_told(told, rendezvous)
        os._exit(0)  # shutting down Python would take a second, and there is nothing left to write
    except (ProcessLost, SystemExit):  # rank 0 reports the reason
        pass
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def train_told(told: dict[str, Any], rendezvous: Rendezvous) -> None:
    """Assemble the training that rank 0 assigned, and train this process's share."""
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
    """Return this process's part of a training.

    Raises:
        UserError: if it would differ from that of rank 0.
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
            raise UserError(f"its {key} differs from that of process 0: {value}, not {told['agreed'][key]}")
    return training
