"""What a monitor is, and what runs them all in their order."""

from collections.abc import Callable
from typing import Any, ClassVar

from rnnscope.errors import shown
from rnnscope.monitor.saved_state import SavedState
from rnnscope.training.task import LanguageModelTask, Watcher

MOST_NAMED = 8  # in one line


class Monitor(Watcher):
    """Watches one thing of a training. What it needs to remember over a resumed run goes through its state.

    `name` is what checkpoints call it: it stays as it is when the class is renamed, or older runs lose the state.
    """

    name: ClassVar[str]

    def state(self) -> dict[str, Any]:
        """Return what to remember, as plain values."""
        return {}

    def restore(self, state: SavedState) -> None:
        """Put back what `state` returned; called only when the checkpoint has a state of this monitor.

        Raises:
            UserError: when it is not what `state` returns.
        """


class Monitors(Watcher):
    """Runs monitors in their order: first what ends a run, then what measures, then what writes, last what saves.

    Args:
        ends: looks on in every step.
        monitors: the others, which look on in the steps that `every` says, and in the last.
        every: step counts; most steps are a multiple of none, and nobody is asked.
    """

    def __init__(self, ends: Monitor, monitors: list[Monitor], every: list[int]) -> None:
        self.ends, self.monitors, self.every = ends, monitors, sorted(set(every))
        self._due = False

    def start(self, task: LanguageModelTask) -> None:
        for monitor in (self.ends, *self.monitors):
            monitor.start(task)

    def before_step(self, task: LanguageModelTask) -> None:
        step = task.step + 1
        self._due = any(step % every == 0 for every in self.every)
        if self._due:
            for monitor in self.monitors:
                monitor.before_step(task)

    def after_step(self, task: LanguageModelTask) -> None:
        self.ends.after_step(task)
        if self._due or task.ending:
            for monitor in self.monitors:
                monitor.after_step(task)

    def state(self) -> dict[str, Any]:
        """Return what each of them remembers, by name."""
        return {monitor.name: monitor.state() for monitor in self.monitors}

    def restore(self, saved: dict[str, Any], source: str, say: Callable[[str], None]) -> None:
        """Put back what `state` returned, perhaps in a version of rnnscope that had more monitors, or fewer.

        Args:
            saved: a state for each name; a monitor that is not in it starts from its default.
            source: the checkpoint's file, for messages.
            say: told of each monitor without a state, and of each state without a monitor.

        Raises:
            UserError: when a state is not what its monitor returned.
        """
        remembering = {monitor.name: monitor for monitor in self.monitors if monitor.state()}
        for name, monitor in remembering.items():
            if name in saved:
                monitor.restore(SavedState(source, name, saved[name]))
            else:
                say(f"{source} has no state of the monitor {name}: it starts from its default")
        strange = [shown(name) for name, state in saved.items() if name not in remembering and state != {}]
        if strange:
            listed = ", ".join(strange[:MOST_NAMED]) + (", ..." if len(strange) > MOST_NAMED else "")
            say(f"{source} has the state of monitors that this rnnscope does not have, and ignores it: {listed}")
