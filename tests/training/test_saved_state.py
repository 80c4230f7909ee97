"""What a checkpoint remembers for a callback is checked value by value: the file may come from anywhere."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from rnnscope.errors import UserError
from rnnscope.training.saved_state import SavedState


def nested(depth: int) -> Any:
    value: Any = 1.0
    for _ in range(depth):
        value = [value]
    return value


def taken(value: Any) -> SavedState:
    return SavedState("run/last.ckpt", "Validation", value)


NO_NUMBERS = ["low", "x\n" * 10**6, b"1", True, None, torch.zeros(2), nested(100_000), 10**5000, -(2**70), [1.0]]


@pytest.mark.parametrize("read", [SavedState.number, SavedState.count, SavedState.numbers])
@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: type(value).__name__)
def test_what_is_not_a_number_is_refused_in_one_short_line(read: Callable, value: Any) -> None:
    for state in ({"best": value}, {"best": {"loss": value}}, value, {}):
        with pytest.raises(UserError, match=r"^run/last\.ckpt: .*Validation.* best\b.*delete this file") as refusal:
            read(taken(state), "best")
        assert len(str(refusal.value)) < 250
        assert "\n" not in str(refusal.value)


def test_numbers_come_back_as_they_are() -> None:
    assert taken({"best": math.inf}).number("best") == math.inf
    assert taken({"best": -1}).number("best", finite=True) == -1
    assert taken({"best": 2**62}).count("best") == 2**62
    saved = {"loss": 0.5, "norm": math.inf, "size": math.nan}
    assert taken({"best": saved}).numbers("best") == saved
    assert taken({"best": {}}).numbers("best") == {}


@pytest.mark.parametrize(("value", "finite"), [(math.nan, False), (math.nan, True), (math.inf, True), (-math.inf, True)])
def test_a_number_that_nothing_can_be_compared_with_is_refused(value: float, finite: bool) -> None:
    with pytest.raises(UserError, match=str(value)):
        taken({"best": value}).number("best", finite)


@pytest.mark.parametrize("value", [-1, 0.0, 1.5])
def test_a_count_is_a_whole_number(value: float) -> None:
    with pytest.raises(UserError, match=str(value)):
        taken({"best": value}).count("best")


def test_curves_have_names() -> None:
    with pytest.raises(UserError, match="a name in latest is 3"):
        taken({"latest": {3: 0.5}}).numbers("latest")
