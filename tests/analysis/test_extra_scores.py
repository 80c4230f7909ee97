"""Scores besides the static one: dynamic evaluation, a tuned temperature, the mean of several models."""

import hashlib
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import TINY
from messages import assert_says, error_line, line_with

from rnnscope.analysis.dynamic_evaluation import EPSILON, DynamicEvaluation, gradient_sizes, tuned
from rnnscope.analysis.extra_scores import Ensemble, Tempered, fit_temperature
from rnnscope.cli import main
from rnnscope.data.batches import StreamWindows
from rnnscope.model.config import ModelConfig
from rnnscope.model.language_model import LanguageModel, detach
from rnnscope.model.scoring import evaluate

V = 7


def model_of(seed: int = 0, cell: str = "lstm") -> LanguageModel:
    torch.manual_seed(seed)
    return LanguageModel(ModelConfig(cell, 6, 2, dropout=0.5, tied_weights=True), V).double().eval()


IDS = np.random.default_rng(1).integers(0, V, 24)


def windows(length: int = 5, ids: np.ndarray = IDS) -> StreamWindows:
    return StreamWindows(ids, 1, length)


def written_out(model: LanguageModel, sizes: list[torch.Tensor], lr: float, decay: float) -> float:
    """Return the nats of dynamic evaluation as the paper has it, on the weights of `model` itself."""
    trained = [weight.detach().clone() for weight in model.parameters()]
    mean = sum(float(size.sum()) for size in sizes) / sum(size.numel() for size in sizes)
    nats, state = 0.0, None
    for window in windows():
        logits, state = model.read(window.inputs.t(), state)
        real = window.targets.t() != -100
        loss = F.cross_entropy(logits[real], window.targets.t()[real])
        nats += loss.item() * int(real.sum())
        model.zero_grad()
        loss.backward()
        state = detach(state)
        with torch.no_grad():
            for weight, start, size in zip(model.parameters(), trained, sizes, strict=True):
                back = torch.minimum(decay * size / mean, torch.ones(()))
                weight.copy_(weight - lr * weight.grad / (size + EPSILON) + back * (start - weight))
    return nats


@pytest.mark.parametrize("cell", ["lstm", "gru", "mogrifier_lstm"])
def test_dynamic_evaluation_is_the_plain_loop(cell):
    model = model_of(cell=cell)
    before = [weight.detach().clone() for weight in model.parameters()]
    sizes = gradient_sizes(model, windows(3), "float32")
    score = DynamicEvaluation(model, sizes, 0.01, 0.3).score(windows(), "float32", characters=40)
    assert all(torch.equal(weight, old) for weight, old in zip(model.parameters(), before, strict=True))
    assert (score.tokens, score.characters) == (23, 40)
    assert score.nats == pytest.approx(written_out(model, sizes, 0.01, 0.3), rel=1e-6)
    assert score.nats != pytest.approx(evaluate(model_of(cell=cell), windows(), "float32").nats, rel=1e-4)


def test_without_a_learning_rate_it_is_the_static_score():
    model = model_of()
    sizes = gradient_sizes(model, windows(), "float32")
    static = evaluate(model, windows(), "float32", 40)
    found = DynamicEvaluation(model, sizes, 0.0, 0.5).score(windows(), "float32", 40)
    assert (found.nats, found.correct) == (pytest.approx(static.nats, rel=1e-6), static.correct)


def test_sizes_are_roots_of_mean_squares():
    model, squares = model_of(), []
    for window in StreamWindows(np.arange(9) % V, 1, 8):
        logits, _ = model.read(window.inputs.t())
        squares.append(torch.autograd.grad(F.cross_entropy(logits[:, 0], window.targets[0]), model.head.weight)[0] ** 2)
    (size, *_) = gradient_sizes(model, StreamWindows(np.arange(9) % V, 1, 8), "float32")
    torch.testing.assert_close(size, torch.stack(squares).mean(0).sqrt(), rtol=1e-6, atol=1e-9)


def test_tuning_walks_to_the_lowest_loss():
    def loss(lr: float, decay: float) -> float:
        return math.nan if lr > 0.01 else (math.log10(lr) + 2.6) ** 2 + (math.log10(decay) + 3) ** 2

    lr, decay = tuned(loss)
    assert lr == pytest.approx(2.7e-3)
    assert decay == pytest.approx(1e-2 / 9)


def test_temperature_one_is_the_static_score_and_the_fitted_one_is_the_best():
    model, ids = model_of(), np.where(np.arange(24) % 5 == 1, IDS, 3)
    with torch.no_grad():
        model.head.bias[3] += 9  # far too sure of what is likely

    def loss(temperature: float) -> float:
        return evaluate(Tempered(model, temperature), windows(ids=ids), "float32").loss

    assert loss(1.0) == evaluate(model, windows(ids=ids), "float32").loss
    best = fit_temperature(model, windows(ids=ids), "float32")
    assert best > 1.5
    assert loss(best) < min(loss(0.95 * best), loss(1.05 * best)) < loss(1.0)


def test_the_mean_of_two_models_by_hand():
    one, two = model_of(1), model_of(2)
    static = evaluate(one, windows(), "float32")
    both = evaluate(Ensemble([one, one]), windows(), "float32")
    assert (both.nats, both.correct) == (pytest.approx(static.nats, rel=1e-6), static.correct)
    ids = torch.from_numpy(IDS)
    with torch.no_grad():
        shares = [model(ids[None, :-1])[0][0].softmax(-1) for model in (one, two)]
    mean = (shares[0] + shares[1]) / 2
    wanted = -mean[torch.arange(23), ids[1:]].log().sum()
    assert evaluate(Ensemble([one, two]), windows(), "float32").nats == pytest.approx(float(wanted), rel=1e-6)


@pytest.fixture
def run(tiny_run, monkeypatch) -> Path:
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(tiny_run.run.path.parents[2]))
    return tiny_run.run.path


def evaluated(capsys, *words: str) -> dict:
    assert main(["evaluate", *words, "ngram=null", "json=true"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_command_keeps_them_apart(run, capsys, tmp_path):
    other = shutil.copytree(run, tmp_path / "other")
    weights = hashlib.sha256((run / "model.safetensors").read_bytes()).digest()
    plain = evaluated(capsys, f"run={run}", "split=test")
    found = evaluated(capsys, f"run={run}", "split=test", "dynamic=true", "tuned_temperature=true", f"with={other}")
    extra = found.pop("extra_scores")
    assert found == plain
    assert hashlib.sha256((run / "model.safetensors").read_bytes()).digest() == weights
    mean, tempered, dynamic = extra.values()
    static = next(iter(plain["scores"].values()))
    assert mean["loss"] == pytest.approx(static["loss"], rel=1e-6)
    assert mean["runs"] == [str(run), str(other)]
    assert tempered["temperature"] > 0
    assert dynamic["loss"] < static["loss"]  # it was trained for a few steps only
    assert {values["tokens"] for values in extra.values()} == {static["tokens"]}
    assert main(["evaluate", f"run={run}", f"with={other}", "ngram=null"]) == 0
    before, after = capsys.readouterr().out.split("these are not static scores")
    assert "state carried" in before
    line_with(after, "mean of 2 runs", f"{mean_of_val(before):.4f}")


def mean_of_val(said: str) -> float:
    return float(line_with(said, "state carried over all of it").split()[6])


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["dynamic=true"], ["dynamic=true", "val", "split=test"]),
        (["tuned_temperature=true", "split=train"], ["tuned_temperature=true", "split=train", "split=test"]),
        (["with=nobody"], ["nobody"]),
        (["with=latest"], ["with=latest", "run= itself"]),
        (["lines=true", "text=-", "dynamic=true"], ["dynamic=", "lines=true"]),
    ],
)
def test_what_makes_no_sense_is_refused(run, words, parts, capsys):
    assert main(["evaluate", f"run={run}", *words]) == 1
    assert_says(error_line(capsys.readouterr().err), *parts)


def test_a_run_with_different_tokens_is_refused(run, tmp_path, monkeypatch, capsys):
    (text := tmp_path / "lines.txt").write_text("so it is\nand so it was\n" * 60, encoding="utf-8")
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(tmp_path / "outputs"))
    assert main(["train", f"text={text}", *TINY, "trainer.max_steps=2"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "run=latest", f"with={run}"]) == 1
    assert_says(error_line(capsys.readouterr().err), f"with={run}", "vocabulary")
