"""What a run is claimed to give: when it holds, when nothing is judged, and which claims nobody could judge."""

import math

import pytest
from messages import assert_says, user_error

from rnnscope.runs.expectation import HELD, NOT_HELD, NOT_JUDGED, Claim, Expectation, deciding


def claim(direction: str = "at_most", tolerance: float = 0.0, **more: object) -> Expectation:
    return Expectation("val/loss", 1.5, "somebody", direction, tolerance, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("direction", "ours", "verdict"),
    [
        ("at_most", 1.5, HELD),
        ("at_most", 1.6, HELD),
        ("at_most", 1.7, NOT_HELD),
        ("at_least", 1.4, HELD),
        ("at_least", 1.3, NOT_HELD),
        ("near", 1.4, HELD),
        ("near", 1.6, HELD),
        ("near", 1.7, NOT_HELD),
        ("near", math.nan, NOT_JUDGED),
        ("near", None, NOT_JUDGED),
    ],
)
def test_verdicts(direction, ours, verdict):
    assert Claim.judge(claim(direction, 0.1000001), ours).verdict == verdict


def test_lines_say_by_how_much():
    assert_says(Claim.judge(claim(), 1.25).line(), "held", "val/loss", "1.25", "<=", "1.5", "somebody")
    assert_says(Claim.judge(claim("near", 0.5), 1.25).line(), "held", "1.25", "within", "0.5", "1.5")
    assert_says(Claim.judge(claim(step=1000), 1.75).line(), "not held", "val/loss at step 1,000", "1.75", "0.25 above", "1.5")
    assert_says(Claim.judge(claim("at_least"), 1.25).line(), "0.25 below", "1.5")
    beside = claim(comparable=False, reason="another text")
    assert_says(Claim.judge(beside, 1.25).line(), "not judged", "1.25", "1.5", "somebody", "another text")
    assert_says(Claim.judge(claim(), 1.25, "model.cell was set").line(), "not judged", "1.25", "model.cell was set")
    assert_says(Claim.judge(claim(step=3), None).line(), "not judged", "no val/loss at step 3")


def test_seed_hardware_and_watching_are_free():
    free = ["experiment", "seed", "name", "trainer", "trainer.threads", "trainer.accelerator", "monitor.lines_every", "logger"]
    assert deciding(free) == []
    assert deciding([*free, "optimizer.lr", "trainer.max_steps", "model"]) == ["model", "optimizer.lr", "trainer.max_steps"]
    assert deciding(["optimizer.lr", "expect"]) == []  # who claims something claims it for all that they set


@pytest.mark.parametrize(
    ("keys", "parts"),
    [
        ({"metric": "val/los"}, ["metric=val/los", "val/loss"]),
        ({"direction": "below"}, ["val/loss", "direction=below", "at_most", "at_least", "near"]),
        ({"value": math.nan}, ["value=nan"]),
        ({"tolerance": -1.0}, ["tolerance=-1.0"]),
        ({"source": ""}, ["val/loss", "source"]),
        ({"comparable": False}, ["comparable=false", "reason"]),
        ({"step": 0}, ["step=0"]),
    ],
)
def test_claims_that_nobody_could_judge(keys, parts):
    with user_error(*parts):
        Expectation(**{"metric": "val/loss", "value": 1.5, "source": "somebody", **keys}).check({"val/loss"})
