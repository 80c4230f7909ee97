"""Module and data in anybody's `pl.Trainer`: the weights of `rnnscope train` to the bit, and what Lightning promises."""

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from conftest import TINY, train
from messages import user_error
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger

import rnnscope
from rnnscope.model.scoring import evaluate
from rnnscope.runs.weights import hash_weights

pytestmark = [pytest.mark.usefixtures("outputs"), pytest.mark.filterwarnings("ignore:.*exists and is not empty.*")]
STEPS = 30  # of TINY


def words_of(story: Path, *words: str) -> list[str]:
    return ["dataset=text_files", f"dataset.corpus.path={story}", *words]


def trainer(folder: Path, **options: Any) -> pl.Trainer:
    own = {"val_check_interval": 10, "check_val_every_n_epoch": None, "max_steps": STEPS, "log_every_n_steps": 1}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "default_root_dir": folder}
    return pl.Trainer(**{"accelerator": "cpu", "logger": False, "enable_checkpointing": False, **own, **quiet, **options})


def fitted(words: list[str], folder: Path, **options: Any) -> tuple[Any, pl.Trainer]:
    task, data = rnnscope.compose([*TINY, *words])
    mine = trainer(folder, **options)
    mine.fit(task, datamodule=data)
    return task, mine


SAMPLES = ["dataset.windows=samples", "dataset.start_end=line"]
KINDS = [
    ["model=lstm", "optimizer=adamw"],
    ["model=gru", "optimizer=adam", *SAMPLES],
    ["model=rnn", "optimizer=rmsprop", "model.embedding_size=null"],
    ["model=lstm", "optimizer=sgd", "optimizer.momentum=0.9", "trainer.clip_norm=null", "trainer.clip_value=0.01"],
    ["model=gru", "optimizer=adagrad", "schedule=cosine", "schedule.warmup_steps=5", "trainer.clip_norm=null"],
    ["model=rnn", "optimizer=adamw", "schedule=plateau", "schedule.watch=train/loss", "model.dropout=0.3", *SAMPLES],
    [
        "model=lstm",
        "optimizer=adamw",
        "model.num_layers=2",
        "model.dropout=0.5",
        "trainer.state_reset=0.5",
        "trainer.precision=bf16",
    ],
    ["model=lstm", "optimizer=sgd", "trainer.average=ema", "trainer.activation_penalty=1", "model.weight_drop=0.3"],
    ["model=gru", "optimizer=adamw", "trainer.average=asgd", "trainer.asgd_interval=1", "optimizer.lr=2"],
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind[0]} {kind[1]}")
def test_the_weights_are_those_of_rnnscope_train(kind, story, tmp_path):
    task, mine = fitted(words_of(story, *kind), tmp_path)
    result = train(*words_of(story, *kind))
    assert hash_weights(task.model) == result.weights_hash
    assert mine.global_step == task.step == STEPS
    assert mine.callback_metrics["val/loss"].item() == pytest.approx(result.metrics["val/loss"], rel=1e-6)  # in float32
    assert mine.callback_metrics["learning_rate"].item() == pytest.approx(result.metrics["learning_rate"])


def test_what_is_drawn_in_between_makes_no_difference(story, tmp_path):
    words = words_of(story, "model.num_layers=2", "model.dropout=0.5")
    task, data = rnnscope.compose([*TINY, *words])
    torch.rand(7)
    trainer(tmp_path).fit(task, datamodule=data)
    assert hash_weights(task.model) == hash_weights(fitted(words, tmp_path)[0].model)


class EveryStep(pl.Callback):
    """Works out the loss of each step again, from the weights before it, and looks at the learning rate."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.rates: list[float] = []

    def on_train_batch_start(self, trainer, task, batch, batch_idx):
        logits, _ = task.model.read(batch.inputs.t(), None if batch.fresh else task.carried)
        targets = batch.targets.t().flatten()
        self.losses.append(torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets, ignore_index=-100).item())
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def test_what_is_logged_at_each_step(story, tmp_path):
    seen = EveryStep()
    words = words_of(story, "schedule=cosine", "schedule.warmup_steps=0", "optimizer.lr=0.01", "trainer.state_reset=0")
    fitted(words, tmp_path, callbacks=[seen, LearningRateMonitor("step")], logger=CSVLogger(tmp_path))
    (path,) = tmp_path.rglob("metrics.csv")
    logged = [
        {key: float(value) for key, value in row.items() if value} for row in csv.DictReader(path.read_text().splitlines())
    ]
    rows = [row for row in logged if "train/loss" in row]
    assert [row["train/loss"] for row in rows] == pytest.approx(seen.losses, rel=1e-5)
    cosine = [0.01 * 0.5 * (1 + math.cos(math.pi * step / STEPS)) for step in range(STEPS)]
    assert [row["learning_rate"] for row in rows] == pytest.approx(cosine, rel=1e-5)
    assert seen.rates == pytest.approx([row["learning_rate"] for row in rows])  # already set when callbacks look
    assert [row["lr-AdamW"] for row in logged if "lr-AdamW" in row] == pytest.approx(seen.rates)
    assert [row["step"] for row in logged if "val/loss" in row] == [10, 20, 30]
    assert all(row["gradient_norm/all"] > 0 for row in rows)


@pytest.mark.parametrize(
    "kind", [["model.num_layers=2", "model.dropout=0.3", "trainer.average=ema"], [*SAMPLES, "schedule=plateau"]]
)
@pytest.mark.parametrize("saving", [{"every_n_train_steps": 7}, {"every_n_epochs": 1}, {"monitor": "val/loss"}])
def test_a_checkpoint_of_lightnings_goes_on_exactly(kind, saving, story, tmp_path):
    words = words_of(story, *kind, "dataset.batch_size=16", "dataset.sequence_length=24", "optimizer=adamw")
    whole, _ = fitted(words, tmp_path)
    keep = {**saving, "save_top_k": 1 if "monitor" in saving else -1}
    first = {"callbacks": [ModelCheckpoint(tmp_path / "saved", **keep)], "enable_checkpointing": True}
    fitted(words, tmp_path, max_steps=20, **first)
    saved = [path.rename(tmp_path / path.name) for path in (tmp_path / "saved").glob("*.ckpt")]
    assert saved
    for path in saved:
        task, data = rnnscope.compose([*TINY, *words])
        mine = trainer(tmp_path, callbacks=[ModelCheckpoint(tmp_path / "saved", **keep)], enable_checkpointing=True)
        mine.fit(task, datamodule=data, ckpt_path=path, weights_only=True)
        assert task.step == STEPS
        assert hash_weights(task.model) == hash_weights(whole.model), path.name
        with task.evaluated(), whole.evaluated():
            assert hash_weights(task.model) == hash_weights(whole.model), path.name


def test_fitting_twice_goes_on(story, tmp_path):
    words = words_of(story, "model.num_layers=2", "model.dropout=0.3")
    task, data = rnnscope.compose([*TINY, *words])
    trainer(tmp_path, max_steps=13).fit(task, datamodule=data)
    trainer(tmp_path, max_steps=STEPS - 13).fit(task, datamodule=data)
    assert hash_weights(task.model) == hash_weights(fitted(words, tmp_path)[0].model)


def test_validate_and_test_score_a_split(story, tmp_path):
    task, data = rnnscope.compose([*TINY, *words_of(story, "dataset.split.test=0.2", "dataset.split.train=0.7")])
    for name, run in (("val", "validate"), ("test", "test")):
        (found,) = getattr(trainer(tmp_path), run)(task, datamodule=data, verbose=False)
        assert found[f"{name}/loss"] == pytest.approx(evaluate(task.model, data.windows(name), "float32").loss, rel=1e-6)


def test_the_trainers_own_clipping_takes_the_place_of_ours(story, tmp_path):
    words = words_of(story, "optimizer=sgd", "trainer.clip_norm=1e-3")
    strict, _ = fitted(words, tmp_path)
    free, _ = fitted(words, tmp_path, gradient_clip_val=1e9)
    unclipped, _ = fitted([*words, "trainer.clip_norm=null"], tmp_path)
    assert hash_weights(free.model) == hash_weights(unclipped.model) != hash_weights(strict.model)


def test_two_processes_of_a_trainer_train_what_one_does(story, tmp_path):
    """Lightning averages gradients, each of a share of the columns: the sum over all is the same up to rounding."""
    code = f"""
import sys, torch, pytorch_lightning as pl, rnnscope
task, data = rnnscope.compose({[*TINY, *words_of(story, "trainer.state_reset=0")]!r})
quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
pl.Trainer(accelerator="cpu", strategy="ddp", devices=2, max_steps=4, limit_val_batches=0, **quiet).fit(task, datamodule=data)
if task.global_rank == 0:
    torch.save(task.model.state_dict(), sys.argv[1])
"""
    import subprocess
    import sys

    (tmp_path / "script.py").write_text(code)
    subprocess.run([sys.executable, "script.py", "two.pt"], cwd=tmp_path, check=True, capture_output=True)
    one, _ = fitted(words_of(story, "trainer.state_reset=0"), tmp_path, max_steps=4)
    for name, value in torch.load(tmp_path / "two.pt").items():
        torch.testing.assert_close(value, one.model.state_dict()[name], atol=1e-5, rtol=1e-4)


def test_a_checkpoint_of_something_else(story, tmp_path):
    task, data = rnnscope.compose([*TINY, *words_of(story)])
    mine = trainer(tmp_path, max_steps=2)
    mine.fit(task, datamodule=data)
    mine.save_checkpoint(tmp_path / "own.ckpt")
    saved = torch.load(tmp_path / "own.ckpt", weights_only=True)
    del saved["rnnscope"]
    torch.save(saved, tmp_path / "strange.ckpt")
    with user_error("LanguageModelTask"):
        trainer(tmp_path).fit(task, datamodule=data, ckpt_path=tmp_path / "strange.ckpt")


def test_processes_belong_to_the_trainer(story):
    with user_error("trainer=ddp", "strategy"):
        rnnscope.compose([*TINY, *words_of(story), "trainer=ddp"])
