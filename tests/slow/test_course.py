"""The whole of docs/course.md as it is written, each lesson in an empty folder, and what the page says to look for."""

import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from course import LESSONS, column, last, page_data, runs
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Take = Callable[..., list[str]]


@pytest.fixture
def take(tmp_path: Path) -> Take:
    """Return a function that types commands in an empty folder and returns what each printed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RNNSCOPE_")}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])

    def run(*commands: str) -> list[str]:
        printed = []
        for command in commands:
            done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            printed.append(done.stdout)
        return printed

    return run


def test_hello(take: Take, tmp_path: Path) -> None:
    trained, sampled, _ = take(*LESSONS[1])
    (first,) = re.findall(r"the first loss is ([\d.]+)", trained) or ["1.95"]  # said where it is far from ln 7
    assert float(first) == pytest.approx(math.log(7), abs=0.4)
    assert last(runs(tmp_path)["hello"], "train/loss") < 0.05
    assert sampled.strip() == "hello"
    net = page_data(tmp_path / "hello.html")["net"]
    before = net["sides"][0]
    assert net["tokens"] == [*"hell"]
    assert [int(np.argmax(scores)) for scores in before["scores"]] == net["targets"]
    first_l, second_l = (np.array(before["hidden"][at]) for at in (2, 3))
    assert np.abs(first_l - second_l).max() > 0.5
    (trained,) = take("rnnscope train experiment=hello model.hidden_size=1 name=one_unit")
    assert last(runs(tmp_path)["one_unit"], "train/loss") > 2 * last(runs(tmp_path)["hello"], "train/loss")


def test_learning_by_heart(take: Take, tmp_path: Path) -> None:
    *_, copied = take(*LESSONS[2])
    plain, dropped = (runs(tmp_path)[name] for name in ("by_heart", "dropped_out"))
    val = column(plain, "val/loss")
    best = min(val, key=lambda step: val[step])
    assert 300 < best < 2500
    assert val[3000] > val[best] + 0.02
    assert last(plain, "train/loss") < last(plain, "val/loss") - 0.4
    assert (tmp_path / "by_heart.html").is_file()
    (longest,) = re.findall(r"^longest copied passage, in tokens +([\d,]+)", copied, re.M)
    assert int(longest.replace(",", "")) > 20
    assert last(dropped, "train/loss") > last(plain, "train/loss") + 0.1
    assert last(dropped, "val/loss") < last(plain, "val/loss")


def test_learning_rates(take: Take, tmp_path: Path) -> None:
    take(*LESSONS[3])
    found = runs(tmp_path)
    parts = ("lr-0.1", "lr-0.05", "lr-0.01", "step_map")
    large, middle, small, stepped = (next(run for name, run in found.items() if part in name) for part in parts)
    sizes = {run: column(run, "update_size/all") for run in found.values()}
    assert all(np.mean([size for step, size in sizes[run].items() if step <= 500]) > -2 for run in sizes)
    late = {run: np.mean([size for step, size in sizes[run].items() if step > 1500]) for run in sizes}
    assert [run for run in late if late[run] < -2] == [stepped]
    ends = {run: last(run, "val/loss") for run in found.values()}
    assert ends[small] + 0.2 < min(ends[middle], ends[stepped])
    assert max(ends[middle], ends[stepped]) < ends[large]
    halfway = column(stepped, "val/loss")
    assert halfway[500] - ends[stepped] > 0.2  # it improves when the rate falls, and does not recover fully


def test_how_far_back_a_gradient_reaches(take: Take, tmp_path: Path) -> None:
    take(*LESSONS[4])
    found = runs(tmp_path)
    ends = {name: last(run, "val/loss") for name, run in found.items()}
    guessing = {name for name, loss in ends.items() if loss == pytest.approx(math.log(8), abs=0.05)}
    assert guessing == {f"copy_lag-{lag}_model-{cell}" for lag in (20, 100) for cell in ("rnn", "lstm_forget_bias-1")}
    assert all(loss < 0.3 for name, loss in ends.items() if name not in guessing)
    rnn, lstm = (reach(found[f"copy_lag-100_model-{cell}"], 16) for cell in ("rnn", "lstm_forget_bias-5"))
    assert rnn < -6 < -5 < lstm
    assert f"{0.73**100:.0e}" == "2e-14"


def reach(run: Path, lag: int) -> float:
    """Return how much of a gradient is left at a lag, log10, in TensorBoard's chart of it."""
    board = EventAccumulator(str(run), {"tensors": 0}).Reload()
    return float(board.Tensors(f"gradient_through_time/lag_{lag}")[-1].tensor_proto.float_val[0])


def test_what_a_unit_knows(take: Take, tmp_path: Path) -> None:
    take(*LESSONS[5])
    data = page_data(tmp_path / "units.html")
    ranking = {row["name"]: row for row in data["ranking"]}
    line = ranking["position in line"]
    assert line["score"] > line["twin"] + 0.1
    assert ranking["upper case"]["twin"] > 0.8  # even a random network follows it
    needed = {row["name"]: row for row in data["causal"]["rows"]}["newline within 3"]
    assert needed["neededOn"] > 0.1
    assert needed["needed"] == line["unit"]


def test_temperature(take: Take) -> None:
    cold, mild, hot = take(*LESSONS[6])
    kinds = [len({text[at : at + 4] for at in range(len(text) - 3)}) / len(text) for text in (cold, mild, hot)]
    assert kinds[0] < kinds[1] < kinds[2]  # the colder, the more it repeats itself
