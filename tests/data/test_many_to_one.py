from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import assert_says, user_error
from test_batches import drawing
from test_module import data

from rnnscope.data.batches import IGNORE
from rnnscope.data.many_to_one import ManyToOneWindows

SIZES = {"tokens": st.integers(1, 60), "batch": st.integers(1, 7), "time": st.integers(1, 9), "step": st.integers(1, 11)}


def as_keras_cuts(ids: list[int], time: int, step: int) -> list[tuple[list[int], int]]:
    """The sentences and next characters of Keras's example, lstm_text_generation.py."""
    return [(ids[i : i + time], ids[i + time]) for i in range(0, len(ids) - time, step)]


def pairs(windows) -> list[tuple[list[int], int]]:
    """The rows with a target, which stands at their end alone."""
    found = []
    for window in windows:
        assert (window.targets[:, :-1] == IGNORE).all()
        assert window.count == int((window.targets[:, -1] != IGNORE).sum())
        assert window.fresh
        rows = zip(window.inputs.tolist(), window.targets[:, -1].tolist(), strict=True)
        found += [(row, target) for row, target in rows if target != IGNORE]
    return found


@given(**SIZES, seed=st.sampled_from([None, 3]))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_the_windows_of_keras_each_once_an_epoch(tokens, batch, time, step, seed):
    expected = as_keras_cuts(list(range(1, tokens + 1)), time, step)
    if not expected:
        with user_error(tokens, "dataset.sequence_length", time):
            ManyToOneWindows(np.arange(tokens + 1), batch, time, step, seed)
        return
    source = ManyToOneWindows(np.arange(tokens + 1), batch, time, step, seed)
    windows = list(source)
    assert {window.inputs.shape for window in windows} == {window.targets.shape for window in windows} == {(batch, time)}
    assert len(windows) == source.windows_per_epoch
    assert source.tokens_per_epoch == len(expected)
    found = pairs(windows)
    assert (found if seed is None else sorted(found)) == expected


def test_each_epoch_has_an_order_of_its_own():
    source = ManyToOneWindows(np.arange(200), 10, 4, 3, seed=1, endless=True)
    windows = list(islice(source, 2 * source.windows_per_epoch))
    first, second = pairs(windows[: source.windows_per_epoch]), pairs(windows[source.windows_per_epoch :])
    assert sorted(first) == sorted(second)
    assert first != second != sorted(second)


@given(**SIZES, world=st.sampled_from([2, 3]))
@settings(max_examples=50, derandomize=True, deadline=None)
def test_the_ranks_together_see_what_one_process_would(tokens, batch, time, step, world):
    stream = np.arange(tokens + time + 1)
    alone = list(ManyToOneWindows(stream, batch * world, time, step, 5))
    shares = [list(ManyToOneWindows(stream, batch * world, time, step, 5, rank=r, world_size=world)) for r in range(world)]
    for window, *parts in zip(alone, *shares, strict=True):
        assert torch.equal(torch.cat([part.inputs for part in parts]), window.inputs)
        assert torch.equal(torch.cat([part.targets for part in parts]), window.targets)
        assert {part.count for part in parts} == {window.count}


def test_going_on_from_any_position_and_nowhere_else():
    def new(step: int = 3) -> ManyToOneWindows:
        return ManyToOneWindows(np.arange(100), 8, 5, step, seed=2, endless=True)

    windows = list(islice(new(), 9))
    for at in range(7):
        after = new()
        after.load_state_dict(windows[at].position)
        going_on = list(islice(after, 2))
        assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(going_on, windows[at + 1 : at + 3], strict=True))
    with user_error("step", 3, 4):
        new(4).load_state_dict(windows[0].position)


def test_the_drawing():
    names = "^abcdefghi"
    inputs, targets = drawing(str(ManyToOneWindows.__doc__))
    found = list(ManyToOneWindows(np.arange(10), 2, 3, 2))
    assert len(inputs) == len(found) == 2
    for window, drawn_inputs, drawn_targets in zip(found, inputs, targets, strict=True):
        for row in range(2):
            used = window.targets[row, -1] != IGNORE
            assert [names[i] if used else "." for i in window.inputs[row]] == drawn_inputs[row]
            assert ["." if i == IGNORE else names[i] for i in window.targets[row]] == drawn_targets[row]


def test_of_a_text(tmp_path):
    text = data(tmp_path, windows="many_to_one", sequence_length=40, window_step=3, batch_size=16).prepare()
    ids = text.stream("train")[1:].tolist()
    loader = text.train_dataloader()
    assert sorted(pairs(loader)) == sorted(as_keras_cuts(ids, 40, 3))
    val = as_keras_cuts(text.stream("val")[1:].tolist(), 40, 3)
    assert pairs(text.windows("val")) == val
    assert text.targets("val").tolist() == [target for _, target in val]
    assert_says(text.report[-1], f"{loader.tokens_per_epoch:,}", 40, 3)
    without_overlap = data(tmp_path, windows="many_to_one", sequence_length=40).prepare()
    assert sorted(pairs(without_overlap.train_dataloader())) == sorted(as_keras_cuts(ids, 40, 41))


@pytest.mark.parametrize(
    ("keys", "parts"),
    [
        ({"windows": "stream", "window_step": 3}, ["dataset.window_step", 3, "dataset.windows=many_to_one"]),
        ({"windows": "many_to_one", "window_step": 0}, ["dataset.window_step", 0, 1]),
        ({"windows": "many_to_one", "start_end": "line"}, ["dataset.windows=many_to_one", "dataset.start_end=null", "line"]),
        ({"windows": "many_to_one", "sequence_length": 600}, ["dataset.sequence_length", 600, "split"]),  # val is shorter
    ],
)
def test_keys_without_meaning(tmp_path, keys, parts):
    with user_error(*parts):
        data(tmp_path, **keys).prepare()
