"""What is seen of a sweep while it runs: a line per job, redrawn in place on a terminal, now and then in a file."""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import IO

from rnnscope.format import clock
from rnnscope.sweeps.job_folder import Place, State
from rnnscope.sweeps.progress import progress_of
from rnnscope.sweeps.table import number, shortened

EVERY = 1.0  # seconds between two looks at the disk
UP = "\x1b[{}F\x1b[J"  # a terminal's: so many lines up, and clear from there


class Lines:
    """Looks at jobs from a thread of its own, and prints what became of them.

    Args:
        changed: called with each job and its state whenever that may have changed.
        seconds: between two lines of a running job where the output is no terminal.
    """

    def __init__(self, changed: Callable[[Place, State], object], seconds: float, out: IO[str] | None = None) -> None:
        self._changed, self._seconds = changed, seconds
        self._out = out or sys.stdout
        self._live = self._out.isatty()
        self._drawn = 0  # lines of the block that is redrawn
        self._jobs: dict[str, Place] = {}
        self._states: dict[str, State] = {}
        self._said: dict[str, tuple[float, str]] = {}  # when a job's line was printed last, and what it was
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)

    def open(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look a last time and leave the terminal as it is; doing so twice changes nothing."""
        if self._thread.is_alive():
            self._over.set()
            self._thread.join()
            self.look()
        with self._lock:
            self._erase()
            self._live = False

    def follow(self, places: Iterable[Place]) -> None:
        """Watch these jobs as well; what they came to before is not news."""
        with self._lock:
            for place in places:
                self._jobs[place.name] = place
                self._states[place.name] = place.state(alive=False)

    def say(self, line: str) -> None:
        """Print a line that stays."""
        with self._lock:
            self._erase()
            self._out.write(f"{line}\n")
            self._out.flush()

    def _keep_looking(self) -> None:
        while not self._over.wait(EVERY):
            self.look()

    def look(self) -> None:
        """Look at every job that has not ended, and print what is new."""
        with self._lock:
            for name, place in self._jobs.items():
                before = self._states[name]
                if before.ended:
                    continue
                state = self._states[name] = place.state()
                self._changed(place, state)
                if state.ended or (state.status == "interrupted" and before.status == "running"):
                    self.say(f"{name}  {ending(state)}")
                elif state.status == "running" and not self._live:
                    self._say_progress(place, state)
            if self._live:
                self._draw()

    def _say_progress(self, place: Place, state: State) -> None:
        then, before = self._said.get(place.name, (0.0, ""))
        if time.monotonic() - then < self._seconds:
            return
        line = progress_of(place, state).line()
        if line != before:
            self._said[place.name] = (time.monotonic(), line)
            self.say(f"{place.name}  {line}")

    def _erase(self) -> None:
        if self._drawn:
            self._out.write(UP.format(self._drawn))
            self._drawn = 0

    def _draw(self) -> None:
        running = {name: state for name, state in self._states.items() if state.status == "running"}
        width = max(map(len, running), default=0)
        lines = [f"{name:<{width}}  {progress_of(self._jobs[name], state).line()}" for name, state in running.items()]
        columns, rows = shutil.get_terminal_size()
        shown = [self._summary(len(running)), *lines][: rows - 2]
        self._erase()
        self._out.write("".join(f"{line[: columns - 1]}\n" for line in shown))
        self._out.flush()
        self._drawn = len(shown)

    def _summary(self, running: int) -> str:
        ended = sum(state.ended for state in self._states.values())
        return f"{ended} of {len(self._states)} jobs done, {running} running, {len(self._states) - ended - running} waiting"


def ending(state: State) -> str:
    """Return how a job ended, in a line."""
    seconds, best = state.get("progress.seconds"), number(state.get("best.loss"))
    parts = [state.status]
    parts += [f"at step {state.get('progress.step')}"] if state.values is not None else []
    parts += [f"after {clock(seconds)}"] if isinstance(seconds, (int, float)) else []
    text = " ".join(parts) + (f"; best val/loss {best} at step {state.get('best.step')}" if best else "")
    return text + (f" ({shortened(state.reason)})" if state.reason else "")
