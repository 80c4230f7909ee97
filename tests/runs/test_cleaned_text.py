"""A prompt, a string to stop at and a text to score are cleaned as the training text was."""

import io
import json
import sys

import pytest
from conftest import train

from rnnscope.analysis.evaluate import score_lines
from rnnscope.config.schema import EvaluateConfig
from rnnscope.runs.load import load


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cleaned")
    text = folder / "text.txt"
    text.write_bytes(("\ufeff" + "One two\r\nthree (laughs) FOUR\r\n" * 60).encode())
    keys = ["dataset.lower_case=true", r'dataset.remove=["\(laughs\) "]']
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNSCOPE_OUTPUTS", str(folder / "outputs"))
        yield train("dataset=text_files", f"dataset.corpus.path={text}", *keys, "monitor.sample_prompt=TWO\r\n").run


TYPED = "\ufeffOne TWO\r\nthree (laughs) four\r\n"
CLEAN = "one two\nthree four\n"


def test_a_prompt_and_a_text_to_score(run):
    loaded = load(str(run.path))
    with pytest.raises(ValueError, match="vocabulary"):
        loaded.sample("€")
    assert "".join(row[0] for row in loaded.stream(TYPED, 40, seed=1)) == "".join(
        row[0] for row in loaded.stream(CLEAN, 40, seed=1)
    )
    assert loaded.score(TYPED) == loaded.score(CLEAN)


def test_a_string_to_stop_at(run):
    loaded = load(str(run.path))
    (text,) = ["".join(row[0] for row in loaded.stream("o", 300, seed=1, temperature=1.0))]
    line = text.split("\n", 1)[0] + "\n"
    stopped = "".join(row[0] for row in loaded.stream("o", 300, seed=1, temperature=1.0, stop="\r\n"))
    assert stopped == line
    letter = text.strip()[-1]
    upper = "".join(row[0] for row in loaded.stream("o", 300, seed=1, temperature=1.0, stop=letter.upper()))
    assert upper == text[: text.index(letter) + 1]


def test_the_prompt_of_a_monitor(run):
    rows = [json.loads(line) for line in (run.path / "samples.jsonl").read_text("utf-8").splitlines()]
    assert rows
    assert rows[0]["prompt"] == "TWO\r\n"  # as typed; cleaned, it has no unknown token


def test_a_line_of_which_nothing_is_left(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\n(laughs) \ntwo\n")))
    rows = [line.split("\t") for line in score_lines(EvaluateConfig(run=str(run.path), text="-", lines=True))]
    assert [(row[1], row[3]) for row in rows] == [("3", "one"), ("0", "(laughs) "), ("3", "two")]
