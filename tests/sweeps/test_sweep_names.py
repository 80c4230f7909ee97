"""Jobs are named by what they are: the same values give the same name, others another, and any file system takes it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnscope.sweeps.names import LENGTH, job_name, short_keys, sweep_name

LR = {"optimizer.lr": 1e-3}


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"model": "lstm", "optimizer.lr": 1e-3}, "model-lstm_lr-0.001"),
        ({"optimizer.lr": 0.001, "model": "lstm"}, "model-lstm_lr-0.001"),
        ({"optimizer.lr": 1e-5, "model.hidden_size": 512}, "hidden_size-512_lr-1e-05"),
        ({"optimizer.lr": 1e30}, "lr-1e30"),
        ({"model.dropout": 0.0}, "dropout-0"),
        ({"model.tied_weights": True, "trainer.patience": None}, "tied_weights-true_patience-null"),
        ({"dataset": "tiny_shakespeare"}, "dataset-tiny_shakespeare"),
        ({"seed": -1}, "seed--1"),
        ({"optimizer.lr": 0.00123456789}, "lr-0.00123_"),
        ({"schedule.rates": {"0": 0.1, "4000": 0.01}}, "rates-0-0.1-4000-0.01_"),
        ({"dataset.corpus.path": "a book (1).txt"}, "path-a-book-1-.txt_"),
        ({"monitor.sample_prompt": "日本"}, "sample_prompt_"),
    ],
)
def test_names(values, name):
    found = job_name(values, values)
    assert found == name or (name.endswith("_") and re.fullmatch(re.escape(name) + "[0-9a-f]{8}", found))


def test_a_long_name_is_cut_and_hashed():
    values = {f"dataset.key_number_{index}": "x" * 20 for index in range(5)}
    other = {**values, "dataset.key_number_4": "y" * 20}
    names = {job_name(found, values) for found in (values, other)}
    assert len(names) == 2
    assert all(len(name) <= LENGTH for name in names)


def test_keys_are_called_by_their_last_part_and_more_where_two_share_it():
    assert short_keys(["model", "optimizer.lr"]) == {"model": "model", "optimizer.lr": "lr"}
    keys = ["model.dropout", "other.dropout", "a.b.x", "c.b.x"]
    assert list(short_keys(keys).values()) == ["model.dropout", "other.dropout", "a.b.x", "c.b.x"]
    assert short_keys(["name", "dataset.name"]) == {"name": "name", "dataset.name": "dataset.name"}


def test_the_order_of_the_command_line_changes_no_name():
    assert sweep_name(["optimizer.lr", "model"]) == sweep_name(["model", "optimizer.lr"]) == "model_lr"


VALUES = st.one_of(st.text(max_size=12), st.sampled_from(["1", "1_b-2", "a-b", "_", "-"]))


@given(st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=6, unique=True))
def test_different_texts_never_share_a_name(pairs):
    names = [job_name({"x.a": one, "x.b": two}, ["x.a", "x.b"]) for one, two in pairs]
    assert len(set(names)) == len(pairs)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,80}", name) for name in names)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=8, unique=True))
def test_different_numbers_never_share_a_name(numbers):
    numbers = [number for number in numbers if number != 0] + [0.0]
    assert len({job_name({"optimizer.lr": number}, LR) for number in numbers}) == len(numbers)
