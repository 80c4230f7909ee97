from itertools import islice

import numpy as np
import pytest
from messages import assert_says, user_error

from rnnscope.data import module
from rnnscope.data.batches import IGNORE
from rnnscope.data.config import CorpusConfig, DatasetConfig
from rnnscope.data.module import TextData, check_length
from rnnscope.data.sample_windows import SampleWindows, find_pools
from rnnscope.errors import UserError

CONTENT = "".join(f"line {i} of a text\n" for i in range(300))


def data(folder, content: str = CONTENT, **keys) -> TextData:
    (folder / "text.txt").write_text(content)
    options = {"vocabulary": keys.pop("vocabulary")} if "vocabulary" in keys else {}
    config = DatasetConfig(corpus=CorpusConfig(str(folder / "text.txt")), **keys)
    return TextData.from_config(config, cache_dir=folder / "cache", **options)


def test_prepared_once(tmp_path):
    text = data(tmp_path)
    assert text.prepare() is text
    prepared = text.text
    text.setup("fit")
    assert text.text is prepared
    assert set(text.fingerprint) == {"text", "settings", "vocabulary", "streams"}
    assert text.vocabulary.decode(text.stream("train")[1:]) == CONTENT[: text.splits["train"].characters]


def test_training_never_ends(tmp_path):
    text = data(tmp_path, batch_size=4, sequence_length=16).prepare()
    loader = text.train_windows()
    windows = list(islice(loader, 2 * loader.windows_per_epoch + 1))
    assert [window.epoch for window in windows[:: loader.windows_per_epoch]] == [0, 1, 2]
    epoch = windows[: loader.windows_per_epoch]
    assert sum(window.count for window in epoch) == text.splits["train"].tokens


def test_a_loader_yields_an_epoch_at_a_time(tmp_path):
    text = data(tmp_path, windows="samples", start_end="line", batch_size=4, sequence_length=16).prepare()
    loader = text.train_dataloader()
    found = [window for _ in range(2) for window in loader]
    endless = islice(text.train_windows(), 2 * len(loader))
    assert [window.epoch for window in found] == [0] * len(loader) + [1] * len(loader)
    assert all((window.inputs == other.inputs).all() for window, other in zip(found, endless, strict=True))
    assert text.test_dataloader() == []


@pytest.mark.parametrize("start_end", [None, "line"])
def test_evaluation_sees_every_token_once_and_start_never_as_a_target(tmp_path, start_end):
    text = data(tmp_path, start_end=start_end).prepare()
    targets = np.concatenate([window.targets.flatten() for window in text.windows("val")])
    targets = targets[targets != IGNORE]
    stream = text.stream("val")[1:]
    kept = stream if start_end is None else stream[stream != text.vocabulary.start]
    assert len(targets) == text.splits["val"].tokens
    assert sorted(targets.tolist()) == sorted(kept.tolist())


def test_evaluation_has_its_own_sizes(tmp_path):
    text = data(tmp_path, val_batch_size=3).prepare()
    assert next(iter(text.windows("val"))).inputs.shape == (3, 64)


def test_samples(tmp_path):
    text = data(tmp_path, windows="samples", start_end="line", sequence_length=32, batch_size=8).prepare()
    loader = text.train_dataloader()
    assert isinstance(loader, SampleWindows)
    assert_says(text.report[-1], text.splits["train"].units, "train", f"{100 * loader.padding:.1f} %", 0, "sequence_length")
    assert sum(window.count for window in text.windows("val")) == text.splits["val"].tokens


def test_samples_are_looked_for_once(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(module, "find_pools", lambda stream, start: calls.append(len(stream)) or find_pools(stream, start))
    text = data(tmp_path, windows="samples", start_end="line", sequence_length=32, batch_size=8).prepare()
    for _ in range(2):
        assert text.report
        text.train_windows()
        text.windows("val")
    assert calls == [text.splits[split].ids for split in ("train", "val")]


def test_a_frozen_vocabulary(tmp_path):
    vocabulary = data(tmp_path).prepare().vocabulary
    assert data(tmp_path, vocabulary=vocabulary).prepare().vocabulary is vocabulary


def test_a_text_too_short_says_what_would_fit(tmp_path):
    fits = ("dataset.batch_size=8", "dataset.sequence_length=37")
    with user_error("train", 297, "dataset.batch_size", 32, "dataset.sequence_length", 64, "2,048", *fits):
        data(tmp_path, "some words and some more of them\n" * 10).prepare().train_windows()
    data(tmp_path, "some words and some more of them\n" * 10, batch_size=8, sequence_length=37).prepare().train_windows()


@pytest.mark.parametrize(("tokens", "batch", "length"), [(1, 5, 9), (7, 8, 1), (100, 200, 3), (63, 8, 8), (5, 1, 9)])
def test_what_is_said_to_fit_fits(tokens, batch, length):
    import re

    with pytest.raises(UserError) as error:
        check_length(tokens, batch, length)
    columns, steps = (
        int(re.findall(rf"dataset.{key}=(\d+)", str(error.value))[0]) for key in ("batch_size", "sequence_length")
    )
    assert 1 <= columns <= batch
    assert 1 <= steps <= length
    check_length(tokens, columns, steps)


@pytest.mark.parametrize("key", ["batch_size", "sequence_length", "val_batch_size"])
def test_bad_sizes(tmp_path, key):
    with user_error(f"dataset.{key}", 0, 1):
        data(tmp_path, **{key: 0})


def test_a_split_that_is_not_there(tmp_path):
    with user_error("test", "token", "dataset.split"):
        data(tmp_path).prepare().windows("test")
