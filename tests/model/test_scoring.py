"""Scores are sums over counts, whatever windows the text is cut into, and scoring leaves no trace."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rnnscope.data.batches import StreamWindows, ZeroStateWindows
from rnnscope.model.cells.registry import CELLS
from rnnscope.model.config import ModelConfig
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.scoring import Score, evaluate

V = 9


@pytest.fixture(params=CELLS)
def model(request) -> LanguageModel:
    torch.manual_seed(0)
    config = ModelConfig(request.param, 8, 2, dropout=0.5, init="normal", init_scale=1.0)
    return LanguageModel.from_config(config, V)


@pytest.fixture
def stream() -> np.ndarray:
    return np.random.default_rng(0).integers(0, V, 62)


def by_hand(model: LanguageModel, stream: np.ndarray) -> tuple[float, int]:
    """Return the nats and the correct guesses of one pass from a zero state, in float64."""
    ids = torch.from_numpy(stream.astype(np.int64))[None]
    with torch.no_grad():
        logits, _ = model.double().eval()(ids[:, :-1])
    model.float()
    nats = -logits.log_softmax(-1).gather(-1, ids[:, 1:, None]).sum()
    return nats.item(), int((logits.argmax(-1) == ids[:, 1:]).sum())


@pytest.mark.parametrize("length", [1, 7, 61, 100])
def test_a_carried_score_is_one_pass_over_the_text(model, stream, length):
    nats, correct = by_hand(model, stream)
    score = evaluate(model, StreamWindows(stream, 1, length), "float32", characters=200)
    assert score.nats == pytest.approx(nats, rel=1e-5)
    assert (score.tokens, score.correct) == (61, correct)
    assert score.loss == pytest.approx(nats / 61, rel=1e-5)
    assert score.bits_per_character == pytest.approx(nats / math.log(2) / 200, rel=1e-5)


def test_independent_windows_each_start_from_nothing(model, stream):
    parts = [by_hand(model, stream[begin : begin + 11]) for begin in range(0, 61, 10)]
    score = evaluate(model, ZeroStateWindows(stream, 4, 10), "float32")
    assert score.nats == pytest.approx(sum(nats for nats, _ in parts), rel=1e-5)
    assert score.correct == sum(correct for _, correct in parts)
    assert score.tokens == 61


@pytest.mark.parametrize(("length", "most"), [(25, 10), (25, 25), (61, 7), (10, 100)])
def test_long_windows_are_scored_part_by_part(model, stream, length, most):
    parts = [by_hand(model, stream[begin : begin + length + 1]) for begin in range(0, 61, length)]
    read = []
    hook = model.head.register_forward_hook(lambda _, inputs, __: read.append(inputs[0].shape[0]))
    score = evaluate(model, ZeroStateWindows(stream, 2, length, most=most), "float32")
    hook.remove()
    assert max(read) == min(length, most)
    assert score.nats == pytest.approx(sum(nats for nats, _ in parts), rel=1e-5)
    assert (score.tokens, score.correct) == (61, sum(correct for _, correct in parts))


def test_scoring_leaves_training_and_random_numbers_alone(model, stream):
    model.train()
    before = torch.get_rng_state()
    first = evaluate(model, StreamWindows(stream, 1, 7), "float32")
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert evaluate(model, StreamWindows(stream, 1, 7), "float32") == first


def test_nothing_scored_is_no_number():
    assert math.isnan(Score().loss)
    assert math.isnan(Score().accuracy)
    assert math.isnan(Score(1.0, 1).bits_per_character)
    assert Score(10_000.0, 1).perplexity == math.inf
    assert Score(709.0, 1).perplexity == pytest.approx(math.e**709)
    assert math.isnan(Score(math.nan, 1).perplexity)


GROWTH = """
import numpy as np
from rnnscope.allocator import keep_freed_memory
from rnnscope.data.batches import StreamWindows
from rnnscope.model.cells.registry import CELLS
from rnnscope.model.config import ModelConfig
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.precision import prepare_torch
from rnnscope.model.scoring import evaluate

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

def watched(windows):
    for number, window in enumerate(windows):
        if number in (20, 200):
            seen.append(anonymous())
        yield window

prepare_torch(1, True)
keep_freed_memory()
seen, stream = [], np.random.default_rng(0).integers(0, 2000, 4 * 64 * 201)
evaluate(LanguageModel.from_config(ModelConfig("lstm", 8), 2000), watched(StreamWindows(stream, 4, 64)), "float32")
print(seen[1] - seen[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say what a process takes")
def test_a_long_text_takes_no_more_memory_than_a_short_one():
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 50_000  # kB: 180 windows have logits of 2 MB each


@pytest.mark.parametrize("world_size", [2, 3, 7])
def test_shares_of_the_rows_sum_to_the_whole(world_size):
    """Also where they are uneven, and where there are more processes than rows."""
    torch.manual_seed(0)
    model, stream = LanguageModel.from_config(ModelConfig("lstm", 8), 20), np.arange(150) % 20
    whole = evaluate(model, StreamWindows(stream, 4, 10), "float32")
    shares = [
        evaluate(model, StreamWindows(stream, 4, 10, rank=rank, world_size=world_size), "float32") for rank in range(world_size)
    ]
    assert {share.tokens for share in shares} == {whole.tokens} == {149}
    assert sum(share.nats for share in shares) == pytest.approx(whole.nats, rel=1e-6)
    assert sum(share.correct for share in shares) == whole.correct
