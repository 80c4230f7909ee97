"""The bench of texts: what it measures is the real pipeline, on real texts where there are some."""

import re
from pathlib import Path

import pytest
from messages import assert_says

from rnnscope.bench import text as bench_text

SMALL = {"char": 0.02, "byte": 0.02, "word": 0.01}


@pytest.mark.parametrize("texts", [True, False])
def test_a_line_for_each_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: bool) -> None:
    monkeypatch.delenv("RNNSCOPE_DATA", raising=False)
    if texts:
        (tmp_path / "good.txt").write_text("Some line. Another one.\nAnd more.\n" * 9, encoding="utf-8")
        (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\xff")
        monkeypatch.setenv("RNNSCOPE_DATA", str(tmp_path))
    lines = list(bench_text.encoding_lines(SMALL, sentences=0.002))
    assert all(re.search(r" [\d.,]+ MB/s ", line) for line in lines)
    assert ("RNNSCOPE_DATA" in lines[0]) == texts
    for line, stage in zip(lines, ["count", "chars", "bytes", "words", "sentences"], strict=True):
        assert_says(line, stage)


def test_the_text_is_the_lines_again_and_again() -> None:
    text = bench_text.shuffled_text(["one\n", "two\n", "three\n"], 140)
    assert len(text) == 140
    assert [sorted(text.split("\n")[i : i + 3]) for i in (0, 3)] == [["one", "three", "two"]] * 2


def test_each_turn_encodes_anew(tmp_path: Path) -> None:
    megabytes, seconds = bench_text.timed_encoding("word", "some words to read\n" * 50, tmp_path)
    assert megabytes == 950 / 1e6
    assert seconds > 0
    assert len(list(tmp_path.glob("*/streams/*/train.ids"))) == bench_text.TURNS
