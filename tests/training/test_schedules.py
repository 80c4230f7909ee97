"""Learning rates at the steps where they change, by hand."""

import math

import pytest
from messages import user_error

from rnnscope.training.schedules import make_schedule


def test_a_constant_is_constant():
    assert make_schedule("constant", 0.1, None).rate(10**6, 99) == 0.1


def test_warm_up_then_half_a_cosine():
    schedule = make_schedule("cosine", 1.0, 110, warmup_steps=10, final_fraction=0.1)
    assert [schedule.rate(step, 0) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert schedule.rate(10, 0) == 1.0
    assert schedule.rate(60, 0) == pytest.approx(0.1 + 0.9 * 0.5)
    assert schedule.rate(35, 0) == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 4)))
    assert schedule.rate(110, 0) == schedule.rate(500, 0) == pytest.approx(0.1)


def test_a_cosine_without_an_end_is_refused():
    with user_error("schedule=cosine", "trainer.max_steps", "trainer.max_epochs", "schedule.horizon", "schedule=constant"):
        make_schedule("cosine", 1.0, None)
    assert make_schedule("cosine", 1.0, None, horizon=10).rate(10, 0) == 0


def test_a_step_map_changes_at_its_steps():
    schedule = make_schedule("step_map", 9.9, None, rates={0: 0.1, 4000: 0.01, 8000: 0.002})
    assert [schedule.rate(step, 0) for step in (0, 3999, 4000, 7999, 8000, 10**6)] == [
        0.1,
        0.1,
        0.01,
        0.01,
        0.002,
        0.002,
    ]
    with user_error("schedule.rates", "{1: 0.1}", "{0: ...}"):
        make_schedule("step_map", 0.1, None, rates={1: 0.1})


def test_exponential_decay_starts_after_its_epochs():
    schedule = make_schedule("exponential", 1.0, None, factor=0.5, after_epochs=10)
    assert [schedule.rate(0, epoch) for epoch in (0, 9, 10, 11)] == [1.0, 1.0, 0.5, 0.25]


def test_a_plateau_halves_when_the_loss_stops_falling():
    schedule = make_schedule("plateau", 1.0, None, factor=0.5, patience=1)
    rates = []
    for loss in (3.0, 2.0, 2.5, 1.9, 1.9, 2.0, 2.0, 2.0):
        schedule.observe({"val/loss": loss, "train/loss": 0.0})
        rates.append(schedule.rate(0, 0))
    assert rates == [1, 1, 1, 1, 1, 0.5, 0.5, 0.25]
    other = make_schedule("plateau", 1.0, None, factor=0.5, patience=1)
    other.load_state_dict(schedule.state_dict())
    assert other.rate(0, 0) == 0.25


@pytest.mark.parametrize(
    ("name", "options", "parts"),
    [
        ("linear", {}, ["schedule.name", "linear", "constant", "cosine", "step_map", "exponential", "plateau"]),
        ("plateau", {"watch": "loss"}, ["schedule.watch", "loss", "val/loss", "train/loss"]),
        ("exponential", {"factor": -1.0}, ["schedule.factor", -1.0]),
        ("step_map", {"rates": {0: -0.1}}, ["schedule.rates", "0: -0.1"]),
    ],
)
def test_settings_that_make_no_schedule_name_the_key(name, options, parts):
    with user_error(*parts):
        make_schedule(name, 0.1, 100, **options)
