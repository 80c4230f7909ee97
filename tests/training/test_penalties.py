"""AR and TAR by hand, and that the recorded loss is without them."""

import numpy as np
import pytest
import torch
from conftest import train
from test_task import make_task, windows
from torch.nn.functional import cross_entropy

from rnnscope.data.batches import IGNORE
from rnnscope.runs.journal import read_curve
from rnnscope.training.penalties import Penalties

ALPHA, BETA = 2.0, 1.5


def test_a_window_by_hand():
    """As AWD-LSTM adds them: alpha * h.pow(2).mean() + beta * (h[1:] - h[:-1]).pow(2).mean()."""
    draw = np.random.default_rng(0)
    written, dropped = draw.normal(size=(2, 5, 3, 4))
    found = Penalties(ALPHA, BETA)(torch.tensor(written), torch.tensor(dropped), torch.zeros(5, 3, dtype=torch.long))
    by_hand = ALPHA * np.mean(dropped**2) + BETA * np.mean((written[1:] - written[:-1]) ** 2)
    assert float(found) / 15 == pytest.approx(by_hand, rel=1e-6)


def test_padding_adds_nothing():
    written = torch.randn(5, 3, 4)
    targets = torch.zeros(5, 3, dtype=torch.long)
    targets[:, 2] = IGNORE
    padded, alone = (
        Penalties(ALPHA, BETA)(part, part, ids) for part, ids in [(written, targets), (written[:, :2], targets[:, :2])]
    )
    assert float(padded) == pytest.approx(float(alone))


def test_a_window_of_one_token_has_no_change():
    one = torch.randn(1, 3, 4)
    assert float(Penalties(0.0, BETA)(one, one, torch.zeros(1, 3, dtype=torch.long))) == 0


def test_the_step_goes_down_on_loss_and_penalty_together():
    task, window = make_task(penalties=Penalties(ALPHA, BETA)), next(iter(windows()))
    task.take_step(window)
    model = make_task().model
    hidden, _ = model.encode(window.inputs.t())
    loss = cross_entropy(model.head(hidden).flatten(0, 1), window.targets.t().flatten())
    penalty = ALPHA * hidden.square().mean() + BETA * hidden.diff(dim=0).square().mean()
    (loss + penalty).backward()
    for found, wanted in zip(task.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-4, atol=1e-7)
    assert task.sums.nats / window.count == pytest.approx(loss.item(), rel=1e-6)
    assert float(task.penalty) / window.count == pytest.approx(penalty.item(), rel=1e-6)


def test_it_is_recorded_apart(story, outputs):
    run = train(f"dataset.corpus.path={story}", "dataset=text_files", "trainer.activation_penalty=2", "trainer.max_steps=4").run
    assert all(value > 0 for value in read_curve(run.metrics, "train/penalty")[1])
    assert "train/penalty" not in train(f"dataset.corpus.path={story}", "dataset=text_files", "trainer.max_steps=4").metrics
