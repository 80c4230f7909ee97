"""What is printed while a run trains: regular lines and, on a terminal, a progress bar."""

from dataclasses import dataclass
from typing import Protocol

from rnnscope.format import clock
from rnnscope.monitor.recorder import Recorder
from rnnscope.monitor.throughput import Throughput
from rnnscope.training.callback import Callback
from rnnscope.training.task import LanguageModelTask

TIMED = 10, 50  # steps between which the speed is measured: the first steps are slower
WORTH_SAYING = 30.0  # seconds: a shorter time left is not announced


class Console(Protocol):
    """Prints lines and, on a terminal, a progress bar."""

    def say(self, line: str) -> None: ...

    def bar(self, step: int, total: int | None, text: str) -> None: ...


@dataclass(eq=False)
class Progress(Callback):
    """Moves the bar every `every` steps, and prints a line every `lines_every` steps and at each validation."""

    name = "Progress"
    console: Console
    recorder: Recorder
    throughput: Throughput
    every: int
    lines_every: int
    total_steps: int | None

    def start(self, task: LanguageModelTask) -> None:
        self._first_step, self._first_seconds = task.step, self.throughput.seconds
        self._timed: tuple[int, float] | None = None  # a step and the time when it was done: the speed is measured from there
        self._forecast = self.total_steps is None  # whether the time left has been announced, or cannot be

    def after_step(self, task: LanguageModelTask) -> None:
        if not self._forecast:
            self._time_steps(task.step, self.total_steps or 0)
        if task.step % self.lines_every == 0 or "val/loss" in self.recorder.row or task.ending:
            self.console.say(self._line(task))
        if task.step % self.every == 0 or task.ending:
            self.console.bar(task.step, self.total_steps, self._numbers(task))

    def _time_steps(self, step: int, total: int) -> None:
        """Announce how long the run will take, after enough steps to know."""
        done, seconds = step - self._first_step, self.throughput.seconds
        if self._timed is None and done >= TIMED[0]:
            self._timed = step, seconds
        elif self._timed and done >= TIMED[1]:
            self._forecast = True
            left = (seconds - self._timed[1]) / (step - self._timed[0]) * (total - step)
            if left > WORTH_SAYING:
                self.console.say(f"at this speed the run takes {clock(seconds + left)}; {clock(left)} are left")

    def _line(self, task: LanguageModelTask) -> str:
        total = "" if self.total_steps is None else f"/{self.total_steps}"
        row = self.recorder.row
        val = f"  val/loss {row['val/loss']:.4f}" if "val/loss" in row else ""
        return f"step {task.step}{total}  epoch {task.epoch}  {self._numbers(task)}{val}{self._left(task)}"

    def _numbers(self, task: LanguageModelTask) -> str:
        latest = self.recorder.latest
        speed = latest.get("throughput/tokens_per_second")
        parts = [
            f"loss {latest['train/loss']:.4f}" if "train/loss" in latest else "",
            f"{speed:,.0f} tokens/s" if speed else "",
        ]
        return "  ".join(part for part in parts if part)

    def _left(self, task: LanguageModelTask) -> str:
        done = task.step - self._first_step
        if self.total_steps is None or not done or task.step >= self.total_steps:
            return ""
        seconds = (self.throughput.seconds - self._first_seconds) / done * (self.total_steps - task.step)
        return f"  {clock(seconds)} left"
