"""Several processes that train one model: each takes its share of the columns of every window.

Process 0 leads. It alone has monitors, files and a terminal; the others follow:

    every step     all add up their gradients and nats, so that each takes the very same optimiser step
    meetings       steps that all know beforehand, where process 0 says what its monitors have decided; before that it may
                   ask the others for their part of a checkpoint: the state their columns carry, their random numbers

Between meetings nobody waits for anything but gradients, and nothing is decided.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rnnscope.training.callback import Callback
from rnnscope.training.distributed.collectives import Exchange, Lost
from rnnscope.training.randomness import random_state
from rnnscope.training.task import LanguageModelTask

PART = "part"  # what process 0 says when it wants everybody's part of a checkpoint


@dataclass(frozen=True)
class Meetings:
    """After which steps all processes meet.

    Args:
        look_every: steps between those whose accuracy process 0 wants to know.
        every: they meet whenever so many steps are done,
        last: and after these steps, where the training may end.
    """

    look_every: int
    every: tuple[int, ...]
    last: tuple[int, ...] = ()

    def at(self, step: int) -> bool:
        return step in self.last or any(step % every == 0 for every in self.every)


class Leader(Callback):
    """Process 0: has the callbacks, and tells the others what they decide.

    Args:
        callbacks: those of the training.
        opening: what the others need to know to start from where this process is.
    """

    def __init__(
        self, exchange: Exchange, meetings: Meetings, callbacks: Callback, opening: Callable[[], dict[str, Any]]
    ) -> None:
        self.exchange, self.meetings, self.callbacks, self.opening = exchange, meetings, callbacks, opening
        self._parting = False  # the others know that this was the last step

    def start(self, task: LanguageModelTask) -> None:
        self.exchange.connect()
        self.exchange.tell({**self.opening(), "meetings": vars(self.meetings)})
        self.callbacks.start(task)
        self._decide(task)

    def before_step(self, task: LanguageModelTask) -> None:
        task.meeting = self.meetings.at(task.step + 1)
        self.callbacks.before_step(task)

    def after_step(self, task: LanguageModelTask) -> None:
        self.callbacks.after_step(task)
        if task.meeting:
            self._decide(task)
        assert self._parting == task.ending, "a training ends at a meeting"

    def _decide(self, task: LanguageModelTask) -> None:
        decided = {name: getattr(task, name) for name in ("ending", "interrupted", "diverged")}
        self.exchange.tell({**decided, "schedule": getattr(task.schedule, "state_dict", dict)()})
        self._parting = task.ending

    def gather(self) -> list[Any]:
        """Return the parts that the other processes have of a checkpoint; they must be at a meeting."""
        self.exchange.tell(PART)
        return self.exchange.gather(None)[1:]

    def dismiss(self, result: Any) -> None:
        """Tell the others how it ended, unless it ended without them."""
        if self._parting:
            with suppress(Lost):  # all is done and written
                self.exchange.tell(result)


class Follower(Callback):
    """Any other process: starts where process 0 is, and does what that decides.

    Args:
        join: makes everything as the opening of process 0 says.
    """

    def __init__(self, exchange: Exchange, join: Callable[[dict[str, Any]], None]) -> None:
        self.exchange, self.join = exchange, join

    def start(self, task: LanguageModelTask) -> None:
        self.exchange.connect()
        opening = self.exchange.hear()
        self.meetings = Meetings(**opening["meetings"])
        self.join(opening)
        self._attend(task)

    def before_step(self, task: LanguageModelTask) -> None:
        task.look = (task.step + 1) % self.meetings.look_every == 0

    def after_step(self, task: LanguageModelTask) -> None:
        if self.meetings.at(task.step):
            self._attend(task)
            task.tally.clear()  # process 0 has the same sums, and does with them what is to be done
            task.watched.clear()

    def _attend(self, task: LanguageModelTask) -> None:
        while (message := self.exchange.hear()) == PART:
            self.exchange.gather({"carried": task.carried, "random": random_state()})
        task.ending, task.interrupted, task.diverged = (message[name] for name in ("ending", "interrupted", "diverged"))
        if message["schedule"]:
            task.schedule.load_state_dict(message["schedule"])  # type: ignore[union-attr]
