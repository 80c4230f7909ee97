"""Kills trainings with SIGKILL wherever it hurts, resumes them, and compares with trainings that were never stopped.

`make torture` kills fifty times and prints a table; the test suite uses the same functions for a handful.
"""

import contextlib
import csv
import errno
import itertools
import json
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from processes import forks

SMALL = [
    "trainer=cpu",
    "trainer.threads=1",
    "trainer.precision=float32",
    "model.hidden_size=16",
    "model.embedding_size=16",
    "model.dropout=0.2",
    "dataset.batch_size=4",
    "dataset.sequence_length=12",
    "monitor.sample_length=12",
]
SAMPLES = ["dataset.start_end=line", "dataset.windows=samples"]
OPTIMIZERS = ("sgd", "adagrad", "rmsprop", "adam", "adamw")


@dataclass(frozen=True)
class Kill:
    """Where a process kills itself: at the `count`-th time it gets to `place`."""

    place: str
    count: int


def write_text(path: Path, words: int = 4000) -> None:
    """Write a text with lines of different lengths, the same every time."""
    draw = random.Random(5)
    vocabulary = ["".join(draw.choices("abcdefgh", k=draw.randint(1, 6))) for _ in range(50)]
    text = " ".join(word + "\n" * (draw.random() < 0.1) for word in draw.choices(vocabulary, k=words))
    path.write_text(text, encoding="utf-8")


def rnnscope(folder: Path, *words: str, kill: Kill | None = None, after: float | None = None, number: int = 9) -> int:
    """Run one command line in a process of its own, outputs under `folder`, and return its exit status.

    Args:
        kill: where it kills itself.
        after: seconds after which signal `number` is sent to it.
    """
    process = forks.Process(target=_child, args=(str(folder), list(words), kill))
    process.start()
    if after is not None:
        process.join(after)
        if process.is_alive():
            assert process.pid
            os.kill(process.pid, number)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _child(folder: str, words: list[str], kill: Kill | None) -> None:
    from rnnscope import cli

    os.environ["RNNSCOPE_OUTPUTS"] = folder
    with open(f"{folder}/said.txt", "a", encoding="utf-8") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        if kill:
            PLACES[kill.place](_countdown(kill.count))
        sys.argv = ["rnnscope", *words]
        status = cli.main()
    sys.exit(status)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # the signal is on its way


def _countdown(count: int) -> Callable[[], bool]:
    """Return a function that is true at its `count`-th call."""
    calls = itertools.count(1)
    return lambda: next(calls) == count


def _in_step(due: Callable[[], bool]) -> None:
    from rnnscope.training.task import LanguageModelTask

    step = LanguageModelTask.take_step

    def take_step(self: Any, window: Any) -> None:
        step(self, window)
        if due():
            _die()

    LanguageModelTask.take_step = take_step  # type: ignore[method-assign]


def _in_step_all_written(due: Callable[[], bool]) -> None:
    """In a step while no checkpoint is on its way to the disk."""
    from rnnscope.pipeline.checkpointing import CheckpointManager

    save = CheckpointManager.save

    def save_and_wait(self: Any, *arguments: Any) -> None:
        save(self, *arguments)
        self.wait()

    CheckpointManager.save = save_and_wait  # type: ignore[method-assign]
    _in_step(due)


def _in_validation(due: Callable[[], bool]) -> None:
    from rnnscope.pipeline import callbacks

    evaluate = callbacks.evaluate

    def killed(windows: Any) -> Iterator[Any]:
        for index, window in enumerate(windows):
            if index == 1:
                _die()
            yield window

    def evaluate_some(model: Any, windows: Any, *rest: Any) -> Any:
        return evaluate(model, killed(windows) if due() else windows, *rest)

    callbacks.evaluate = evaluate_some


def _in_sampling(due: Callable[[], bool]) -> None:
    from rnnscope.runs import generation

    generate = generation.generate

    def generate_some(*arguments: Any, **named: Any) -> Iterator[Any]:
        for index, row in enumerate(generate(*arguments, **named)):
            if index == 5 and due():
                _die()
            yield row

    generation.generate = generate_some  # type: ignore[assignment]


def _in_checkpoint_file(due: Callable[[], bool]) -> None:
    from rnnscope.runs import checkpoints

    replace = checkpoints.replace_file

    def replace_some(path: Path, write: Callable[[Path], object]) -> None:
        def write_half(temporary: Path) -> None:
            write(temporary)
            os.truncate(temporary, temporary.stat().st_size // 2)
            _die()

        replace(path, write_half if path.name == "last.ckpt" and due() else write)

    checkpoints.replace_file = replace_some  # type: ignore[assignment]


def _before_the_move(due: Callable[[], bool]) -> None:
    from rnnscope.runs import checkpoints

    replace = checkpoints.replace_file

    def replace_some(path: Path, write: Callable[[Path], object]) -> None:
        def write_all(temporary: Path) -> None:
            write(temporary)
            _die()

        replace(path, write_all if path.name == "last.ckpt" and due() else write)

    checkpoints.replace_file = replace_some  # type: ignore[assignment]


def _after_the_move(due: Callable[[], bool]) -> None:
    from rnnscope.runs.checkpoints import Checkpoints

    keep = Checkpoints.keep

    def keep_some(self: Any, names: list[str]) -> None:
        if due():
            _die()
        keep(self, names)

    Checkpoints.keep = keep_some  # type: ignore[method-assign]


def _in_record(due: Callable[[], bool]) -> None:
    from rnnscope.runs import record

    replace = record.replace_text

    def replace_some(path: Path, text: str) -> None:
        if due():
            path.with_name(f".{path.name}.{os.getpid()}").write_text(text[: len(text) // 2], encoding="utf-8")
            _die()
        replace(path, text)

    record.replace_text = replace_some  # type: ignore[assignment]


def _in_row(due: Callable[[], bool]) -> None:
    from rnnscope.runs.journal import Journal

    write = Journal.write_line

    def write_some(self: Any, line: str) -> None:
        if self.path.name == "metrics.csv" and due():
            with self.path.open("ab") as file:
                file.write(line[: len(line) // 2].encode())
            _die()
        write(self, line)

    Journal.write_line = write_some  # type: ignore[method-assign]


def _on_a_full_disk(due: Callable[[], bool]) -> None:
    """No kill: the write of a checkpoint fails, as it does without space."""
    from rnnscope.runs import checkpoints

    replace = checkpoints.replace_file

    def replace_some(path: Path, write: Callable[[Path], object]) -> None:
        if path.name == "last.ckpt" and due():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        replace(path, write)

    checkpoints.replace_file = replace_some  # type: ignore[assignment]


PLACES = {
    "in a step": _in_step,
    "in a step, all written": _in_step_all_written,
    "in validation": _in_validation,
    "in sampling": _in_sampling,
    "in a checkpoint's file": _in_checkpoint_file,
    "before a checkpoint moves": _before_the_move,
    "after a checkpoint moved": _after_the_move,
    "in run.json": _in_record,
    "in a row of metrics.csv": _in_row,
    "on a full disk": _on_a_full_disk,
}


def only_run(folder: Path) -> Path:
    """Return the one run folder under `folder`."""
    (run,) = (folder / "runs").glob("*/*")
    return run


def said(folder: Path) -> str:
    """Return all that the processes of `rnnscope(folder, ...)` printed."""
    return (folder / "said.txt").read_text(encoding="utf-8")


def what_differs(one: Path, other: Path) -> list[str]:
    """Return what is not the same in two finished runs; nothing if one was only interrupted."""
    names = ("metrics.csv", "samples.jsonl", "model.safetensors", "vocabulary.json", "config.yaml")
    found = [name for name in names if (one / name).read_bytes() != (other / name).read_bytes()]
    records = [json.loads((run / "run.json").read_text(encoding="utf-8")) for run in (one, other)]
    found += [f"run.json: {key}" for key in ("status", "weights_sha256", "best") if records[0][key] != records[1][key]]
    states = [torch.load(run / "checkpoints/last.ckpt", weights_only=True) for run in (one, other)]
    for state in states:
        del state["run"], state["offsets"]["timings"], state["monitors"]["Throughput"]
        for key in [key for key in state["monitors"]["Recorder"]["latest"] if key.startswith("throughput")]:
            del state["monitors"]["Recorder"]["latest"][key]
    found += [f"last.ckpt: {key}" for key in states[0] if not same(states[0][key], states[1][key])]
    boards = [board_points(run) for run in (one, other)]
    found += [
        f"TensorBoard: {tag}" for tag in sorted(boards[0].keys() | boards[1].keys()) if boards[0].get(tag) != boards[1].get(tag)
    ]
    found += [
        path.name for path in (*other.iterdir(), *(other / "checkpoints").iterdir()) if path.name.startswith(f".{path.stem}")
    ]
    return found


def same(one: Any, other: Any) -> bool:
    """Whether two nested values are equal, tensors bit by bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def board_points(run: Path) -> dict[str, list[Any]]:
    """Return every point of a curve, histogram or text as TensorBoard shows it, the clock's left out."""
    from tensorboard.backend.event_processing import plugin_event_accumulator as reading

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it warns of every restart
    events = reading.EventAccumulator(str(run), size_guidance={reading.TENSORS: 0})
    events.Reload()
    tags = [tag for tag in events.Tags()[reading.TENSORS] if "throughput" not in tag and not tag.startswith("_")]
    return {tag: [(point.step, point.tensor_proto.SerializeToString()) for point in events.Tensors(tag)] for tag in tags}


@dataclass
class Row:
    """One kill in the table."""

    case: str
    place: str
    rows_to: int  # the step of the last row on disk at the kill
    checkpoint: int  # the step of last.ckpt then
    verdict: str = ""


def torture_case(folder: Path, name: str, words: list[str], kills: list[Kill | float]) -> list[Row]:
    """Train unbroken, then with all of `kills`, and return a row for each kill that hit. A number kills from outside."""
    whole, broken = folder / f"{name}-whole", folder / f"{name}-broken"
    for outputs in (whole, broken):
        outputs.mkdir(parents=True)
    assert rnnscope(whole, "train", *words) == 0, said(whole)
    rows = []
    for kill in kills:
        started = (broken / "runs").exists() and any((broken / "runs").glob("*/*/run.json"))
        command = ["resume", f"run={only_run(broken)}"] if started else ["train", *words]
        how = {"kill": kill} if isinstance(kill, Kill) else {"after": kill}
        status = rnnscope(broken, *command, **how)  # type: ignore[arg-type]
        if status == 0:
            break
        assert status == -signal.SIGKILL, said(broken)
        place = kill.place if isinstance(kill, Kill) else "at a moment of the clock"
        if not any((broken / "runs").glob("*/*/run.json")):
            shutil.rmtree(broken / "runs", ignore_errors=True)  # it had not begun: nothing to resume
            continue
        rows.append(Row(name, place, last_row(only_run(broken)), checkpoint_step(only_run(broken))))
    status = rnnscope(broken, "resume", f"run={only_run(broken)}")
    assert status == 0, said(broken)
    differs = what_differs(only_run(whole), only_run(broken))
    for row in rows:
        row.verdict = "bit-identical" if not differs else f"differs: {', '.join(differs)}"
    return rows


def checkpoint_step(run: Path) -> int:
    """Return the step of last.ckpt, 0 where there is none yet."""
    path = run / "checkpoints/last.ckpt"
    return torch.load(path, weights_only=True)["task"]["step"] if path.exists() else 0


def last_row(run: Path) -> int:
    """Return the step of the last whole row of metrics.csv, 0 where there is none."""
    with contextlib.suppress(OSError):
        text = (run / "metrics.csv").read_text(encoding="utf-8")
        steps = [row["step"] for row in csv.DictReader(text[: text.rfind("\n") + 1].splitlines())]
        return int(steps[-1]) if steps else 0
    return 0


def cases() -> Iterator[tuple[str, list[str], list[Kill | float]]]:
    """Yield ten trainings, each optimizer with both kinds of windows, and where each is killed."""
    draw = random.Random(11)
    writes = ("in a checkpoint's file", "before a checkpoint moves", "after a checkpoint moved")
    others = ("in validation", "in sampling", "in run.json")
    for index, (optimizer, windows) in enumerate(itertools.product(OPTIMIZERS, ("stream", "samples"))):
        words = [*SMALL, f"optimizer={optimizer}", "trainer.max_steps=1500", *(SAMPLES if windows == "samples" else [])]
        kills: list[Kill | float] = [
            Kill("in a step", draw.randint(310, 450)),
            draw.uniform(0.5, 1.0),
            Kill(writes[index % 3], draw.randint(1, 2)),
            Kill(others[index % 3], 1),
            Kill("in a row of metrics.csv", draw.randint(1, 25)),
            Kill(writes[(index + 1) % 3], 1),
        ]
        yield f"{optimizer}-{windows}", words, kills


def main() -> int:
    """Run all cases, print the table, and return 0 if every run is bit-identical, and enough were killed where it hurts."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text.txt")
        write_text(text)
        for name, words, kills in cases():
            found = torture_case(Path(folder), name, [f"text={text}", *words], kills)
            for row in found:
                print(f"{len(rows) + 1:>3}  {row.case:<17} {row.place:<26} rows to {row.rows_to:>4}", end="")
                print(f"  checkpoint at {row.checkpoint:>4}  {row.verdict}", flush=True)
                rows.append(row)
    good = sum(row.verdict == "bit-identical" for row in rows)
    late = sum(row.checkpoint > 0 for row in rows)
    writing = sum("checkpoint" in row.place for row in rows)
    print(f"\n{len(rows)} kills, {late} of them after the first checkpoint, {writing} in the writing of one:", end="")
    print(f" {good} bit-identical")
    return 0 if good == len(rows) >= 50 and late >= 40 and writing >= 5 else 1


if __name__ == "__main__":
    sys.exit(main())
