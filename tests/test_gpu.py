"""On a GPU: CUDA graphs change no bit, runs resume, reproduce and open without a GPU, and nothing waits for the device."""

import math
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY, train

import rnnscope
from rnnscope.errors import UserError
from rnnscope.model.config import ModelConfig
from rnnscope.model.drawing import SamplingOptions
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.sampling import generate
from rnnscope.model.stepping import Stepper
from rnnscope.training.callback import CallbackList

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")]


@pytest.fixture
def words(story, outputs) -> list[str]:
    sizes = ["model.hidden_size=64", "dataset.batch_size=8"]
    return ["dataset=text_files", f"dataset.corpus.path={story}", "trainer=gpu", "optimizer.lr=0.01", *sizes]


def bits_of(result: Any) -> tuple[str, str, str]:
    """What must not differ: the weights' hash, metrics.csv and samples.jsonl."""
    return result.weights_hash, result.run.metrics.read_text("utf-8"), result.run.samples.read_text("utf-8")


@contextmanager
def sync_debug(mode: str) -> Iterator[None]:
    with warnings.catch_warnings(action="ignore"):  # torch calls the mode a prototype
        torch.cuda.set_sync_debug_mode(mode)
    try:
        yield
    finally:
        with warnings.catch_warnings(action="ignore"):
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_run_trained_on_a_gpu_opens_on_a_cpu(words, cell, precision):
    result = train(*words, f"model={cell}", f"trainer.precision={precision}", "trainer.max_steps=60", "optimizer.lr=0.02")
    assert result.status == "finished"
    assert result.metrics["best/loss"] < 0.95 * math.log(77)
    saved = torch.load(result.run.checkpoints / "last.ckpt", map_location="cpu", weights_only=True)
    assert type(saved["task"]["optimizer"]["param_groups"][0]["lr"]) is float
    run = rnnscope.load(str(result.run.path), "last")
    assert {value.device.type for value in run.model.parameters()} == {"cpu"}
    assert torch.equal(run.model.head.weight, saved["state_dict"]["head.weight"])
    text = run.config["dataset"]["corpus"]["path"]
    with open(text, encoding="utf-8") as file:
        val = file.read()[-443:]
    assert run.score(val).loss == pytest.approx(result.metrics["val/loss"], rel=0.02)
    assert len(run.sample(length=20, seed=1)) <= 20


GRAPHED = {
    "lstm": ["model.num_layers=2", "model.dropout=0.3", "model.residual=true", "trainer.state_reset=0.2"],
    "lstm in float32": ["model.num_layers=2", "model.dropout=0.3", "trainer.precision=float32"],
    "gru": ["model=gru", "optimizer=adam", "model.input_dropout=0.2"],
    "rnn": ["model=rnn", "optimizer=rmsprop", "optimizer.momentum=0.5", "model.input=one_hot", "optimizer.lr=0.001"],
    "momentum": ["optimizer=sgd", "optimizer.momentum=0.9", "optimizer.nesterov=true", "trainer.clip_norm=null"],
    "clipped by value": ["optimizer=sgd", "optimizer.lr=0.5", "trainer.clip_norm=null", "trainer.clip_value=0.01"],
    "samples": ["dataset.windows=samples", "dataset.start_end=line", "model.dropout=0.2"],
    "many_to_one": ["dataset.windows=many_to_one", "dataset.window_step=3"],
    "words": ["dataset.level=word", "model.tied_weights=true", "model.embedding_size=null", "schedule=plateau"],
    "regularized": [
        "model.num_layers=2",
        "model.dropout=0.3",
        "model.locked_dropout=true",
        "model.embedding_dropout=0.1",
        "model.weight_drop=0.3",
        "trainer.activation_penalty=2",
        "trainer.temporal_penalty=1",
        "trainer.average=ema",
    ],
    "sizes, frozen": ["model=gru", "model.num_layers=2", "model.hidden_size=[64,32]", "model.train_recurrent=false"],
    "asgd": ["model=rnn", "model.weight_drop=0.2", "trainer.average=asgd", "trainer.asgd_interval=1", "trainer.val_every=2"],
}


@pytest.mark.parametrize("name", GRAPHED)
def test_a_graph_gives_the_bits_of_the_plain_step(words, name):
    words = [*words, *GRAPHED[name], "trainer.max_steps=60"]
    plain = train(*words, "trainer.cuda_graph=never")
    assert bits_of(train(*words, "trainer.cuda_graph=always")) == bits_of(plain)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_dropped_weights_lie_where_cudnn_wants_them(cell, precision):
    """Else it says so, and copies them once more in each call."""
    torch.manual_seed(1)
    model = LanguageModel.from_config(ModelConfig(cell, 32, 2, weight_drop=0.3), 11).cuda()
    places = [parameter.data_ptr() for parameter in model.parameters()]
    ids = torch.randint(11, (5, 3), device="cuda")
    with warnings.catch_warnings(action="error"), torch.autocast("cuda", precision, precision != torch.float32):
        model.read(ids)[0].float().square().sum().backward()
    assert all(bool(parameter.grad.abs().sum() > 0) for parameter in model.parameters())
    assert [parameter.data_ptr() for parameter in model.parameters()] == places


def test_what_no_graph_can_hold_is_trained_without_and_said(words, capsys):
    assert train(*words, "optimizer=adagrad").status == "finished"
    assert capsys.readouterr().out.count("no CUDA graph") == 1
    with pytest.raises(UserError, match="cuda_graph"):
        train(*words, "optimizer=adagrad", "trainer.cuda_graph=always")


@pytest.mark.parametrize("first", ["always", "never"])
def test_a_run_goes_on_with_or_without_a_graph_as_if_never_interrupted(words, first):
    from rnnscope.pipeline.resume import resume_run

    words = [*words, "model.dropout=0.3", "model.num_layers=2", "schedule=constant"]
    whole = train(*words, "trainer.max_steps=40", "trainer.cuda_graph=always")
    half = train(*words, "trainer.max_steps=20", f"trainer.cuda_graph={first}")
    second = {"always": "never", "never": "always"}[first]
    resumed = resume_run(half.run, {"trainer.max_steps": 40, "trainer.cuda_graph": second})
    assert bits_of(resumed) == bits_of(whole)


def test_a_run_killed_between_replays_goes_on_exactly(words, outputs):
    words = [*TINY, *words, "trainer.max_steps=400", "model.dropout=0.3", "monitor.histograms_every=100"]
    command = [sys.executable, "-m", "rnnscope"]
    whole = train(*words[len(TINY) :], "trainer.max_steps=400", "model.dropout=0.3", "monitor.histograms_every=100")
    process = subprocess.Popen([*command, "train", *words, "name=killed"], stdout=subprocess.DEVNULL)
    folder = wait_for_rows(outputs / "runs" / "killed", rows=60)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run([*command, "resume", f"run={folder}"], check=True, stdout=subprocess.DEVNULL)
    assert (folder / "metrics.csv").read_text("utf-8") == whole.run.metrics.read_text("utf-8")
    assert (folder / "samples.jsonl").read_text("utf-8") == whole.run.samples.read_text("utf-8")


def wait_for_rows(runs: Path, rows: int) -> Path:
    for _ in range(2400):
        for path in runs.glob("*/metrics.csv"):
            if path.read_text("utf-8").count("\n") > rows:
                return path.parent
        time.sleep(0.05)
    raise TimeoutError(f"no run under {runs} has {rows} rows")


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_run_reproduces_to_the_bit(words, precision, outputs):
    train(*words, f"trainer.precision={precision}", "model.dropout=0.3")
    done = subprocess.run([sys.executable, "-m", "rnnscope", "reproduce"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "bit-identical" in done.stdout


def test_a_sweep_shares_one_gpu(words, outputs):
    command = [sys.executable, "-m", "rnnscope", "train", "-m", *TINY, *words, "seed=1,2", "name=pair"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(outputs.glob("sweeps/**/model.safetensors"))) == 2


@pytest.mark.parametrize(
    ("more", "keys"),
    [
        (["model.hidden_size=4096", "model.num_layers=6"], ["model.num_layers=6", "model.hidden_size=4096"]),
        (["model.hidden_size=2048", "model.num_layers=2"], ["dataset.batch_size (8)"]),
    ],
    ids=["model", "window"],
)
def test_too_little_memory_is_one_line(words, more, keys):
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.005)
    try:
        with pytest.raises(UserError) as error:
            train(*words, *more)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert all(key in str(error.value) for key in keys)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "rmsprop", "adagrad"])
def test_no_step_waits_for_the_gpu(words, precision, optimizer, monkeypatch):
    """Nor does a point of the curves: only what comes every ten steps, validation and the like, does."""
    every = 10
    watched: list[int] = []
    after = CallbackList.after_step

    def forbid(self, task):
        after(self, task)
        step = task.step + 1  # the step that comes next, with its window
        quiet = step > every and step % every != 0 and not task.ending
        with warnings.catch_warnings(action="ignore"):
            torch.cuda.set_sync_debug_mode("error" if quiet else "default")
        watched.extend([step] if quiet else [])

    monkeypatch.setattr(CallbackList, "after_step", forbid)
    names = ("updates_every", "histograms_every", "samples_every", "lines_every")
    with sync_debug("default"):
        result = train(
            *words,
            f"optimizer={optimizer}",
            f"trainer.precision={precision}",
            *(f"monitor.{name}={every}" for name in names),
            "monitor.scalars_every=2",
            f"trainer.val_every={every}",
            f"trainer.checkpoint_every={every}",
            "trainer.max_steps=40",
            "model.dropout=0.2",
            "optimizer.lr=0.001",
        )
    assert result.status == "finished"
    assert len(watched) == 27


def test_waiting_would_be_seen():
    value = torch.ones(1, device="cuda")
    with sync_debug("error"), pytest.raises(RuntimeError, match="synchroniz"):
        value.item()


def test_a_run_that_diverges_ends_and_keeps_an_earlier_checkpoint(words):
    result = train(*words, "optimizer=sgd", "optimizer.lr=1e38", "trainer.clip_norm=null", "trainer.max_steps=200")
    assert result.status == "diverged"
    saved = torch.load(result.run.checkpoints / "last.ckpt", weights_only=True)
    assert all(bool(value.isfinite().all()) for value in saved["state_dict"].values())


def test_samples_on_a_gpu_are_those_of_a_cpu(tiny_run):
    run = rnnscope.load(str(tiny_run.run.path))
    here = run.sample(length=50, seed=4, temperature=0.5)
    run.model.cuda()
    assert run.sample(length=50, seed=4, temperature=0.5)[:20] == here[:20]


DRAWN = {
    "one text": ([1.0], SamplingOptions()),
    "several": ([0.0, 0.5, 1.2], SamplingOptions(never=(0,))),
    "an end that may not come early": ([1.0, 2.0], SamplingOptions(end=2, minimum_length=29)),
    "texts that begin again": ([0.8, 1.5, 1.5], SamplingOptions(end=2, again=True)),
}


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("name", DRAWN)
def test_a_graph_draws_what_plain_steps_draw(cell, name, monkeypatch):
    torch.manual_seed(1)
    model = LanguageModel.from_config(ModelConfig(cell=cell, hidden_size=32, num_layers=2), 11).cuda()
    temperatures, options = DRAWN[name]

    def drawn() -> list[list[int | None]]:
        return list(generate(model, torch.tensor([3, 1]), 150, temperatures, options, 5))

    graphed = drawn()
    monkeypatch.setattr(Stepper, "graphs", False)
    assert graphed == drawn()
