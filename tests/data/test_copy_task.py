import re
from collections import Counter

import pytest
from messages import user_error

from rnnscope.data.config import CorpusConfig, DatasetConfig, SplitConfig
from rnnscope.data.copy_task import copy_task
from rnnscope.data.module import TextData


def made(folder, windows: int = 4, **corpus) -> TextData:
    corpus = CorpusConfig(lines=True, separator="", **corpus)
    config = DatasetConfig(corpus=corpus, windows="many_to_one", sequence_length=windows, split=SplitConfig(0.7, 0.3))
    return TextData.from_config(config, cache_dir=folder / "cache").prepare()


@pytest.mark.parametrize("lag", [1, 5, 100])
def test_a_capital_its_lag_and_its_copy(lag):
    lines = copy_task(lag, 4000, seed=1).decode().splitlines()
    assert len(lines) == 4000
    assert all(re.fullmatch(rf"([A-H])[a-h]{{{lag - 1}}}\1", line) for line in lines)
    counts = Counter(line[0] for line in lines)
    assert len(counts) == 8
    assert 400 < min(counts.values()) <= max(counts.values()) < 600


def test_the_text_is_the_seed_s():
    assert copy_task(5, 3, 1) == b"HghdgH\nCaefcC\nBfeadB\n"  # as in every version
    assert copy_task(5, 3, 2) != copy_task(5, 3, 1)


def test_every_window_ends_before_the_copy_of_its_first_letter(tmp_path):
    """Whatever the shares of the splits: they are cut between copies."""
    data = made(tmp_path, copy_lag=4, copies=333)
    seen = Counter()
    for split, windows in (("train", data.train_windows(endless=False)), ("val", data.windows("val"))):
        for window in windows:
            real = window.targets[:, -1] >= 0
            assert (window.inputs[real, 0] == window.targets[real, -1]).all()
            seen[split] += window.count
    assert sum(seen.values()) == 333


def test_a_text_that_was_damaged_is_made_again(tmp_path):
    first = made(tmp_path, copy_lag=4, copies=50)
    (file,) = (tmp_path / "cache" / "made").iterdir()
    file.write_text("no copies here\n" * 50)
    assert made(tmp_path, copy_lag=4, copies=50).fingerprint == first.fingerprint
    assert made(tmp_path, copy_lag=4, copies=50, copy_seed=2).fingerprint["text"] != first.fingerprint["text"]


@pytest.mark.parametrize("numbers", [{"copy_lag": 0}, {"copy_lag": 3, "copies": 0}, {"copy_lag": 10**6, "copies": 10**6}])
def test_numbers_without_meaning(tmp_path, numbers):
    with user_error(*[part for key, value in numbers.items() for part in (f"dataset.corpus.{key}", value)]):
        made(tmp_path, **numbers)
