"""What the terminal says of a run while it trains."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rnnscope.monitor.busy_machine import BusyMachine
from rnnscope.monitor.progress import Progress


def lines_of(total: int | None, seconds_per_step: float, steps: int) -> list[str]:
    """Return what a run says whose steps all take as long, but for the first, which takes a hundred times that."""
    said: list[str] = []
    throughput: Any = SimpleNamespace(seconds=0.0)
    console: Any = SimpleNamespace(say=said.append, bar=lambda *values: None)
    recorder: Any = SimpleNamespace(row={}, latest={})
    progress = Progress(console, recorder, throughput, 10, 10_000, total)
    task: Any = SimpleNamespace(step=0, epoch=0, ending=False)
    progress.start(task)
    for step in range(1, steps + 1):
        throughput.seconds += seconds_per_step * (100 if step == 1 else 1)
        task.step = step
        if step % 10 == 0:
            progress.after_step(task)
    return said


def test_once_fifty_steps_are_done_the_run_says_how_long_it_takes():
    assert lines_of(6000, 0.05, 49) == []
    assert lines_of(6000, 0.05, 300) == ["at this speed the run takes 5:05; 4:57 are left"]  # 5 + 5999 * 0.05 seconds


@pytest.mark.parametrize(("total", "seconds"), [(None, 1.0), (100, 0.05)])
def test_a_run_that_is_short_or_has_no_budget_of_steps_says_nothing(total, seconds):
    assert lines_of(total, seconds, 90) == []


@pytest.mark.parametrize(
    ("threads", "free", "device", "spoken"), [(2, 1.1, "cpu", 1), (2, 1.9, "cpu", 0), (1, 0.0, "cpu", 0), (2, 0.5, "cuda", 0)]
)
def test_a_busy_machine_is_said_once(threads, free, device, spoken):
    said: list[str] = []
    callback = BusyMachine(said.append, 10, threads)
    callback._others = SimpleNamespace(seconds=5.0, free=lambda: free)  # type: ignore[assignment]
    task: Any = SimpleNamespace(step=0, device=torch.device(device))
    callback.start(task)
    for step in range(1, 61):
        task.step = step
        callback.after_step(task)
    assert len(said) == spoken
    assert all(f"{free:.1f} cores" in line and "trainer.threads=1" in line for line in said)
