"""What a text is called, and where it went."""

from pathlib import Path

import pytest
from messages import user_error

from rnnscope.config.compose import compose_train
from rnnscope.config.places import moved_to, text_name
from rnnscope.data.config import CorpusConfig, DatasetConfig


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/home/a/alice.txt", "alice"),
        ("/home/a/The Castle, v2.1.txt.gz", "The Castle, v2.1"),
        ("/home/a/吾輩は猫.md", "吾輩は猫"),
        ("/home/a/books.zip/old/*.txt", "books"),
        ("/home/a/linux-1.0/**/*.[ch]", "linux-1.0"),
        ("/home/a/notes", "notes"),
        ("/home/a/.diary", "diary"),
        ("/home/a/\udcff.txt", "\ufffd"),
        ("/home/a/" + "本" * 80 + ".txt", "本" * 40),
    ],
)
def test_a_text_is_called_after_its_file(path, name):
    assert text_name(DatasetConfig("text_files", CorpusConfig(path))) == name
    assert text_name(DatasetConfig("mine", CorpusConfig(path))) == "mine"


def test_a_folder_keeps_its_dots(tmp_path):
    (tmp_path / "linux-2.txt").mkdir()
    assert text_name(DatasetConfig("text_files", CorpusConfig(str(tmp_path / "linux-2.txt")))) == "linux-2.txt"


def test_files_that_lay_beside_a_text_are_looked_for_beside_it(tmp_path):
    (tmp_path / "val.txt").touch()
    corpus = CorpusConfig("/old/train.txt", "/old/val.txt", "/old/test.txt", url="https://example.org")
    moved = moved_to(corpus, str(tmp_path / "a.txt"))
    assert moved == {
        "dataset.corpus.path": str(tmp_path / "a.txt"),
        "dataset.corpus.url": None,
        "dataset.corpus.val_path": str(tmp_path / "val.txt"),
        "dataset.corpus.val_url": None,
    }
    assert moved_to(corpus, None) == {}


def test_packages_do_not_move(tmp_path: Path):
    with user_error(f"data={tmp_path}", "numpy"):
        moved_to(CorpusConfig(packages=["numpy"]), str(tmp_path))


def test_a_path_replaces_a_text_that_is_in_no_file(story):
    corpus = compose_train(["dataset=hello", f"dataset.corpus.path={story}"]).dataset.corpus
    assert (corpus.path, corpus.inline) == (str(story), None)
    with user_error("dataset.sequence_length", "corpus.copy_lag"):  # its windows are as long as the lag
        compose_train(["dataset=copy_at_lag", f"dataset.corpus.path={story}"])
