"""The average of the weights: its arithmetic, when it begins, and that all but training looks at it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, train
from safetensors.torch import load_file
from test_task import make_task, weights, windows

import rnnscope
from rnnscope.data.batches import StreamWindows
from rnnscope.model.scoring import evaluate
from rnnscope.pipeline.reproduce import reproduce
from rnnscope.pipeline.resume import resume_run
from rnnscope.runs.load import load
from rnnscope.training.averaging import WeightAverage
from rnnscope.training.optimizer_step import OptimizerStep
from rnnscope.training.trainer_task import TrainerTask


def averaged(kind: str, **options) -> TrainerTask:
    task = make_task(lr=0.1)
    task.average = WeightAverage(kind, task.model, **options)
    return task


def trajectory(task: TrainerTask, source: StreamWindows) -> list[dict[str, np.ndarray]]:
    """Return the weights after each step."""
    found = []
    for window in source:
        task.take_step(window)
        found.append(weights(task))
    return found


def assert_average(task: TrainerTask, wanted: dict[str, np.ndarray]) -> None:
    newest = weights(task)
    with task.evaluated():
        for name, value in weights(task).items():
            np.testing.assert_allclose(value, wanted[name], rtol=1e-5, atol=1e-6)
    for name, value in weights(task).items():
        np.testing.assert_array_equal(value, newest[name])


def test_ema_by_hand():
    task = averaged("ema", decay=0.4)
    steps = trajectory(task, windows(tokens=150))
    assert len(steps) == 10
    wanted = steps[0]
    for done, newest in enumerate(steps[1:], 1):
        decay = min(0.4, done / (done + 9))
        wanted = {name: decay * wanted[name] + (1 - decay) * newest[name] for name in wanted}
    assert_average(task, wanted)


def test_asgd_is_the_mean_since_it_began():
    task = averaged("asgd", interval=1)
    trajectory(task, windows())
    assert_average(task, weights(task))  # not yet: the newest
    task.observe(1.0)
    task.observe(2.0)  # nothing more than one validation ago: not yet
    task.observe(1.5)  # worse than 1.0
    steps = trajectory(task, windows())
    assert_average(task, {name: np.mean([step[name] for step in steps], axis=0) for name in steps[0]})


@pytest.mark.parametrize(
    ("losses", "interval", "begins"),
    [
        ([3, 2, 1, 0.5], 1, None),
        ([3, 2, 2.5, 2.6], 1, 3),
        ([1, 2, 2.5, 2.6, 2.7], 3, 4),
        ([1, 2, 2], 2, None),
    ],
)
def test_when_asgd_begins(losses, interval, begins):
    """As in AWD-LSTM: `len(best) > n and val_loss > min(best[:-n])`."""
    task, found = averaged("asgd", interval=interval), None
    for index, loss in enumerate(losses):
        task.observe(float(loss))
        if found is None and task.average.state()["begun"]:
            found = index
    assert found == begins


def test_the_newest_weights_come_back_after_a_failure_in_the_same_tensors():
    task = averaged("ema")
    trajectory(task, windows())
    before, places = weights(task), [parameter.data_ptr() for parameter in task.model.parameters()]
    with pytest.raises(KeyError), task.evaluated():
        raise KeyError
    assert [parameter.data_ptr() for parameter in task.model.parameters()] == places
    assert all(np.array_equal(value, before[name]) for name, value in weights(task).items())


@pytest.fixture(scope="module")
def words(story: Path) -> list[str]:
    return [f"dataset.corpus.path={story}", "dataset=text_files", "model.num_layers=2", "model.dropout=0.2"]


def test_all_but_training_looks_at_the_average(words, outputs):
    plain, run = train(*words), train(*words, "trainer.average=ema", "trainer.keep_every=20")
    assert run.weights_hash == plain.weights_hash  # it trains as without
    assert run.metrics["train/loss"] == plain.metrics["train/loss"]
    saved = torch.load(run.run.checkpoints / "best.ckpt", weights_only=True)
    average, exported = saved["task"]["average"]["weights"], load_file(run.run.weights)
    assert all(torch.equal(average[name], exported[name]) for name in exported)
    assert not torch.equal(saved["state_dict"]["head.weight"], exported["head.weight"])
    kept = load(str(run.run.path), 20).model.state_dict()
    saved = torch.load(run.run.checkpoints / "step_20.ckpt", weights_only=True)
    assert torch.equal(kept["head.weight"], saved["task"]["average"]["weights"]["head.weight"])


def test_a_run_may_begin_to_average_on_the_way(words, outputs):
    """And in a different way: then the average begins anew."""
    run, found = train(*words, "trainer.max_steps=10").run, []
    for step, kind in ((20, "ema"), (30, "asgd"), (40, "ema")):
        assert resume_run(run, {"trainer.max_steps": step, "trainer.average": kind}).step == step
        average = torch.load(run.checkpoints / "last.ckpt", weights_only=True)["task"]["average"]
        found.append((average["kind"], average["steps"]))
    assert found == [("ema", 10), ("asgd", 0), ("ema", 10)]


def test_the_best_loss_is_that_of_the_exported_weights(words, outputs):
    run = train(*words, "trainer.average=ema", "trainer.ema_decay=0.9")
    _, data = rnnscope.compose([*TINY, *words])
    found = evaluate(load(str(run.run.path)).model, data.windows("val"), "float32").loss
    assert found == pytest.approx(run.metrics["best/loss"], rel=1e-6)


def test_a_run_with_an_average_is_reproduced_to_the_bit(words, outputs):
    run = train(*words, "trainer.average=asgd", "trainer.asgd_interval=1", "optimizer.lr=2", "trainer.val_every=2").run
    assert torch.load(run.checkpoints / "last.ckpt", weights_only=True)["task"]["average"]["steps"] > 0
    assert reproduce(run)[1].kind == "bit-identical"


def test_an_average_that_is_given_up_stays_in_the_best_weights(story, outputs, monkeypatch):
    run = train("dataset=text_files", f"dataset.corpus.path={story}", "trainer.average=ema", "trainer.ema_decay=0.5").run
    best = load_file(run.weights)
    assert torch.load(run.checkpoints / "best.ckpt", weights_only=True)["task"]["step"] == 30, "the newest is the best"
    run.weights.unlink()
    monkeypatch.setattr(OptimizerStep, "loss", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        resume_run(run, {"trainer.average": "none", "trainer.max_steps": 60})
    written = load_file(run.weights)  # before the first step
    assert all(torch.equal(value, best[name]) for name, value in written.items())
