"""The check that other tests put messages through."""

import pytest
from messages import lacks

MESSAGE = "there is no key optimizer.lrr=-1.5: did you mean optimizer.lr? +x=1: write 'a b'"


@pytest.mark.parametrize("part", ["optimizer.lrr", "optimizer.lr", -1.5, "+x=1", "a b", "'a b'", "key"])
def test_a_part_that_is_there(part):
    assert lacks(MESSAGE, (part,)) == []


@pytest.mark.parametrize("part", ["lr", "optimizer", 1.5, 5, -1, "x=1", "ke", "optimizer.l"])
def test_a_part_of_something_longer_is_not_there(part):
    assert lacks(MESSAGE, (part,)) == [str(part)]


def test_a_part_that_is_given_twice_must_be_there_twice():
    assert lacks("gru: did you mean gru?", ("gru", "gru")) == []
    assert lacks("grux: did you mean gru?", ("gru", "gru")) == ["gru"]
    assert lacks("lr is 1, lr=3", ("lr", "lr=3")) == []
    assert lacks("lr=3", ("lr", "lr=3")) == ["lr"]
