"""A run's own text: the same one from every folder, in every command, or none."""

import shutil
from pathlib import Path

import pytest
import yaml
from conftest import TINY
from messages import assert_says, error_line

from rnnscope.cli import main


@pytest.fixture
def moved(story: Path, outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run whose text, typed as `texts/*.txt`, was here/texts/*.txt; elsewhere/texts has another."""
    for name, lines in {"here": "", "elsewhere": "This is another text. "}.items():
        (tmp_path / name / "texts").mkdir(parents=True)
        text = story.read_text(encoding="utf-8")
        (tmp_path / name / "texts" / "a.txt").write_text(text + lines * 20, encoding="utf-8")
    shutil.copy(story, tmp_path / "kept.txt")
    monkeypatch.chdir(tmp_path / "here")
    assert main(["train", "text=texts/*.txt", *TINY, "name=own"]) == 0
    monkeypatch.chdir(tmp_path / "elsewhere")
    (run,) = outputs.glob("runs/own/*")
    return run


COMMANDS = {
    "resume": ["run=own", "trainer.max_steps=35"],
    "reproduce": ["run=own", "until=10"],
    "evaluate": ["run=own"],
    "train": ["from=own", "seed=2"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_found_from_any_folder_and_only_it_is_taken(
    command: str, moved: Path, tmp_path: Path, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> int:
        return main([command, *COMMANDS[command], *words, *(["trainer.max_steps=36"] if command == "resume" else [])])

    assert main([command, *COMMANDS[command]]) == 0
    (tmp_path / "here" / "texts").rename(tmp_path / "here" / "archive")
    before = sorted(outputs.glob("runs/*/*"))
    capsys.readouterr()
    assert run() == 1
    assert_says(error_line(capsys.readouterr().err), tmp_path / "here" / "texts" / "*.txt", "data=...")
    assert run("data=texts") == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert_says(message, "the text itself", tmp_path / "elsewhere" / "texts", "data=...")
    assert sorted(outputs.glob("runs/*/*")) == before
    assert run("data=../kept.txt") == 0


def test_another_text_is_taken_where_it_is_asked_for(moved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "from=own", "text=texts/a.txt", "name=other"]) == 0
    assert main(["evaluate", "run=own", "text=texts/a.txt"]) == 0
    (other,) = moved.parents[1].glob("other/*/config.yaml")
    corpus = yaml.safe_load(other.read_text(encoding="utf-8"))["dataset"]["corpus"]
    assert corpus["path"] == str(tmp_path / "elsewhere" / "texts" / "a.txt")


def test_a_run_with_a_relative_path_goes_on_where_it_was(moved: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As older versions recorded it."""

    config = yaml.safe_load((moved / "config.yaml").read_text(encoding="utf-8"))
    config["dataset"]["corpus"]["path"] = "texts/*.txt"
    (moved / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert main(["evaluate", "run=own"]) == 1
    monkeypatch.chdir(tmp_path / "here")
    assert main(["evaluate", "run=own"]) == 0
    assert main(["train", "from=own", "seed=3", "name=young"]) == 0
    (young,) = moved.parents[1].glob("young/*/config.yaml")
    assert str(tmp_path / "here" / "texts") in young.read_text(encoding="utf-8")


def test_a_name_under_the_data_folder_stays_a_name(
    story: Path, outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RNNSCOPE_DATA", str(story.parent))
    monkeypatch.chdir(tmp_path)
    assert main(["train", f"text={story.name}", *TINY, "trainer.max_steps=2"]) == 0
    (config,) = outputs.glob("runs/*/*/config.yaml")
    assert yaml.safe_load(config.read_text(encoding="utf-8"))["dataset"]["corpus"]["path"] == story.name


def test_patterns_hold_in_a_glob_wherever_it_was_typed(
    story: Path, outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("books/old/a.txt", "books/new/b.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copy(story, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    words = ["text=books/**/*.txt", "dataset.corpus.exclude=[books/old/*]", *TINY, "trainer.max_steps=2"]
    assert main(["train", *words]) == 0
    assert "text: 1 file," in capsys.readouterr().out
    monkeypatch.chdir(outputs)
    assert main(["evaluate"]) == 0
