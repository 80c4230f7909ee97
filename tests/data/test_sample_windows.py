import tracemalloc
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import user_error
from test_batches import drawing

from rnnscope.data import sample_windows as samples
from rnnscope.data.batches import IGNORE
from rnnscope.data.sample_windows import SampleWindows, find_pools, window_shapes

START, END = 1, 2


def stream_of(lengths) -> np.ndarray:
    """Samples with `lengths` tokens before END, every token a number of its own."""
    ids, token = [], 3
    for length in lengths:
        ids += [START, *range(token, token + length), END]
        token += length
    return np.array(ids)


LENGTHS = st.lists(st.integers(0, 12), min_size=1, max_size=25)
OPTIONS = {"lengths": LENGTHS, "batch": st.integers(1, 5), "time": st.integers(1, 6), "pool": st.sampled_from([2, 7, 100])}


def trained_samples(windows) -> list[list[int]]:
    """The samples, put together from the rows of carried windows: inputs, then the last target."""
    found, rows = [], []
    for window in windows:
        if window.fresh:
            found += rows
            rows = [[] for _ in window.inputs]
        for row, inputs, targets in zip(rows, window.inputs, window.targets, strict=True):
            real = targets != IGNORE
            row += list(zip(inputs[real].tolist(), targets[real].tolist(), strict=True))
    found += rows
    return [[row[0][0], *(target for _, target in row)] for row in found if row]


@given(**OPTIONS, epoch=st.integers(0, 2))
@settings(max_examples=120, derandomize=True, deadline=None)
def test_every_sample_once_an_epoch_whole_and_from_a_zero_state(lengths, batch, time, pool, epoch):
    stream = stream_of(lengths)
    source = SampleWindows(stream, batch, time, START, pools=find_pools(stream, START, pool))
    for _ in range(epoch + 1):
        windows = list(source)
    assert len(windows) == source.windows_per_epoch
    expected = [sample.tolist() for sample in np.split(stream, np.flatnonzero(stream == START)[1:])]
    assert sorted(trained_samples(windows)) == sorted(expected)
    assert sum(w.count for w in windows) == source.tokens_per_epoch == sum(lengths) + len(lengths)
    places = sum(w.targets.numel() for w in windows)
    assert source.padding == pytest.approx(1 - source.tokens_per_epoch / places)
    assert source.samples == len(lengths)
    assert source.long_samples == sum(length + 1 > time for length in lengths)
    assert all(w.inputs.shape[0] == batch and w.inputs.shape[1] <= time for w in windows)
    assert len({w.inputs.shape for w in windows}) <= 8


def test_the_drawing_of_samples():
    names = "?^$abcdefghi"
    stream = np.array([1, 3, 4, 5, 2, 1, 6, 2, 1, 7, 8, 9, 10, 11, 2])
    inputs, targets = drawing(SampleWindows.__doc__)
    found = list(SampleWindows(stream, 2, 4, START, seed=None))
    assert len(inputs) == len(found) == 3
    for window, drawn_inputs, drawn_targets in zip(found, inputs, targets, strict=True):
        real = window.targets != IGNORE
        for row in range(2):
            for ids, drawn in ((window.inputs, drawn_inputs), (window.targets, drawn_targets)):
                assert [names[i] if ok else "." for i, ok in zip(ids[row], real[row], strict=True)] == drawn[row]


def test_order_is_decided_by_seed_and_epoch():
    stream = stream_of([3] * 50)

    def epochs(seed):
        source = SampleWindows(stream, 4, 4, START, seed=seed, endless=True)
        return [[w.targets.tolist() for w in islice(source, source.windows_per_epoch)] for _ in range(2)]

    first, second = epochs(1)
    assert [first, second] == epochs(1)
    assert first != second
    assert first != epochs(2)[0]


@given(**OPTIONS, steps=st.integers(0, 30))
@settings(max_examples=50, derandomize=True, deadline=None)
def test_going_on_from_any_position(lengths, batch, time, pool, steps):
    stream = stream_of(lengths)

    def new():
        return SampleWindows(stream, batch, time, START, endless=True, pools=find_pools(stream, START, pool))

    windows = list(islice(new(), steps + 4))
    again = new()
    again.load_state_dict(windows[steps - 1].position if steps else new().state_dict())
    for one, other in zip(windows[steps:], islice(again, 4), strict=True):
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.targets, other.targets)
        assert (one.fresh, one.position) == (other.fresh, other.position)


@given(**OPTIONS, world=st.sampled_from([2, 3]))
@settings(max_examples=40, derandomize=True, deadline=None)
def test_the_ranks_together_see_what_one_process_would(lengths, batch, time, pool, world):
    sizes = (stream_of(lengths), batch * world, time, START)
    pools = find_pools(sizes[0], START, pool)
    alone = list(SampleWindows(*sizes, pools=pools))
    shares = [list(SampleWindows(*sizes, pools=pools, rank=rank, world_size=world)) for rank in range(world)]
    for window, *parts in zip(alone, *shares, strict=True):
        assert torch.equal(torch.cat([part.targets for part in parts]), window.targets)
        assert torch.equal(torch.cat([part.inputs for part in parts]), window.inputs)
        assert {part.count for part in parts} == {window.count}


@given(st.lists(st.integers(0, 9), min_size=2, max_size=9), st.integers(1, 4))
@settings(max_examples=80, derandomize=True, deadline=None)
def test_the_shapes_waste_least(pieces, shapes):
    from itertools import combinations

    pieces = np.array([0, *pieces])
    longest = len(pieces) - 1

    def waste(chosen):
        return sum(count * (min(s for s in chosen if s >= n) - n) for n, count in enumerate(pieces))

    found = window_shapes(pieces, shapes).tolist()
    every = [(*some, longest) for k in range(shapes) for some in combinations(range(1, longest), k)]
    assert found[-1] == longest
    assert len(found) <= shapes
    assert waste(found) == min(map(waste, every))


@given(LENGTHS | st.just([]), st.integers(1, 5), st.integers(1, 9))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_pools_whatever_the_blocks(lengths, size, scan):
    stream = stream_of(lengths)
    saved, samples.SCAN = samples.SCAN, scan
    try:
        pools = find_pools(stream, START, size)
    finally:
        samples.SCAN = saved
    assert pools.begins.tolist() == [*np.flatnonzero(stream == START)[::size].tolist(), len(stream)]
    found = [list(np.repeat(*pool)) for pool in pools.lengths]
    targets = [length + 1 for length in lengths]
    assert found == [sorted(targets[begin : begin + size]) for begin in range(0, len(targets), size)]


def test_a_very_long_sample_takes_no_more_memory_than_a_short_one():
    stream = np.full(40_000_000, 5, dtype=np.uint8)
    stream[0] = START
    tracemalloc.start()
    try:
        source = SampleWindows(stream, 2, 4, START)
        assert source.windows_per_epoch == 10_000_000
        assert source.window(0, 9_999_999).count == 3
        assert tracemalloc.get_traced_memory()[1] < 40_000_000  # one pass compares 4 MB at a time
    finally:
        tracemalloc.stop()


def test_names_waste_little(shared_data):
    lengths = [len(name) for name in (shared_data / "names.txt").read_text().split()]
    source = SampleWindows(stream_of(lengths), 32, 16, START)
    assert source.padding < 0.02


def test_no_sample():
    with user_error("sample", "text"):
        SampleWindows(np.zeros(0), 2, 2, START)


def test_another_seed_is_another_position():
    position = SampleWindows(stream_of([3, 3]), 1, 4, START, seed=1).state_dict()
    with user_error("'seed': 1", "'seed': 2"):
        SampleWindows(stream_of([3, 3]), 1, 4, START, seed=2).load_state_dict(position)
