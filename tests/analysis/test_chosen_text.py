"""The text that a page examines is what the network reads: the tokens of a split, and a file as it is."""

from pathlib import Path

import numpy as np
import pytest
from conftest import train
from messages import user_error

from rnnscope.analysis.chosen_text import choose_text
from rnnscope.analysis.own_data import own_stream
from rnnscope.analysis.reading import Reading
from rnnscope.runs.load import LoadedRun, load

LINES = "".join(f"word{number % 7} and rare{number}\r\n" for number in range(300))


@pytest.fixture
def run(tmp_path: Path, outputs: Path) -> LoadedRun:
    (tmp_path / "lines.txt").write_bytes(LINES.encode())
    words = ["dataset.level=word", "dataset.vocabulary_size=14", "dataset.newline=keep", "trainer.max_steps=2"]
    return load(str(train("dataset=text_files", f"dataset.corpus.path={tmp_path / 'lines.txt'}", *words).run.path))


def test_a_split_is_read_as_it_was_encoded(run: LoadedRun) -> None:
    stream, chosen = own_stream(run, "val"), choose_text(run, None, "val", None, 200)
    assert isinstance(chosen.text, np.ndarray)
    assert chosen.text.tolist() == stream[: len(chosen.text)].tolist()
    assert (chosen.text == run.vocabulary.unk).sum() > 5
    assert chosen.characters <= 200
    assert chosen.cut
    assert Reading(run, chosen.text).ids.tolist() == chosen.text[1:].tolist()
    whole = choose_text(run, None, "val", None, 10**6)
    assert (len(whole.text), whole.cut) == (len(stream), False)


def test_ids_are_read_as_the_text_they_belong_to(run: LoadedRun) -> None:
    text = "word1 and word2"
    ids = np.insert(run.ids(text), 0, run.vocabulary.start)
    np.testing.assert_array_equal(run.probabilities(ids), run.probabilities(text))
    for name, values in run.states(text).items():
        np.testing.assert_array_equal(run.states(ids)[name], values)
    for wrong in (ids + 14, ids * 1.0, ids[None], ids[:0]):
        with user_error("ids", 0, 13):
            run.states(wrong)


def test_a_file_keeps_the_line_ends_that_training_kept(run: LoadedRun, tmp_path: Path) -> None:
    (tmp_path / "some.txt").write_bytes(LINES[:100].encode())
    chosen = choose_text(run, str(tmp_path / "some.txt"), "val", None, 1000)
    assert chosen.text == LINES[:100]
    assert not chosen.cut


def test_a_text_that_begins_like_the_home_of_nobody(run: LoadedRun) -> None:
    assert choose_text(run, "~nobody and word1", "val", None, 100).text == "~nobody and word1"


def test_bytes_that_are_not_valid_are_read_as_in_training(run: LoadedRun, tmp_path: Path, outputs: Path) -> None:
    content = b"word1 \xff and word2\r\n" * 20
    (tmp_path / "bytes.txt").write_bytes(content)
    run.config["dataset"]["encoding_errors"] = "replace"
    chosen = choose_text(run, str(tmp_path / "bytes.txt"), "val", None, 30)
    assert chosen.text == content.decode(errors="replace")[:30]
    words = ["dataset.level=byte", "dataset.newline=keep", "trainer.max_steps=2"]
    raw = load(str(train("dataset=text_files", f"dataset.corpus.path={tmp_path / 'bytes.txt'}", *words).run.path))
    chosen = choose_text(raw, str(tmp_path / "bytes.txt"), "val", None, 30)
    assert bytes(Reading(raw, chosen.text).ids.tolist()) == content[:30]


def test_a_file_in_another_encoding_is_refused(run: LoadedRun, tmp_path: Path) -> None:
    (tmp_path / "utf8.txt").write_text("some words", encoding="utf-8")
    run.config["dataset"]["encoding"] = "utf-16"
    with user_error(tmp_path / "utf8.txt", "utf-16", "save it as"):
        choose_text(run, str(tmp_path / "utf8.txt"), "val", None, 100)
