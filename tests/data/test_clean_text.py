import tracemalloc

import numpy as np
import pytest
from clean_texts import clean_text
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import counted, user_error

from rnnscope.data import clean_text as text_module
from rnnscope.data.clean_text import CleanText, shuffled, write_text
from rnnscope.data.cleaning import Cleaner
from rnnscope.data.config import CorpusConfig, DatasetConfig
from rnnscope.data.corpus import Corpus


def write(folder, files: dict[str, str], *, separate=True, **corpus) -> CleanText:
    source = folder / "source"
    source.mkdir(exist_ok=True)
    for name, text in files.items():
        (source / name).write_bytes(text.encode())
    config = DatasetConfig(corpus=CorpusConfig(str(source), **corpus), start_end=None if separate else "document")
    corpus = Corpus(config.corpus, folder / "cache", print)
    cleaner = Cleaner(config)
    found = write_text(config, corpus, corpus.find(), cleaner, folder / "text")
    write.changes = {key: count for key, count in cleaner.changes.items() if count}
    return found


def documents(text: CleanText) -> list[str]:
    return ["".join(document) for document in text.documents(0, int(text.ends[-1]))]


def test_documents_one_after_the_other(tmp_path):
    text = write(tmp_path, {"a": "one\n", "b": "", "c": "zwölf"}, separate=False)
    assert text.path.read_text("utf-8") == "one\nzwölf"
    assert text.ends.tolist() == [4, 10]
    assert text.characters == 9
    assert documents(text) == ["one\n", "zwölf"]
    assert (len(write.changes), counted(write.changes, "empty", "documents")) == (1, 1)


def test_separators_stand_between_documents_only(tmp_path):
    text = write(tmp_path, {"a": "one", "b": "", "c": "zwölf"}, separator=" é ")
    assert documents(text) == ["one é ", "zwölf"]
    assert text.characters == 11
    assert text.count(0, int(text.ends[-1])) == 11


@given(st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=4), st.integers(1, 9), st.data())
@settings(max_examples=60, derandomize=True, deadline=None)
def test_reading_any_part_in_blocks(tmp_path_factory, documents, block, data):
    folder = tmp_path_factory.mktemp("text")
    text = clean_text(folder, documents)
    content = "".join(documents)
    first = data.draw(st.integers(0, len(content)))
    last = data.draw(st.integers(first, len(content)))
    saved, text_module.BLOCK = text_module.BLOCK, block
    try:
        span = [text.byte_of_character(character) for character in (first, last)]
        assert span == [len(content[:character].encode()) for character in (first, last)]
        assert "".join(text.blocks(*span)) == content[first:last]
        assert text.count(*span) == last - first
    finally:
        text_module.BLOCK = saved


def test_marks_are_right_inside_a_long_document(tmp_path):
    content = "naïve line\n" * 300_000
    text = write(tmp_path, {"a": content})
    assert text.marks.shape[1] > 3
    at = text.byte_of_character(1_234_567)
    assert at == len(content[:1_234_567].encode())
    assert text.count(0, at) == 1_234_567
    assert text.count(at, int(text.ends[-1])) == len(content) - 1_234_567


def test_the_start_of_the_next_line(tmp_path):
    text = write(tmp_path, {"a": "one\ntwo\n\nthree"})
    assert [text.after_line(position) for position in (0, 1, 4, 5, 8, 9, 10)] == [0, 4, 4, 8, 8, 9, 14]


def test_shuffling_keeps_documents_and_separators(tmp_path):
    names = [f"näme {i}" for i in range(20)]
    text = write(tmp_path, {"a": "\n".join(names)}, lines=True, separator="--")
    new = shuffled(text, "--", tmp_path / "shuffled")
    found = documents(new)
    assert sorted(document.removesuffix("--") for document in found) == sorted(names)
    assert [document.endswith("--") for document in found] == [True] * 19 + [False]
    assert found != documents(write(tmp_path, {"a": "\n".join(names)}, lines=True, separator="--"))
    assert new.characters == sum(map(len, found))
    assert new.ends.tolist() == np.cumsum([len(document.encode()) for document in found]).tolist()
    assert not text.path.exists() or text.path != new.path


def test_shuffling_millions_of_documents_takes_a_few_bytes_for_each(tmp_path):
    documents = 60_000
    text = write(tmp_path, {"a": "".join(f"{i:099}\n" for i in range(documents))}, lines=True)
    tracemalloc.start()
    try:
        shuffled(text, "", tmp_path / "shuffled")
        assert tracemalloc.get_traced_memory()[1] < 20 * documents + 1_100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("content", ["", " \n\t \n", "\ufeff"])
def test_a_text_of_nothing(tmp_path, content):
    with user_error(tmp_path / "source/a", "white space"):
        write(tmp_path, {"a": content})


def test_a_column_of_nothing(tmp_path):
    with user_error(tmp_path / "source/a.csv", "column", "body", "no text"):
        write(tmp_path, {"a.csv": "id,body\n1,\n2,\n"}, column="body")


def test_files_of_nothing(tmp_path):
    with user_error(tmp_path / "source/a", "white space"):
        write(tmp_path, {"a": "", "b": "\n"})


def test_lines_and_rows_of_white_space_are_left_out_unless_the_run_is_older(tmp_path):
    files = {"a": "emma\n \t\n\nava\n\u3000\n"}
    assert documents(write(tmp_path, files, lines=True, reader_version=2)) == ["emma\n", "ava"]
    assert counted(write.changes, "white space", "left out") == 3
    assert documents(write(tmp_path, files, lines=True)) == ["emma\n", " \t\n", "ava\n", "\u3000"]
    rows = {"a": 'id,text\n1,"  \n "\n2,ava\n3, \n'}
    assert documents(write(tmp_path, rows, column="text", reader_version=2)) == ["ava"]
    assert counted(write.changes, "white space", "left out") == 2
    assert documents(write(tmp_path, {"a": " \n", "b": "text"}, reader_version=2)) == [" \n\n", "text"]
