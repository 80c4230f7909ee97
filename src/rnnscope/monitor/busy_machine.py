"""A warning for a machine that other processes keep busy: threads that wait for each other then cost more than they save."""

from collections.abc import Callable

from rnnscope.cores import OtherWork
from rnnscope.training.callback import Callback
from rnnscope.training.task import LanguageModelTask

PERIOD = 3.0  # seconds to average over: a short burst of other work does not matter


class BusyMachine(Callback):
    """Warns once, with a remedy, when other processes use the cores that `threads` need. Training is not changed.

    Args:
        say: shows a line to the user.
        every: optimizer steps between measurements.
        threads: the threads of this training.
    """

    name = "BusyMachine"

    def __init__(self, say: Callable[[str], None], every: int, threads: int) -> None:
        self.say, self.every, self.threads = say, every, threads
        self._others = OtherWork()
        self._said = threads == 1

    def start(self, task: LanguageModelTask) -> None:
        self._said |= task.device.type != "cpu"

    def after_step(self, task: LanguageModelTask) -> None:
        if self._said or task.step % self.every or self._others.seconds < PERIOD:
            return
        free = max(0.0, self._others.free())
        if free < self.threads - 0.5:
            self._said = True
            self.say(
                f"warning: other processes leave {free:.1f} cores for {self.threads} threads, which wait for each other;"
                " on a machine that stays busy, trainer.threads=1 is faster"
            )
