import re
from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import user_error

from rnnscope.data.batches import IGNORE, StreamWindows, ZeroStateWindows, cut


def plain_windows(stream: list[int], batch: int, time: int, given=None):
    """The same windows as StreamWindows by the definition: cut the pairs into columns, then the columns into windows."""
    pairs = list(pairwise(stream))
    sizes = [len(pairs) // batch + (column < len(pairs) % batch) for column in range(batch)]
    columns = [pairs[sum(sizes[:column]) : sum(sizes[: column + 1])] for column in range(batch)]
    for begin in range(0, max(sizes), time):
        rows = [column[begin : begin + time] for column in columns]
        rows = [row + [(0, IGNORE)] * (time - len(row)) for row in rows]
        yield [[a for a, _ in row] for row in rows], [[IGNORE if b == given else b for _, b in row] for row in rows]


SIZES = {"tokens": st.integers(1, 60), "batch": st.integers(1, 7), "time": st.integers(1, 9)}


@given(**SIZES, start=st.sampled_from([None, 4]))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_windows_by_the_definition(tokens, batch, time, start):
    stream = np.random.default_rng(tokens).integers(3, 9, tokens + 1).astype(np.uint8)
    source = StreamWindows(stream, batch, time, given=start)
    found = list(source)
    assert [(w.inputs.tolist(), w.targets.tolist()) for w in found] == list(plain_windows(stream.tolist(), batch, time, start))
    assert {w.inputs.shape for w in found} == {w.targets.shape for w in found} == {(batch, time)}
    assert all(w.inputs.dtype == w.targets.dtype == torch.int64 for w in found)
    assert [w.count for w in found] == [int((w.targets != IGNORE).sum()) for w in found]
    assert sum(w.count for w in found) == source.tokens_per_epoch
    assert len(found) == source.windows_per_epoch
    assert [w.fresh for w in found] == [True] + [False] * (len(found) - 1)


@given(**SIZES)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_no_token_is_lost_or_doubled(tokens, batch, time):
    stream = np.arange(tokens + 1)
    for source in (StreamWindows(stream, batch, time), ZeroStateWindows(stream, batch, time)):
        targets = torch.cat([w.targets.flatten() for w in source])
        inputs = torch.cat([w.inputs.flatten() for w in source])
        assert sorted(targets[targets != IGNORE].tolist()) == list(range(1, tokens + 1))
        assert (inputs[targets != IGNORE] == targets[targets != IGNORE] - 1).all()


def drawing(documentation: str) -> tuple[list[list[list[str]]], list[list[list[str]]]]:
    """The windows drawn in a docstring: inputs and targets as [window][row][step]."""
    lines = [re.split(r"\s{3,}", line.strip()) for line in documentation.split("\n") if re.match(r"\s+(column|row) \d", line)]
    half = (len(lines[0])) // 2
    sides = [[line[1:half] for line in lines], [line[half + 1 :] for line in lines]]
    inputs, targets = ([[cell.split() for cell in window] for window in zip(*side, strict=True)] for side in sides)
    return inputs, targets


def test_the_drawing_of_columns():
    names = "^abcdefghijk"
    inputs, targets = drawing(StreamWindows.__doc__)
    found = list(StreamWindows(np.arange(12), 3, 3))
    assert len(inputs) == len(found) == 2
    for window, drawn_inputs, drawn_targets in zip(found, inputs, targets, strict=True):
        real = window.targets != IGNORE
        for row in range(3):
            assert [names[i] if ok else "." for i, ok in zip(window.inputs[row], real[row], strict=True)] == drawn_inputs[row]
            assert [names[i] if ok else "." for i, ok in zip(window.targets[row], real[row], strict=True)] == drawn_targets[row]


def test_each_column_goes_on_where_it_was():
    windows = list(StreamWindows(np.arange(101), 4, 5))
    for before, after in pairwise(windows):
        real = after.targets[:, 0] != IGNORE
        assert (after.inputs[:, 0] == before.targets[:, -1])[real].all()


@given(**SIZES, world=st.sampled_from([1, 2, 3]))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_the_ranks_together_see_what_one_process_would(tokens, batch, time, world):
    stream = np.arange(tokens + 1)
    alone = list(StreamWindows(stream, batch * world, time))
    shares = [list(StreamWindows(stream, batch * world, time, rank=rank, world_size=world)) for rank in range(world)]
    assert all(len(share) == len(alone) for share in shares)
    for window, *parts in zip(alone, *shares, strict=True):
        assert torch.equal(torch.cat([part.inputs for part in parts]), window.inputs)
        assert torch.equal(torch.cat([part.targets for part in parts]), window.targets)
        assert {part.count for part in parts} == {window.count}  # what a loss is divided by is the same for all
        assert {part.fresh for part in parts} == {window.fresh}


def test_an_endless_source_begins_again():
    source = StreamWindows(np.arange(12), 3, 3, endless=True)
    windows = list(islice(source, 5))
    assert [w.epoch for w in windows] == [0, 0, 1, 1, 2]
    assert [w.fresh for w in windows] == [True, False, True, False, True]
    assert torch.equal(windows[0].targets, windows[2].targets)


def test_an_endless_source_goes_on_when_it_is_iterated_again():
    source = StreamWindows(np.arange(12), 3, 3, endless=True)
    next(iter(source))
    assert next(iter(source)).targets[0, 0] == 4


def test_evaluation_that_stops_early_begins_at_the_beginning_again():
    source = StreamWindows(np.arange(12), 3, 3)
    next(iter(source))
    assert [w.fresh for w in source] == [True, False]
    assert [w.fresh for w in source] == [True, False]


@given(**SIZES, steps=st.integers(0, 12), more=st.integers(1, 9))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_going_on_from_any_position(tokens, batch, time, steps, more):
    def new():
        return StreamWindows(np.arange(tokens + 1), batch, time, endless=True)

    source = new()
    iterator = iter(source)
    windows = list(islice(iterator, steps))
    position = windows[-1].position if windows else source.state_dict()
    assert position == source.state_dict()
    next(iterator)  # read ahead, never trained on
    again = new()
    again.load_state_dict(position)
    for one, other in zip(islice(new(), steps, steps + more), islice(again, more), strict=True):
        assert torch.equal(one.targets, other.targets)
        assert (one.epoch, one.fresh, one.position) == (other.epoch, other.fresh, other.position)


def test_a_position_in_the_last_epoch_of_evaluation():
    source = StreamWindows(np.arange(12), 3, 3)
    source.load_state_dict(next(iter(source)).position)
    assert [w.fresh for w in source] == [False]


def test_a_position_in_other_data_is_refused():
    position = StreamWindows(np.arange(12), 3, 3).state_dict()
    saved = {"batch_size": 3, "sequence_length": 3, "tokens": 11}
    with user_error(saved, saved | {"sequence_length": 2}):
        StreamWindows(np.arange(12), 3, 2).load_state_dict(position)


@given(**SIZES)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_zero_state_windows_tile_the_stream(tokens, batch, time):
    stream = np.arange(tokens + 1)
    rows = []
    for window in ZeroStateWindows(stream, batch, time):
        assert window.fresh
        assert window.inputs.shape == (batch, time)
        rows += [row[row != IGNORE].tolist() for row in window.targets]
    rows = [row for row in rows if row]
    assert rows == [list(range(begin + 1, min(begin + time, tokens) + 1)) for begin in range(0, tokens, time)]


@given(st.integers(2, 40), st.integers(1, 4), st.integers(1, 6), st.data())
@settings(max_examples=60, derandomize=True, deadline=None)
def test_cutting_rows(size, rows, time, data):
    stream = np.random.default_rng(size).integers(0, 5, size).astype(np.uint16)
    length = np.array([data.draw(st.integers(0, min(time, size - 1))) for _ in range(rows)])
    first = np.array([data.draw(st.integers(0, size - 1 - n)) for n in length])
    inputs, targets, counts = cut(stream, first, length, time, given=2)
    for r in range(rows):
        source = stream[first[r] : first[r] + length[r] + 1].tolist() if length[r] else [0]
        assert inputs[r].tolist() == source[:-1] + [0] * (time - length[r])
        assert targets[r].tolist() == [IGNORE if t == 2 else t for t in source[1:]] + [IGNORE] * (time - length[r])
    assert counts.tolist() == (targets != IGNORE).sum(0).tolist()


def test_windows_come_from_a_memory_map(tmp_path):
    np.arange(12, dtype=np.uint8).tofile(tmp_path / "ids")
    stream = np.memmap(tmp_path / "ids", dtype=np.uint8, mode="r")
    assert torch.equal(next(iter(StreamWindows(stream, 3, 3))).inputs, next(iter(StreamWindows(np.arange(12), 3, 3))).inputs)


@pytest.mark.parametrize(
    ("batch_size", "share", "parts"),
    [
        (3, {"endless": True, "rank": 0, "world_size": 2}, [3, "2 processes"]),
        (0, {}, [0, 3, 1]),
    ],
)
def test_bad_sizes(batch_size, share, parts):
    with user_error(*parts) as error:
        StreamWindows(np.arange(12), batch_size, 3, **share)
    assert "batch_size" in str(error.value)


def test_no_token():
    with user_error("token", "text"):
        StreamWindows(np.arange(1), 2, 2)


def test_the_length_is_that_of_an_epoch():
    windows = StreamWindows(np.arange(12), 2, 2)
    assert len(windows) == len(list(windows)) == 3
