"""What a person types as a text, name, column, path or number is what arrives."""

import os
from pathlib import Path

import pytest
from messages import assert_says, error_line, user_error

import rnnscope
from rnnscope.cli import main
from rnnscope.config.changes import parse_changes
from rnnscope.config.compose import compose_train
from rnnscope.config.overrides import overrides_of, protect


@pytest.mark.parametrize(
    "value", ["日本", "My Text (raw)", "1e3", "true", "a=b, [c] {d}", "it's", "'a' and 'b'", "${HOME}", "#1"]
)
@pytest.mark.parametrize("key", ["name", "dataset.corpus.column", "dataset.unk", "monitor.sample_prompt"])
def test_texts_and_names_arrive_as_typed(key: str, value: str) -> None:
    *groups, last = key.split(".")
    typed = [f"{key}={value}"]
    config = compose_train(typed)
    for group in groups:
        config = getattr(config, group)
    assert getattr(config, last) == value
    assert parse_changes(changed(overrides_of("train_from", typed))) == {key: value}


def changed(overrides: list[str]) -> list[str]:
    """Return the list that Hydra makes of `changes=[...]`."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    (override,) = OverridesParser.create().parse_overrides(overrides)
    return list(OmegaConf.create({"HOME": "wrong", "changes": override.value()}).changes)


def test_null_and_quotes_of_hydra_keep_their_meaning() -> None:
    config = compose_train(["name=null", "dataset.corpus.column=null", "dataset.unk='a, b'"])
    assert (config.name, config.dataset.corpus.column, config.dataset.unk) == (None, None, "a, b")


@pytest.mark.parametrize("key", ["text", "dataset.corpus.path", "dataset.corpus.val_path", "dataset.corpus.test_path"])
def test_paths_arrive_as_typed_and_know_the_home_folder(key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ["text=x"] if key.startswith("dataset") and not key.endswith(".path") else []
    corpus = compose_train([*words, f"{key}=~/val (1), b.txt"]).dataset.corpus
    assert getattr(corpus, key.rpartition(".")[2].replace("text", "path")) == str(tmp_path / "val (1), b.txt")


def test_folders_know_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from rnnscope.paths import data_folder, outputs_folder

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", "~/outs")
    assert outputs_folder() == tmp_path / "outs"
    monkeypatch.setenv("RNNSCOPE_DATA", "~/texts")
    assert data_folder() == tmp_path / "texts"
    assert overrides_of("compare", ["folder=~/outs", "filter=~x"]) == [f"folder='{tmp_path}/outs'", "filter='~x'"]


def test_whole_numbers_may_have_an_exponent() -> None:
    typed = ["trainer.max_steps=1e2", "dataset.vocabulary_size=2.5e1", "optimizer.lr=1e2", "seed=3E0"]
    config = compose_train(typed)
    assert (config.trainer.max_steps, config.dataset.vocabulary_size, config.seed) == (100, 25, 3)
    assert config.optimizer.lr == 100.0
    assert overrides_of("sample", ["length=1e3", "temperature=1e0"]) == ["length=1000", "temperature=1e0"]
    assert parse_changes(changed(overrides_of("resume", ["trainer.max_steps=1e4"]))) == {"trainer.max_steps": 10_000}
    assert protect("train", "trainer.max_steps=1e2,2e2,choice(1e3)", sweeps=True) == "trainer.max_steps=100,200,choice(1000)"


@pytest.mark.parametrize("value", ["1.5e0", "1e-2", "0x1e2"])
def test_a_fraction_is_still_not_a_whole_number(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", f"trainer.max_steps={value}"]) == 1
    assert_says(error_line(capsys.readouterr().err), "trainer.max_steps", value, "whole number")


def test_a_sweep_over_texts_is_split_unless_there_is_one_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    key = "dataset.corpus.path"
    assert overrides_of("train", ["-m", "text=a.txt,b (1).txt"])[-1] == f"{key}='a.txt','b (1).txt'"
    assert overrides_of("train", ["text=a.txt,b.txt"])[-1] == f"{key}='a.txt,b.txt'"
    (tmp_path / "a.txt,b.txt").touch()
    assert overrides_of("train", ["-m", "text=a.txt,b.txt"])[-1] == f"{key}='a.txt,b.txt'"
    assert overrides_of("train", ["-m", "name=a,b"])[-1] == "name='a,b'"


def test_python_reads_words_as_the_command_line_does(story: Path, tmp_path: Path, outputs: Path) -> None:
    from conftest import TINY

    book = tmp_path / "my (first) book, a.txt"
    os.link(story, book)
    _, data = rnnscope.compose([*TINY, f"text={book}"])
    assert data.splits["train"].characters
    run = rnnscope.train([*TINY, f"text={book}", "name=日本", "trainer.max_steps=0.2e1"])
    assert run.path.parent.name == "日本"
    task, _ = rnnscope.compose([f"init_from={run.path}", f"text={book}"])  # its model comes along
    assert task.model.head.bias.shape == run.load().model.head.bias.shape
    assert run.resume("trainer.max_steps=0.4e1").record["progress"]["step"] == 4


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("model.hiden_size=3", ["model.hiden_size", "model.hidden_size"]),
        ("model=gruu", ["gruu", "gru"]),
        ("trainer.max_steps=abc", ["trainer.max_steps", "abc", "whole number"]),
        ("+seed=3", ["seed=3"]),
        ("seed", ["key=value"]),
        ("hydra.run.dir=x", ["hydra.run.dir", "name="]),
        ("hydra.sweeper.seconds=3", ["hydra.sweeper.seconds", "-m"]),
        ("-m", ["-m", "command line"]),
        ("sweep=dropout", ["sweep=dropout", "command line"]),
        ("from=latest", ["from=latest", "command line"]),
        ("callbacks=[timer]", ["callbacks", "Trainer"]),
    ],
)
def test_python_refuses_in_one_line_what_the_command_refuses(word: str, parts: list[str]) -> None:
    with user_error(*parts):
        rnnscope.compose([word])


def test_a_sweep_over_texts_and_null(story: Path, outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from conftest import TINY

    monkeypatch.chdir(tmp_path)
    for name in ("a b.txt", "c.txt"):
        os.link(story, tmp_path / name)
    assert main(["train", "-m", "text=a b.txt,c.txt", *TINY, "trainer.clip_norm=choice(null, 1)", "trainer.max_steps=2"]) == 0
    assert len(list(outputs.glob("sweeps/*/*/run.json"))) == 4


@pytest.mark.parametrize("mark", [";", "\\", "|", "\\t", "'", ","])
@pytest.mark.parametrize("key", ["delimiter", "escape"])
def test_marks_of_a_table_arrive_as_typed(key: str, mark: str) -> None:
    assert getattr(compose_train([f"dataset.corpus.{key}={mark}"]).dataset.corpus, key) == mark
    assert getattr(compose_train([f"dataset.corpus.{key}=null"]).dataset.corpus, key) is None


@pytest.mark.parametrize(
    ("command", "words"),
    [("resume", ["data=a", "text=b"]), ("reproduce", ["text=a", "data=b"]), ("train", ["dataset.corpus.path=a", "text=b"])],
)
def test_two_keys_that_mean_the_same(command: str, words: list[str], outputs: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([command, *words]) == 1
    assert_says(error_line(capsys.readouterr().err), *(word.partition("=")[0] for word in words))


def test_a_path_takes_the_place_of_a_download_and_of_packages() -> None:
    corpus = compose_train(["dataset=shakespeare", "dataset.corpus.path=my/hamlet.txt"]).dataset.corpus
    assert (corpus.path, corpus.url, corpus.sha256) == (os.path.abspath("my/hamlet.txt"), None, None)
    corpus = compose_train(["dataset=python_packages", "dataset.corpus.path=x.py"]).dataset.corpus
    assert (corpus.path, corpus.packages) == (os.path.abspath("x.py"), [])
    given = ["dataset.corpus.url=https://example.org/a", "dataset.corpus.sha256=00"]
    corpus = compose_train(["dataset=shakespeare", "dataset.corpus.path=a.txt", *given]).dataset.corpus
    assert (corpus.path, corpus.url, corpus.sha256) == ("a.txt", "https://example.org/a", "00")
    corpus = compose_train(["dataset=wikitext_2", "dataset.corpus.val_path=v.txt"]).dataset.corpus
    assert (corpus.val_path, corpus.val_url) == (os.path.abspath("v.txt"), None)
    assert corpus.url is not None


def test_null_clears_a_text_whose_default_it_is():
    assert overrides_of("sample", ["stop=null", "prompt=null"]) == ["stop=null", "prompt='null'"]
    assert overrides_of("compare", ["html=null", "filter=null"]) == ["html=null", "filter=null"]
