"""The runs that come with the package can be used at once, from any folder."""

import pytest

import rnnscope
from rnnscope.cli import main
from rnnscope.paths import example_run


def test_the_example_writes_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(tmp_path / "outputs"))
    assert main(["sample", "run=examples/shakespeare", "length=200", "temperature=0.5", "seed=1"]) == 0
    text = capsys.readouterr().out
    assert len(text) == 201
    run = rnnscope.load("examples/shakespeare")
    assert run.score("KING HENRY:\nWhat is the matter, my good lord?\n").bits_per_character < 2.5
    assert not list(tmp_path.iterdir()), "using it leaves nothing"


@pytest.mark.parametrize(("name", "text"), [("shakespeare", "tiny_shakespeare.txt"), ("penn", "ptb_train.txt")])
def test_each_example_is_small_and_names_no_place(name, text):
    folder = example_run(f"examples/{name}")
    assert folder is not None
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2e6
    assert f"path: {text}" in (folder / "config.yaml").read_text(encoding="utf-8")


def test_words_are_written_sentence_by_sentence():
    sentences = rnnscope.load("examples/penn").sample(length=200, temperature=0.7, seed=5).split("\n")
    assert all(1 < len(sentence.split()) < 200 for sentence in sentences if sentence)


def test_words_outside_the_vocabulary_are_counted():
    score = rnnscope.load("examples/penn").score("the zyzzyva rose and the quokka fell\n")
    assert (score.unknown, score.tokens) == (2, 8)  # seven words and the end of the sentence


def test_what_is_no_example():
    assert example_run("examples/none") is example_run("../examples/shakespeare") is None
