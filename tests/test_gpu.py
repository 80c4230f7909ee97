"""On a GPU: it trains in both precisions, what it leaves opens without one, and no step waits for the device."""

import math

import pytest
import torch
from conftest import train

import rnnscope
from rnnscope.monitor.monitors import Monitors

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")]


@pytest.fixture
def words(story, outputs) -> list[str]:
    sizes = ["model.hidden_size=64", "dataset.batch_size=8"]
    return ["dataset=text_files", f"dataset.corpus.path={story}", "trainer=gpu", "optimizer.lr=0.01", *sizes]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_run_trained_on_a_gpu_opens_on_a_cpu(words, cell, precision):
    result = train(*words, f"model={cell}", f"trainer.precision={precision}", "trainer.max_steps=60", "optimizer.lr=0.02")
    assert result.status == "finished"
    assert result.metrics["best/loss"] < 0.95 * math.log(77)
    saved = torch.load(result.run.checkpoints / "last.ckpt", map_location="cpu", weights_only=True)
    run = rnnscope.load(str(result.run.path), "last")
    assert {value.device.type for value in run.model.parameters()} == {"cpu"}
    assert torch.equal(run.model.head.weight, saved["state_dict"]["head.weight"])
    text = run.config["dataset"]["corpus"]["path"]
    with open(text, encoding="utf-8") as file:
        val = file.read()[-443:]
    assert run.score(val).loss == pytest.approx(result.metrics["val/loss"], rel=0.02)
    assert len(run.sample(length=20, seed=1)) <= 20


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_same_seed_gives_the_same_weights(words, precision):
    words = [*words, f"trainer.precision={precision}", "model.dropout=0.3"]
    assert train(*words).weights_hash == train(*words).weights_hash


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "rmsprop", "adagrad"])
def test_no_step_between_two_points_waits_for_the_gpu(words, precision, optimizer, monkeypatch):
    every = 10
    watched: list[int] = []
    after = Monitors.after_step

    def forbid(self, task):
        after(self, task)
        step = task.step + 1  # the step that comes next, with the transfer of its window
        quiet = step > every and step % every != 0
        torch.cuda.set_sync_debug_mode("error" if quiet else "default")
        watched.extend([step] if quiet else [])

    monkeypatch.setattr(Monitors, "after_step", forbid)
    names = ("scalars_every", "updates_every", "histograms_every", "samples_every", "lines_every")
    try:
        result = train(
            *words,
            f"optimizer={optimizer}",
            f"trainer.precision={precision}",
            *(f"monitor.{name}={every}" for name in names),
            f"trainer.val_every={every}",
            f"trainer.checkpoint_every={every}",
            "trainer.max_steps=40",
            "model.dropout=0.2",
            "optimizer.lr=0.001",
        )
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert result.status == "finished"
    assert len(watched) == 27


def test_waiting_would_be_seen():
    value = torch.ones(1, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.raises(RuntimeError, match="synchroniz"):
            value.item()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_samples_on_a_gpu_are_those_of_a_cpu(tiny_run):
    run = rnnscope.load(str(tiny_run.run.path))
    here = run.sample(length=50, seed=4, temperature=0.5)
    run.model.cuda()
    assert run.sample(length=50, seed=4, temperature=0.5)[:20] == here[:20]
