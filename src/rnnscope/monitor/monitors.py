"""What a monitor is, and what runs them all in their order."""

from typing import Any

from rnnscope.training.task import LanguageModelTask, Watcher


class Monitor(Watcher):
    """Watches one thing of a training. What it needs to remember over a resumed run goes through its state."""

    def state(self) -> dict[str, Any]:
        """Return what to remember, as plain values."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""


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
        """Return what each of them remembers, by class name."""
        return {type(monitor).__name__: monitor.state() for monitor in self.monitors}

    def restore(self, saved: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        for monitor in self.monitors:
            monitor.restore(saved[type(monitor).__name__])
