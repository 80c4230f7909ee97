"""What every process of a training but the first does: it starts where process 0 is, and does what that decides."""

import os
import threading
import time
from pathlib import Path

from rnnscope.pipeline.build import Training
from rnnscope.pipeline.session import Result
from rnnscope.pipeline.trainer import run_trainer
from rnnscope.runs.folder import RunFolder
from rnnscope.training.distributed.collectives import ProcessLost
from rnnscope.training.distributed.synchronization import Follower


def follow(training: Training) -> Result:
    """Train along with process 0, print nothing, and return how it ended there.

    Raises:
        UserError: when this process would train something else.
        SystemExit: when process 0 is gone; it has said why.
    """
    threading.Thread(target=leave_with, args=(os.getppid(),), daemon=True).start()
    collectives = training.task.collectives
    assert collectives is not None
    try:
        run_trainer(training, Follower(collectives, training.windows, training.agreed))
        ended = collectives.receive()
    except ProcessLost:
        raise SystemExit(1) from None
    return Result(RunFolder(Path(ended["run"])), ended["status"], ended["step"], {}, None)


def leave_with(parent: int) -> None:
    """End this process when the one that started it is gone: it could wait for it forever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
