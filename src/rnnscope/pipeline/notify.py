"""`notify="command"`: a shell command that is run when training has ended. Only the command line can set it."""

import os
import signal
import subprocess

from rnnscope.runs.record import Record

NOTIFIED = ("finished", "failed", "diverged")  # a user who interrupts a run knows already
PATIENCE = 60  # seconds that the command may take
FACTS = {  # environment variables, and where run.json has their values
    "RNNSCOPE_STATUS": "status",
    "RNNSCOPE_REASON": "reason",
    "RNNSCOPE_NAME": "name",
    "RNNSCOPE_STEP": "progress.step",
    "RNNSCOPE_SECONDS": "progress.seconds",
    "RNNSCOPE_BEST_LOSS": "best.loss",
    "RNNSCOPE_BITS_PER_CHARACTER": "best.bits_per_character",
}


def notify(command: str, record: Record) -> str | None:
    """Run `command` in a shell with facts about the run in its environment, and return what went wrong.

    `RNNSCOPE_RUN` is the run folder; an unknown fact is empty.
    """
    facts = {name: record.get(key, object) for name, key in FACTS.items()}
    texts = {name: "" if value is None else str(value).replace("\0", " ") for name, value in facts.items()}
    environment = {**os.environ, **texts, "RNNSCOPE_RUN": str(record.path.parent.resolve())}
    null = subprocess.DEVNULL
    try:  # in a process group of its own, so that the commands of a pipeline can be stopped with their shell
        process = subprocess.Popen(command, shell=True, env=environment, stdin=null, process_group=0)
    except OSError as error:
        return f"notify={command} could not be run: {error.strerror}"
    try:
        status = process.wait(PATIENCE)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            return f"notify={command} took more than {PATIENCE} seconds and was stopped"
        raise
    return f"notify={command} ended with exit status {status}" if status else None
