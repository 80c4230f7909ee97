"""Each command of docs/course.md is accepted, and leaves what its lesson looks at (tests/slow/ takes the course as it is)."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from course import LESSONS, PAGE, page_data, runs
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnnscope.cli import main
from rnnscope.runs.load import load

FEW = ["trainer=cpu", "trainer.threads=1", "trainer.max_steps=4", "trainer.val_every=2", "trainer.checkpoint_every=4"]
FEW += ["monitor.scalars_every=2", "monitor.updates_every=2", "monitor.histograms_every=4", "monitor.activations_every=4"]
FEW += ["model.hidden_size=8"]
SMALL_TEXT = ["dataset.corpus.packages=[email]", "dataset.split={train: 0.8, val: 0.1, test: 0.1}"]
SMALLER = {  # what is appended to a lesson's commands
    (1, "train"): [word for word in FEW if "hidden_size" not in word],
    (2, "train"): [*FEW, "monitor.sample_length=4"],
    (2, "evaluate"): ["length=20"],
    (3, "train"): [*FEW, *SMALL_TEXT, "monitor.sample_length=4"],
    (4, "train"): [*FEW, "dataset.corpus.copies=1000"],
    (5, "sample"): ["length=700"],
    (5, "visualize"): ["memory=false"],
}


@pytest.fixture
def take(tmp_path, monkeypatch, capsys):
    """Return a function that takes a lesson in an empty folder, with few steps, and returns what each command printed."""
    monkeypatch.delenv("RNNSCOPE_OUTPUTS", raising=False)
    monkeypatch.delenv("RNNSCOPE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(lesson: int) -> list[str]:
        printed = []
        for line in LESSONS[lesson]:
            typed, _, file = line.partition(" > ")
            program, command, *words = shlex.split(typed)
            assert program == "rnnscope"
            assert main([command, *words, *SMALLER.get((lesson, command), [])]) == 0, capsys.readouterr().err
            printed.append(capsys.readouterr().out)
            if file:
                Path(file).write_text(printed[-1], encoding="utf-8")
        return printed

    return run


def charts(run) -> set[str]:
    """Return the names of a run's charts in TensorBoard."""
    return set(EventAccumulator(str(run)).Reload().Tags()["tensors"])


def test_the_page_has_six_lessons_with_commands():
    assert list(LESSONS) == [1, 2, 3, 4, 5, 6]
    assert all(LESSONS.values())
    assert all(line.split()[1] == "tensorboard" for line in PAGE.split("\n## ")[0].splitlines() if line.startswith("$"))


def test_hello(take, tmp_path):
    _, sampled, _ = take(1)
    assert len(sampled.strip()) <= 5
    net = page_data(tmp_path / "hello.html")["net"]
    assert net["tokens"] == [*"hell"]
    assert len(net["sides"][0]["hidden"][0]) == 3
    (run,) = runs(tmp_path).values()
    read = load(str(run)).states("hello")["hidden"][:4, 0]  # as the rest of the page does
    np.testing.assert_allclose(net["sides"][0]["hidden"], read, atol=1e-3)


def test_learning_by_heart(take, tmp_path):
    *_, copied = take(2)
    assert set(runs(tmp_path)) == {"by_heart", "dropped_out"}
    assert all(name in (tmp_path / "by_heart.html").read_text(encoding="utf-8") for name in ("by_heart", "dropped_out"))
    assert "longest copied passage" in copied
    assert {"train/loss", "val/loss"} <= charts(runs(tmp_path)["by_heart"])
    assert all((runs(tmp_path)["by_heart"] / "checkpoints" / name).is_file() for name in ("best.ckpt", "last.ckpt"))


def test_learning_rates(take, tmp_path):
    take(3)
    assert len(runs(tmp_path)) == 4
    assert all("update_size/all" in charts(run) for run in runs(tmp_path).values())


def test_how_far_back_a_gradient_reaches(take, tmp_path):
    take(4)
    assert len(runs(tmp_path)) == 12
    assert any(chart.startswith("gradient_through_time/") for chart in charts(runs(tmp_path).popitem()[1]))


def test_what_a_unit_knows(take, tmp_path):
    take(5)
    data = page_data(tmp_path / "units.html")
    assert "position in line" in [row["name"] for row in data["ranking"]]
    assert "newline within 3" in [row["name"] for row in data["causal"]["rows"]]


def test_temperature(take):
    printed = take(6)
    assert len(set(printed)) == 3
    assert all(300 < len(text) <= 402 for text in printed)
