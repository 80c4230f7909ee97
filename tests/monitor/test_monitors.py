"""Watching a training: it changes nothing, it ends a run where it should, and what it writes is what happened."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import TINY, train
from messages import assert_says, line_with

from rnnscope.cli import main
from rnnscope.format import clock
from rnnscope.model.scoring import Score
from rnnscope.monitor.divergence import lost_parameters
from rnnscope.runs.journal import read_rows
from rnnscope.training.task import LanguageModelTask


@pytest.fixture
def text(story: Path, outputs: Path) -> list[str]:
    return ["dataset=text_files", f"dataset.corpus.path={story}"]


def record_of(result) -> dict:
    return json.loads(result.run.record.read_text(encoding="utf-8"))


def column(result, name: str) -> dict[int, float]:
    """Return a column of metrics.csv by step, empty cells left out."""
    return {int(row["step"]): float(row[name]) for row in read_rows(result.run.metrics) if row[name]}


def look_at(monkeypatch, losses: list[float]) -> None:
    """Let validation find these losses, one after the other."""
    found = iter(losses)
    monkeypatch.setattr("rnnscope.pipeline.callbacks.evaluate", lambda *_: Score(next(found), 1, 0, 1))


@pytest.mark.parametrize("windows", [[], ["dataset.windows=samples", "dataset.start_end=line"]], ids=["stream", "samples"])
def test_watching_changes_nothing(text, windows):
    words = [*text, *windows, "model.dropout=0.3", "trainer.state_reset=0.3"]
    names = ("monitor.scalars_every", "monitor.updates_every", "monitor.histograms_every", "monitor.samples_every")
    names += (
        "monitor.activations_every",
        "monitor.lines_every",
        "trainer.val_every",
        "trainer.checkpoint_every",
        "trainer.keep_every",
    )
    closely = train(*words, *(f"{name}=1" for name in names))
    barely = train(*words, *(f"{name}=1000" for name in names))
    assert closely.step == barely.step == 30
    assert closely.weights_hash == barely.weights_hash
    assert column(closely, "val/loss")[30] == column(barely, "val/loss")[30]
    assert len(column(closely, "val/loss")) == 30
    assert len(column(barely, "val/loss")) == 1
    assert train(*words, "seed=2").weights_hash != closely.weights_hash


def test_early_stopping_waits_patiently(text, monkeypatch):
    look_at(monkeypatch, [3.0, 2.0, 2.5, 1.9, 2.0, 1.95, 1.0])
    result = train(*text, "trainer.patience=2", "trainer.max_steps=100")
    assert (result.status, result.step) == ("finished", 60)
    record = record_of(result)
    assert record["stopped_early"] is True
    assert record["best"]["step"] == 40
    assert record["best"]["loss"] == result.metrics["best/loss"] == 1.9
    best = torch.load(result.run.checkpoints / "best.ckpt", weights_only=True)
    assert best["task"]["step"] == 40


def test_a_budget_in_epochs_ends_within_the_epoch(text):
    whole = train(*text, "trainer.max_steps=null", "trainer.max_epochs=1", "dataset.batch_size=32")
    half = train(*text, "trainer.max_steps=null", "trainer.max_epochs=1.5", "dataset.batch_size=32")
    assert half.step == math.ceil(1.5 * whole.step)
    train_tokens = record_of(whole)["data"]["splits"]["train"]["tokens"]
    assert int(list(read_rows(whole.run.metrics))[-1]["tokens"]) == train_tokens
    assert [row["epoch"] for row in read_rows(half.run.metrics)][-1] == "1"


def test_a_budget_in_minutes_stops_at_a_recorded_step(text, monkeypatch):
    now = [0.0]
    set_rate = LanguageModelTask._set_rate

    def ten_seconds(self, epoch):
        now[0] += 10
        set_rate(self, epoch)

    monkeypatch.setattr("rnnscope.monitor.throughput.time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(LanguageModelTask, "_set_rate", ten_seconds)
    result = train(*text, "trainer.max_minutes=1.1", "trainer.max_steps=null", "schedule=constant")
    assert (result.status, result.step) == ("finished", 7)
    assert record_of(result)["progress"]["step"] == 7
    (row,) = list(read_rows(result.run.timings))[-1:]
    assert float(row["throughput/seconds"]) == 60
    assert float(row["throughput/tokens_per_second"]) == pytest.approx(4 * 12 / 10)


EXPLODE = ["optimizer=sgd", "optimizer.lr=1e38", "trainer.clip_norm=null", "schedule=constant"]


def test_a_training_that_explodes_ends_as_diverged(text, story, capsys):
    words = [f"text={story}", *TINY, *EXPLODE]
    assert main(["train", *words, "monitor.scalars_every=1", "trainer.checkpoint_every=1"]) == 1
    said = capsys.readouterr().out
    line_with(said, "diverged", "step 2")
    line_with(said, "optimizer.lr", "1e+38", "trainer.clip_norm=1")


def test_a_diverged_run_shows_nan_and_keeps_its_last_finite_weights(text):
    result = train(*text, *EXPLODE, "monitor.scalars_every=1", "trainer.checkpoint_every=1")
    assert result.status == "diverged"
    record = record_of(result)
    assert record["status"] == "diverged"
    assert_says(record["reason"], "train/loss", "all parameters are finite", "in")
    losses = column(result, "train/loss")
    assert list(losses) == list(range(1, result.step + 1))
    assert not math.isfinite(losses[result.step])
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(result.run.path), {"tensors": 0}).Reload()
    assert not math.isfinite(board.Tensors("train/loss")[-1].tensor_proto.float_val[0])
    saved = torch.load(result.run.checkpoints / "last.ckpt", weights_only=True)
    assert saved["task"]["step"] == result.step - 1
    assert math.isfinite(losses[saved["task"]["step"]])


def test_a_kept_checkpoint_is_never_of_a_diverged_run(text):
    words = ["monitor.scalars_every=100", "trainer.val_every=100", "trainer.checkpoint_every=100", "trainer.keep_every=3"]
    result = train(*text, *EXPLODE, *words)
    assert (result.status, result.step) == ("diverged", 3)
    assert torch.load(result.run.checkpoints / "last.ckpt", weights_only=True)["task"]["step"] == 0
    assert not list(result.run.checkpoints.glob("step_*.ckpt"))


def test_the_parameters_that_are_lost_are_counted():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[0].bias.data[1] = -123.0
    assert_says(lost_parameters(model), "all parameters are finite", 123, "0.bias")
    model[1].weight.data[1, 0] = math.inf
    model[1].bias.data[0] = math.nan
    assert_says(lost_parameters(model), "1.weight", "the first of 2 parameters (of 4)")


def test_a_validation_that_is_no_number_ends_the_run(text, monkeypatch):
    look_at(monkeypatch, [2.0, math.nan])
    result = train(*text)
    assert (result.status, result.step) == ("diverged", 20)
    assert_says(record_of(result)["reason"], "val/loss is nan", "all parameters are finite")
    assert math.isnan(column(result, "val/loss")[20])
    assert result.metrics["best/loss"] == 2.0


def test_a_plateau_halves_the_rate_in_a_run(text, monkeypatch):
    look_at(monkeypatch, [3.0, 3.1, 2.9, 2.9])
    result = train(*text, "schedule=plateau", "optimizer.lr=0.008", "trainer.max_steps=40", "monitor.scalars_every=1")
    rates = column(result, "learning_rate")
    assert {step: rates[step] for step in (1, 20, 21, 30, 31, 40)} == {
        1: 0.008,
        20: 0.008,
        21: 0.004,
        30: 0.004,
        31: 0.004,
        40: 0.004,
    }
    look_at(monkeypatch, [3.0, 3.1, 3.0, 3.0])
    result = train(*text, "schedule=plateau", "optimizer.lr=0.008", "trainer.max_steps=40", "monitor.scalars_every=1")
    assert column(result, "learning_rate")[40] == 0.002


def test_a_plateau_that_watches_training_compares_means_since_the_last_look(text, monkeypatch):
    seen = []
    monkeypatch.setattr("rnnscope.training.schedules.Plateau.observe", lambda self, losses: seen.append(losses))
    result = train(*text, "schedule=plateau", "schedule.watch=train/loss", "monitor.scalars_every=10")
    assert [losses["train/loss"] for losses in seen] == list(column(result, "train/loss").values())
    assert [losses["val/loss"] for losses in seen] == list(column(result, "val/loss").values())


def test_samples_at_every_validation_and_every_temperature(tiny_run):
    lines = [json.loads(line) for line in tiny_run.run.samples.read_text(encoding="utf-8").splitlines()]
    assert [(line["step"], line["temperature"]) for line in lines] == [(s, t) for s in (10, 20, 30) for t in (0.5, 0.8, 1.0)]
    assert all(line["prompt"] == "" and len(line["text"]) <= 12 for line in lines)
    log = tiny_run.run.log.read_text(encoding="utf-8")
    assert log.count("sample at step") == 3
    shown = f"--- sample at step 30, temperature 0.8 ---\n{lines[-2]['text']}\n---"
    assert shown in log


def test_the_log_has_a_line_for_each_validation(tiny_run):
    log = tiny_run.run.log.read_text(encoding="utf-8")
    for step in (10, 20, 30):
        (line,) = [line for line in log.splitlines() if line.startswith(f"step {step}/30")]
        assert f"val/loss {column(tiny_run, 'val/loss')[step]:.4f}" in line


def test_the_clipped_fraction_and_the_norm_are_of_the_steps_they_claim(text):
    every = train(*text, "monitor.scalars_every=1", "trainer.clip_norm=0.33", "trainer.max_steps=10")
    norms, clipped = column(every, "gradient_norm/all"), column(every, "gradient_norm/clipped_fraction")
    assert clipped == {step: float(norm > 0.33) for step, norm in norms.items()}
    assert 0 < sum(clipped.values()) < 10
    fifth = train(*text, "monitor.scalars_every=5", "trainer.clip_norm=0.33", "trainer.max_steps=10")
    means = {step: sum(clipped[step - back] for back in range(5)) / 5 for step in (5, 10)}
    assert column(fifth, "gradient_norm/clipped_fraction") == pytest.approx(means)
    losses = column(every, "train/loss")
    expected = {step: sum(losses[step - back] for back in range(5)) / 5 for step in (5, 10)}
    assert column(fifth, "train/loss") == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0:00"), (42, "0:42"), (59.6, "1:00"), (185, "3:05"), (3723, "1:02:03")])
def test_a_clock(seconds, said):
    assert clock(seconds) == said


def test_a_first_loss_far_from_guessing_is_said(text, tmp_path):
    wild = ["model.init=normal", "model.init_scale=2", "trainer.max_steps=2"]
    result = train(*text, *wild, "monitor.scalars_every=1")
    first = column(result, "train/loss")[1]
    vocabulary = len(json.loads(result.run.vocabulary.read_text(encoding="utf-8"))["tokens"])
    line_with(result.run.log.read_text(encoding="utf-8"), f"{first:.4f}", f"ln({vocabulary})", f"{math.log(vocabulary):.4f}")
    usual = train(*text, "trainer.max_steps=2")
    warm = train(*text, *wild, f"init_from={result.run.path}")
    assert not [run for run in (usual, warm) if "ln(" in run.run.log.read_text(encoding="utf-8")]
