from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clean_texts import clean_text
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import user_error

from rnnscope.data.batches import StreamWindows
from rnnscope.data.config import SplitConfig
from rnnscope.data.splits import check_split, divide, divide_columns


def parts(folder, documents, split, **options) -> dict[str, str]:
    whole = "".join(documents).encode()
    options = {"divided": True, "lines": False} | options
    ranges = divide(clean_text(folder, documents, options.pop("labeled", None)), split, **options)
    return {name: whole[start:end].decode() for name, (start, end) in ranges.items()}


FRACTIONS = {"train": 0.9, "val": 0.1, "test": 0.0}


@given(
    st.text(min_size=20, max_size=100), st.sampled_from([(0.9, 0.1, 0), (0.8, 0.1, 0.1), (0.5, 0.0, 0.5), (0.9, 0.05, None)])
)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_fractions_of_the_characters_of_one_document(tmp_path_factory, text, shares):
    split = dict(zip(("train", "val", "test"), shares, strict=True))
    found = parts(tmp_path_factory.mktemp("text"), [text], split)
    assert found["train"] + found["val"] + found["test"] == text
    assert len(found["train"]) == int(shares[0] * len(text))  # nanoGPT's rule
    assert len(found["train"] + found["val"]) == int(round(shares[0] + shares[1], 9) * len(text))


def test_bytes_and_the_rest(tmp_path):
    text = "a" * 10 + "ééé" + "b" * 20
    found = parts(tmp_path, [text], {"train": 13, "val": 7, "test": None})
    assert found == {"train": "a" * 10 + "é", "val": "éé" + "b" * 4, "test": "b" * 16}
    assert parts(tmp_path, [text], {"train": None, "val": 5, "test": 0})["val"] == "b" * 5


@given(st.lists(st.text(st.sampled_from("aé\n"), min_size=1, max_size=30), min_size=2, max_size=12))
@settings(max_examples=80, derandomize=True, deadline=None)
def test_documents_are_not_cut(tmp_path_factory, documents):
    found = parts(tmp_path_factory.mktemp("text"), documents, FRACTIONS)
    ends = np.cumsum(list(map(len, documents)))
    assert found["train"] + found["val"] == "".join(documents)
    assert len(found["train"]) in ends[:-1]
    wanted = 0.9 * ends[-1]
    assert abs(len(found["train"]) - int(wanted)) == min(abs(ends[:-1] - int(wanted)))


def test_three_parts_of_documents(tmp_path):
    documents = [f"{i:09}\n" for i in range(10)]
    found = parts(tmp_path, documents, {"train": 0.8, "val": 0.1, "test": 0.1})
    assert [len(found[name]) for name in ("train", "val", "test")] == [80, 10, 10]


def test_three_small_shares_have_a_document_each(tmp_path):
    found = parts(tmp_path, [f"{i:09}\n" for i in range(12)], {"train": 0.98, "val": 0.01, "test": 0.01})
    assert [len(found[name]) for name in ("train", "val", "test")] == [100, 10, 10]


def test_an_own_file_without_text_is_named(tmp_path):
    with user_error("dataset.corpus.val_path", "val", "text"):
        parts(tmp_path, ["aa", "b"], FRACTIONS, divided=False, labeled={"train": 2, "val": 0})


def test_lines_are_not_cut(tmp_path):
    text = "".join(f"{'x' * (i % 7)}\n" for i in range(50))
    found = parts(tmp_path, [text], FRACTIONS, lines=True)
    assert found["train"].endswith("\n")
    assert found["train"] + found["val"] == text
    assert 0 <= len(found["train"]) - 0.9 * len(text) < 8


def test_files_of_their_own_are_taken_whole(tmp_path):
    found = parts(tmp_path, ["aa", "b", "c"], FRACTIONS, divided=False, labeled={"train": 2, "val": 1})
    assert found == {"train": "aab", "val": "c", "test": ""}


@pytest.mark.parametrize(
    ("documents", "split", "name"),
    [
        (["abc"], {"train": 0.1, "val": 0.9, "test": 0}, "train"),
        (["abcde", "f"], {"train": 0.5, "val": 0.2, "test": 0.3}, "val"),
        (["abc"], {"train": None, "val": 3, "test": 0}, "train"),
    ],
)
def test_a_split_without_a_token(tmp_path, documents, split, name):
    with user_error(name, len("".join(documents)), len(documents), "dataset.split"):
        parts(tmp_path, documents, split)


def test_a_last_line_that_is_longer_than_val_is_cut(tmp_path):
    found = parts(tmp_path, ["a\n" + "b" * 98], FRACTIONS, lines=True)
    assert found == {"train": "a\n" + "b" * 88, "val": "b" * 10, "test": ""}


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ({"train": 0.9, "val": 0.2, "test": 0.0}, ["fractions", 1, "null"]),
        ({"train": 1000, "val": 0.1, "test": None}, ["fractions", 0, 1, "bytes", "null"]),
        ({"train": 1000, "val": 100, "test": 0}, ["fractions", 1, "null"]),
    ],
)
def test_bad_splits(split, words):
    found = [f"{name}: {share}" for name, share in split.items() if share is not None]
    with user_error("dataset.split", *found, *words):
        check_split(split)


def columns(folder: Path, text: str, **split: Any) -> dict[str, str]:
    found, ranges = divide_columns(clean_text(folder, [text]), SplitConfig(**split), folder / "columns")
    assert len(found.ends) == 1
    assert found.characters == len(text)
    return {name: "".join(found.blocks(start, end)) for name, (start, end) in ranges.items()}


def test_each_column_is_divided(tmp_path):
    text = "abcdefghij" + "ABCDEFGHIJ" + "0123456789" + "é"  # 31 characters in 3 columns of 11, 10, 10
    found = columns(tmp_path, text, train=0.8, val=0.2, test=0.0, columns=3)
    assert found == {"train": text[:8] + text[11:19] + text[21:29], "val": text[8:11] + text[19:21] + text[29:], "test": ""}


def test_windows_cut_the_splits_where_the_columns_were(tmp_path):
    """As char-rnn does: the last part of each of the columns that training reads."""
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 457)))
    found = columns(tmp_path, text, train=0.7, val=0.2, test=0.1, columns=4)
    assert sorted("".join(found.values())) == sorted(text)
    for name, first in (("train", 0), ("val", 79), ("test", 102)):  # int(0.7 * 114), int(0.9 * 114)
        ids = np.array([0, *map(ord, found[name])])
        targets = np.concatenate([window.targets.numpy() for window in StreamWindows(ids, 4, 1000)], 1)
        starts = [0, 115, 229, 343]  # 457 = 115 + 3 * 114
        assert [chr(row[0]) for row in targets] == [text[start + first] for start in starts]


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ({"train": 0.8, "val": None, "test": 0.0}, ("abcdefghABCDEFGH01234567", "ijIJ89", "")),
        ({"train": None, "val": 0.2, "test": None}, None),
        ({"train": 0.8, "val": 0.0, "test": 0.2}, ("abcdefghABCDEFGH01234567", "", "ijIJ89")),
        ({"train": 1.0, "val": 0.0, "test": 0.0}, ("abcdefghijABCDEFGHIJ0123456789", "", "")),
    ],
)
def test_columns_with_a_rest_and_without_a_split(tmp_path, split, expected):
    if expected is None:
        with user_error("dataset.split", "one must be null"):
            columns(tmp_path, "abcdefghijABCDEFGHIJ0123456789", **split, columns=3)
    else:
        found = columns(tmp_path, "abcdefghijABCDEFGHIJ0123456789", **split, columns=3)
        assert tuple(found[name] for name in ("train", "val", "test")) == expected


def test_columns_that_cannot_be(tmp_path):
    with user_error("dataset.split.columns=30", "fewer columns"):
        columns(tmp_path, "a" * 40, train=0.9, val=0.1, test=0.0, columns=30)
    with user_error("dataset.split.columns=2", "fractions"):
        columns(tmp_path, "a" * 40, train=30, val=10, test=None, columns=2)


def test_a_share_that_is_not_a_number():
    with user_error("dataset.split", "test: nan"):
        check_split({"train": 0.9, "val": 0.1, "test": float("nan")})
