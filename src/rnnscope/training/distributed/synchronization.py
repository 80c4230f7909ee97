"""Several processes that train one model: each takes its share of the columns of every window.

Process 0 leads. It alone has callbacks, files and a terminal; the others follow:

    every step               all add up their gradients and nats, so that each takes the very same optimizer step
    synchronization points   steps that all know beforehand, where process 0 says what its callbacks have decided; before
                             that it may ask the others for their part of a checkpoint: the state their columns carry, their
                             random numbers

Between those points processes wait for nothing but gradients, and nothing is decided.
"""

import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rnnscope.data.batches import Windows
from rnnscope.errors import UserError
from rnnscope.training.callback import Callback
from rnnscope.training.distributed.collectives import Collectives, ProcessLost
from rnnscope.training.randomness import random_state, restore_random_state
from rnnscope.training.task import LanguageModelTask

PART = "part"  # what process 0 sends to ask the others for their part of a checkpoint


@dataclass(frozen=True)
class SynchronizationPoints:
    """After which steps all processes synchronize.

    Args:
        look_every: steps between those whose accuracy process 0 wants to know.
        every: whenever so many steps are done,
        last: and after these steps, where the training may end.
    """

    look_every: int
    every: tuple[int, ...]
    last: tuple[int, ...] = ()

    def at(self, step: int) -> bool:
        return step in self.last or any(step % every == 0 for every in self.every)


class Leader(Callback):
    """Process 0: has the callbacks, and tells the other processes what these decide.

    Args:
        callbacks: those of the training.
        agreed: what must be the same in all processes, by name.
        others: the parts that the other processes have of the checkpoint that this training goes on from, if it does.
    """

    name = "Leader"

    def __init__(
        self,
        collectives: Collectives,
        points: SynchronizationPoints,
        callbacks: Callback,
        agreed: dict[str, Any],
        others: list[dict[str, Any]],
    ) -> None:
        self.collectives, self.points, self.callbacks = collectives, points, callbacks
        self.agreed, self.others = agreed, others
        self._ended = False  # the others know that this was the last step

    def start(self, task: LanguageModelTask) -> None:
        self.collectives.connect()
        now = {"weights": task.model.state_dict(), "task": task.capture()}
        self.collectives.broadcast({"agreed": self.agreed, "points": vars(self.points), "others": self.others, **now})
        self.callbacks.start(task)
        self._decide(task)

    def before_step(self, task: LanguageModelTask) -> None:
        task.synchronizes = self.points.at(task.step + 1)
        self.callbacks.before_step(task)

    def after_step(self, task: LanguageModelTask) -> None:
        self.callbacks.after_step(task)
        if task.synchronizes:
            self._decide(task)
        assert self._ended == task.ending, "a training ends at a synchronization point"

    def _decide(self, task: LanguageModelTask) -> None:
        decided = {name: getattr(task, name) for name in ("ending", "interrupted", "diverged")}
        self.collectives.broadcast({**decided, "schedule": getattr(task.schedule, "state_dict", dict)()})
        self._ended = task.ending

    def gather(self) -> list[Any]:
        """Return the parts that the other processes have of a checkpoint; they must be at a synchronization point."""
        self.collectives.broadcast(PART)
        return self.collectives.gather(None)[1:]

    def dismiss(self, result: Any) -> None:
        """Tell the others how it ended, unless it ended without them."""
        if self._ended:
            with suppress(ProcessLost):  # all is done and written
                self.collectives.broadcast(result)


class Follower(Callback):
    """Every other process: starts where process 0 is, and does what it decides.

    Args:
        windows: this process's share of those to train on.
        agreed: what must be the same in all processes, by name.
    """

    name = "Follower"

    def __init__(self, collectives: Collectives, windows: Windows, agreed: dict[str, Any]) -> None:
        self.collectives, self.windows, self.agreed = collectives, windows, agreed

    def start(self, task: LanguageModelTask) -> None:
        """Make everything as it is in process 0, but for the state of this process's columns and its random numbers.

        Raises:
            UserError: when the two would not train the same.
        """
        self.collectives.connect()
        first = self.collectives.receive()
        self._check(first["agreed"])
        self.points = SynchronizationPoints(**first["points"])
        own = first["others"][self.collectives.rank - 1] if first["others"] else None
        task.model.load_state_dict(first["weights"])
        task.restore({**first["task"], "carried": own and own["carried"]})
        if task.position:
            self.windows.load_state_dict(task.position)
        if own:
            restore_random_state(own["random"])
        for number in (signal.SIGINT, signal.SIGTERM):  # process 0 gets them too, and decides for all
            signal.signal(number, signal.SIG_IGN)
        self._synchronize(task)

    def _check(self, agreed: dict[str, Any]) -> None:
        for key, value in self.agreed.items():
            if value != agreed[key]:
                rank = self.collectives.rank
                raise UserError(f"process {rank} has a different {key} from process 0: {value}, not {agreed[key]}")

    def before_step(self, task: LanguageModelTask) -> None:
        task.look = (task.step + 1) % self.points.look_every == 0

    def after_step(self, task: LanguageModelTask) -> None:
        if self.points.at(task.step):
            self._synchronize(task)
            task.sums.clear()  # process 0 has the same sums, and does with them what is to be done
            task.watched.clear()

    def _synchronize(self, task: LanguageModelTask) -> None:
        while (message := self.collectives.receive()) == PART:
            self.collectives.gather({"carried": task.carried, "random": random_state()})
        task.ending, task.interrupted, task.diverged = (message[name] for name in ("ending", "interrupted", "diverged"))
        if message["schedule"]:
            task.schedule.load_state_dict(message["schedule"])  # type: ignore[union-attr]
