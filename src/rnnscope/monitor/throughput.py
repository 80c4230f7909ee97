"""Timings: tokens per second, seconds trained, peak memory. None of them influences a run."""

import resource
import sys
import time
from typing import Any

import torch

from rnnscope.monitor.recorder import Recorder
from rnnscope.training.callback import Callback
from rnnscope.training.saved_state import SavedState
from rnnscope.training.task import LanguageModelTask


class Throughput(Callback):
    """Records timings every `every` steps. `seconds` continues from an earlier session of the run."""

    name = "Throughput"

    def __init__(self, recorder: Recorder, every: int) -> None:
        self.recorder, self.every = recorder, every
        self._earlier = 0.0
        self._started = self._last_time = time.perf_counter()
        self._last_tokens = 0

    def start(self, task: LanguageModelTask) -> None:
        self._started = self._last_time = time.perf_counter()
        self._last_tokens = task.tokens_seen

    @property
    def seconds(self) -> float:
        """Seconds of training so far, over all sessions of the run."""
        return self._earlier + time.perf_counter() - self._started

    def after_step(self, task: LanguageModelTask) -> None:
        if task.step % self.every or task.tokens_seen == self._last_tokens:  # no token is new in the step of a resume
            return
        now = time.perf_counter()
        speed = (task.tokens_seen - self._last_tokens) / (now - self._last_time)
        self._last_time, self._last_tokens = now, task.tokens_seen
        self.recorder.clock |= {
            "throughput/tokens_per_second": speed,
            "throughput/seconds": self.seconds,
            "throughput/memory_gigabytes": peak_memory(task.device) / 1e9,
        }

    def state(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def restore(self, state: SavedState) -> None:
        self._earlier = state.number("seconds", finite=True)


def saved_seconds(states: dict[str, Any], source: str) -> float:
    """Return the seconds of training in the states of all callbacks of the checkpoint `source`, 0 if it has none.

    Raises:
        UserError: if they are not a number.
    """
    name = Throughput.name
    return SavedState(source, name, states[name]).number("seconds", finite=True) if name in states else 0.0


def peak_memory(device: torch.device) -> int:
    """Return the peak memory of the GPU, or else of this process, in bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
