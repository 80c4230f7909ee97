"""SIGINT and SIGTERM at any moment: 130 soon, with one line and no folder before the first step, with a checkpoint after it."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY

SOON = 4.0  # seconds of a core, of which the machine may give the process a small part
LONG = [*TINY, "trainer.max_steps=1000000", "trainer.val_every=20", "monitor.lines_every=1"]


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve megabytes of sentences: reading them takes seconds."""
    draw = random.Random(8)
    words = ["".join(draw.choices("abcdefgh", k=draw.randint(1, 7))) for _ in range(3000)]
    path = tmp_path_factory.mktemp("book") / "book.txt"
    path.write_text(" ".join(" ".join(draw.choices(words, k=8)).capitalize() + "." for _ in range(300_000)))
    return path


def cpu_seconds(pid: int) -> float:
    """Return how long a process that runs has used a core."""
    *hours, minutes, seconds = subprocess.check_output(["ps", "-o", "time=", "-p", str(pid)], text=True).split(":")
    return 3600 * sum(map(int, hours)) + 60 * int(minutes) + float(seconds)


def children_seconds() -> float:
    """Return the same of all children of this process that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def interrupt(
    words: list[str], outputs: Path, when: Callable[[subprocess.Popen], Any], number: int, again: int | None = None
) -> tuple[str, str]:
    """Send a command one signal or two `when` that returns: it must end with 130 soon. Return what it printed."""
    environment = {**os.environ, "RNNSCOPE_OUTPUTS": str(outputs)}
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen([sys.executable, "-u", "-m", "rnnscope", *words], **pipes) as process:
        when(process)
        used = cpu_seconds(process.pid) + children_seconds()
        process.send_signal(number)
        if again is not None:
            time.sleep(0.05)
            process.send_signal(again)
        said, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert children_seconds() - used < SOON
    return said, errors


def after(seconds: float) -> Callable[[Any], None]:
    return lambda process: time.sleep(seconds)


def saying(what: str) -> Callable[[Any], bool]:
    """Return what waits until a line that begins with `what` is printed."""
    return lambda process: any(line.startswith(what) for line in process.stdout)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0.4, 0.8, 1.5, 3, 5, 7])
def test_before_the_first_step(number: int, seconds: float, book: Path, tmp_path: Path) -> None:
    """In imports, in reading, splitting, counting and encoding."""
    keys = ["dataset.level=word", "dataset.start_end=sentence", "trainer.threads=1"]
    _, errors = interrupt(["train", f"text={book}", *keys], tmp_path, after(seconds), number)
    assert errors == "rnnscope: interrupted\n"
    assert not list(tmp_path.glob("runs/*/*"))


PLACES = {
    "in a step": ([], "step 10/"),
    "in validation": (["dataset.split.val=0.9", "dataset.split.train=0.1", "trainer.val_every=25"], "step 24/"),
    "in a sample": (["monitor.sample_length=1000000"], "step 19/"),
    "while a checkpoint is written": (["model.hidden_size=700", "trainer.checkpoint_every=1"], "step 10/"),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", PLACES)
def test_after_the_first_step(place: str, number: int, book: Path, tmp_path: Path) -> None:
    text = tmp_path / "part.txt"
    text.write_text(book.read_text()[:1_000_000])
    more, line = PLACES[place]
    said, errors = interrupt(["train", f"text={text}", *LONG, *more], tmp_path, saying(line), number)
    assert errors == ""
    assert "interrupted" in said
    (record,) = tmp_path.glob("runs/*/*/run.json")
    values = json.loads(record.read_text())
    assert (values["status"], values["reason"]) == ("interrupted", signal.Signals(number).name)
    saved = torch.load(record.parent / "checkpoints/last.ckpt", weights_only=True)
    assert saved["task"]["step"] == values["progress"]["step"] >= int(line.split()[1].rstrip("/"))


@pytest.mark.parametrize("numbers", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGHUP, signal.SIGINT)], ids=["TERM", "INT"])
@pytest.mark.parametrize("seconds", [0.5, None])
def test_a_second_signal_changes_nothing(numbers: tuple[int, int], seconds: float | None, book: Path, tmp_path: Path) -> None:
    """Before the first step, and while the end of a run is recorded."""
    text = tmp_path / "part.txt"
    text.write_text(book.read_text()[:100_000])
    numbers = (signal.SIGINT, numbers[1]) if seconds else numbers
    when = after(seconds) if seconds else saying("step 500/")
    _, errors = interrupt(["train", f"text={text}", *LONG[:-2], "monitor.lines_every=100"], tmp_path, when, *numbers)
    assert errors.replace("rnnscope: interrupted\n", "") == ""
    for record in tmp_path.glob("runs/*/*/run.json"):
        assert json.loads(record.read_text())["status"] == "interrupted"
    assert seconds or list(tmp_path.glob("runs/*/*/run.json"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "words", [["sample", "length=100000000"], ["evaluate", "text=BOOK"], ["bench"]], ids=lambda words: words[0]
)
def test_other_commands(words: list[str], number: int, book: Path, tiny_run: Any) -> None:
    outputs = tiny_run.run.path.parents[2]
    words = [word.replace("BOOK", str(book)) for word in words]
    _, errors = interrupt([*words, *([f"run={tiny_run.run.path}"] if words[0] != "bench" else [])], outputs, after(6), number)
    assert errors.endswith("rnnscope: interrupted\n")
    assert "Traceback" not in errors


def test_compare(tmp_path: Path, tiny_run: Any) -> None:
    """Of very many runs."""
    for number in range(4000):
        (tmp_path / f"runs/x/{number}").mkdir(parents=True)
        for name in ("run.json", "config.yaml", "metrics.csv"):
            os.link(tiny_run.run.path / name, tmp_path / f"runs/x/{number}/{name}")
    _, errors = interrupt(["compare", f"folder={tmp_path}"], tmp_path, after(4), signal.SIGTERM)
    assert errors == "rnnscope: interrupted\n"
