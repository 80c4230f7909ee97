"""Commands in processes of their own, forked from one that has imported everything: that saves each of them four seconds."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(["rnnscope.pipeline.resume", "rnnscope.commands.train", "hydra", "tensorboard"])


class Command:
    """A command line that has been started, with the methods of `subprocess.Popen` that tests use.

    Args:
        words: after `rnnscope`.
        said: file that its output is appended to.
        errors: file that its error messages are appended to; None for the same file.
        environment: variables in addition to those of this process.
    """

    def __init__(self, words: Sequence[str], said: Path, errors: Path | None = None, **environment: str) -> None:
        self.said, self.errors = said, errors or said
        for path in (self.said, self.errors):
            path.touch()
        everything = {**os.environ, **environment}
        self._process = forks.Process(target=_run, args=(list(words), str(self.said), str(self.errors), everything))
        self._process.start()
        self.pid: int = self._process.pid or 0

    def poll(self) -> int | None:
        """Return its exit status, minus the number of the signal that killed it; None while it runs."""
        return self._process.exitcode

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def wait(self, seconds: float) -> int:
        self._process.join(seconds)
        status = self.poll()
        assert status is not None, f"{self.said.read_text(encoding='utf-8')}\nit still runs after {seconds} s"
        return status

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(words: list[str], said: str, errors: str, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for path, number in ((said, 1), (errors, 2)):
        with open(path, "a", encoding="utf-8") as file:
            os.dup2(file.fileno(), number)
    from rnnscope import cli

    sys.argv = ["rnnscope", *words]
    sys.exit(cli.main())
