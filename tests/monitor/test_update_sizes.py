"""Update sizes against a computation by hand, from the weights of kept checkpoints."""

import math

import numpy as np
import pytest
import torch
from conftest import train

from rnnscope.monitor.update_sizes import log_ratio, sums_of_squares, update_sizes
from rnnscope.runs.journal import read_rows

PREFIX = "update_size/"


def by_hand(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> dict[str, float]:
    """log10 of the root mean square of the update over that of the parameter, per parameter and over all values."""

    def rms(values: list[np.ndarray]) -> float:
        return math.sqrt(np.mean(np.square(np.concatenate([value.astype(np.float64).ravel() for value in values]))))

    updates = {name: after[name].astype(np.float64) - before[name] for name in before}
    found = {PREFIX + name: math.log10(rms([updates[name]]) / rms([before[name]])) for name in before}
    return found | {PREFIX + "all": math.log10(rms(list(updates.values())) / rms(list(before.values())))}


def weights_at(result, step: int) -> dict[str, np.ndarray]:
    state = torch.load(result.run.checkpoints / f"step_{step}.ckpt", weights_only=True)["state_dict"]
    return {name: value.numpy() for name, value in state.items()}


@pytest.mark.parametrize(
    "words",
    [
        ["optimizer=sgd", "optimizer.lr=0.5", "optimizer.momentum=0.9"],
        ["optimizer=adam", "optimizer.lr=0.01"],
        ["optimizer=adamw", "optimizer.weight_decay=0.3", "trainer.clip_norm=0.1"],
    ],
    ids=["sgd", "adam", "adamw"],
)
def test_update_sizes_by_hand(words, story, outputs):
    every = ["monitor.updates_every=3", "trainer.keep_every=1", "trainer.max_steps=9", "schedule=constant"]
    result = train("dataset=text_files", f"dataset.corpus.path={story}", *words, *every)
    rows = {
        int(row["step"]): {key: cell for key, cell in row.items() if key.startswith(PREFIX)}
        for row in read_rows(result.run.metrics)
    }
    assert [step for step, row in rows.items() if any(row.values())] == [3, 6, 9]
    for step in (3, 6, 9):
        expected = by_hand(weights_at(result, step - 1), weights_at(result, step))
        found = {key: float(cell) for key, cell in rows[step].items()}
        assert found == pytest.approx(expected, abs=1e-4)


def sizes_of(parameters: dict[str, torch.Tensor], updates: dict[str, torch.Tensor]) -> dict[str, float]:
    return update_sizes(list(parameters), sums_of_squares(parameters, updates).tolist())


def test_sgd_moves_by_its_rate_times_the_gradient():
    weight = torch.tensor([3.0, 4.0])
    gradient = torch.tensor([0.6, 0.8])
    found = sizes_of({"w": weight}, {"w": -0.01 * gradient})
    assert found[PREFIX + "w"] == pytest.approx(math.log10(0.01 * 1 / 5))
    assert found[PREFIX + "all"] == pytest.approx(found[PREFIX + "w"])


def test_all_parameters_together_weigh_by_their_values():
    parameters = {"big": torch.full((100,), 2.0), "small": torch.full((1,), 1.0)}
    updates = {"big": torch.full((100,), 0.002), "small": torch.full((1,), 0.5)}
    found = sizes_of(parameters, updates)
    rms = math.sqrt((100 * 0.002**2 + 0.5**2) / 101) / math.sqrt((100 * 4 + 1) / 101)
    assert found[PREFIX + "all"] == pytest.approx(math.log10(rms), rel=1e-6)


def test_a_parameter_of_zeros_is_left_out_until_it_moves(story, outputs):
    words = ["model.init=xavier", "model.forget_bias=0", "monitor.updates_every=1", "trainer.max_steps=2"]
    result = train("dataset=text_files", f"dataset.corpus.path={story}", *words)
    first, second = list(read_rows(result.run.metrics))[:2]
    for name in ("cells.0.bias_ih_l0", "cells.0.bias_hh_l0", "head.bias"):
        assert first[PREFIX + name] == ""
        assert float(second[PREFIX + name]) > -2  # as large as the one step that it has taken
    for row in (first, second):
        assert row[PREFIX + "head.weight"]
        assert row[PREFIX + "all"]


def test_what_is_no_number_is_said():
    zero, one = torch.zeros(2), torch.ones(2)
    assert sizes_of({"w": zero}, {"w": one}) == {}
    assert sizes_of({"w": one}, {"w": zero}) == {}
    found = sizes_of({"w": one}, {"w": torch.tensor([math.nan, 1.0])})
    assert math.isnan(found[PREFIX + "w"])
    assert math.isnan(found[PREFIX + "all"])


def test_a_sum_of_squares_beyond_float32_has_no_ratio():
    assert log_ratio(4.0, 400.0) == pytest.approx(-1)
    for update, parameter in ((1.0, math.inf), (math.inf, 1.0), (math.inf, math.inf)):
        assert math.isnan(log_ratio(update, parameter))
    assert log_ratio(0.0, 1.0) is None
