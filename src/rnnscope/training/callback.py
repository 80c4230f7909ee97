"""Callbacks, which a training calls before and after each step: one for each thing that is watched.

They are not subclasses of Lightning's `Callback`, which is called once for many steps (see trainer_task.py).
"""

from collections.abc import Callable
from typing import Any, ClassVar

from rnnscope.errors import shown
from rnnscope.training.saved_state import SavedState
from rnnscope.training.task import LanguageModelTask

MOST_NAMED = 8  # names in one line


class Cut(Exception):
    """A signal interrupts a callback; it is called again for the same step when the run is resumed."""


class Callback:
    """Base class of the callbacks; it does nothing. `state` and `restore` carry what it remembers into a resumed run.

    `name` is its name in checkpoints: keep it when the class is renamed, or older runs lose the state.
    """

    name: ClassVar[str]

    def start(self, task: LanguageModelTask) -> None:
        """Called once, before the first step of this process."""

    def again(self, task: LanguageModelTask) -> None:
        """Called after `start` if a signal came after `after_step` of the last step, while later callbacks were called."""

    def before_step(self, task: LanguageModelTask) -> None:
        """Called before each step, when `task.step` steps are done."""

    def after_step(self, task: LanguageModelTask) -> None:
        """Called after each step, which `task.step` counts. Setting `task.ending` makes it the last one."""

    def state(self) -> dict[str, Any]:
        """Return what to remember, as plain values."""
        return {}

    def restore(self, state: SavedState) -> None:
        """Restore what `state` returned; called only if the checkpoint has a state of this callback.

        Raises:
            UserError: if it is not what `state` returns.
        """


class CallbackList(Callback):
    """Calls callbacks in order: first the one that ends a run, then those that measure, those that write, the one that saves.

    Args:
        ends: called in every step.
        callbacks: the others, called in the steps that `every` says, and in the last one.
        every: step counts; in a step that is not a multiple of any of them, only `ends` is called.

    `owed` is the name of the callback that a signal interrupted: when the run is resumed, it and all that follow it are called
    for that step first.
    """

    name = "CallbackList"

    def __init__(self, ends: Callback, callbacks: list[Callback], every: list[int]) -> None:
        self.ends, self.callbacks, self.every = ends, callbacks, sorted(set(every))
        self._due = False
        self.owed: str | None = None

    def start(self, task: LanguageModelTask) -> None:
        for callback in (self.ends, *self.callbacks):
            callback.start(task)
        names = [callback.name for callback in self.callbacks]
        if self.owed in names:
            self.ends.after_step(task)
            done = names.index(self.owed)
            for callback in self.callbacks[:done]:
                callback.again(task)
            self._look(task, self.callbacks[done:])

    def before_step(self, task: LanguageModelTask) -> None:
        step = task.step + 1
        self._due = any(step % every == 0 for every in self.every)
        if self._due:
            for callback in self.callbacks:
                callback.before_step(task)

    def after_step(self, task: LanguageModelTask) -> None:
        self.ends.after_step(task)
        if self._due or task.ending:
            self._look(task, self.callbacks)

    def _look(self, task: LanguageModelTask, callbacks: list[Callback]) -> None:
        self.owed = None
        for callback in callbacks:
            try:
                callback.after_step(task)
            except Cut:
                self.owed, task.ending, task.interrupted = callback.name, True, True
                self.callbacks[-1].after_step(task)  # which saves
                return

    def state(self) -> dict[str, Any]:
        """Return the state of each callback, by name."""
        return {callback.name: callback.state() for callback in self.callbacks}

    def restore_each(self, saved: dict[str, Any], source: str, say: Callable[[str], None]) -> None:
        """Restore what `state` returned, perhaps in a version of rnnscope with more callbacks, or fewer.

        Args:
            saved: a state for each name; a callback without one starts from its default.
            source: the file of the checkpoint, for messages.
            say: called with a line for each callback without a state, and one for states without a callback.

        Raises:
            UserError: if a state is not what its callback returned.
        """
        remembering = {callback.name: callback for callback in self.callbacks if callback.state()}
        for name, callback in remembering.items():
            if name in saved:
                callback.restore(SavedState(source, name, saved[name]))
            else:
                say(f"{source} has no state for the callback {name}, which starts from its default")
        strange = [shown(name) for name, state in saved.items() if name not in remembering and state != {}]
        if strange:
            listed = ", ".join(strange[:MOST_NAMED]) + (", ..." if len(strange) > MOST_NAMED else "")
            say(f"{source} has state for callbacks that this version of rnnscope does not have; it is ignored: {listed}")
