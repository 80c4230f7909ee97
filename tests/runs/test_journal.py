"""Rows are whole lines at full precision, and are cut back to what a checkpoint counts on."""

import math
from pathlib import Path

import pytest
from messages import user_error

from rnnscope.errors import UserError
from rnnscope.runs.journal import CsvJournal, JsonJournal, read_curve, read_rows, whole_lines


def test_numbers_read_back_to_the_bit(tmp_path: Path) -> None:
    values = [0.1, 1 / 3, 5e-324, -0.0, math.pi * 1e200, float("inf")]
    journal = CsvJournal(tmp_path / "metrics.csv", ["step", "loss"])
    for step, value in enumerate(values):
        journal.append({"step": step, "loss": value})
    journal.append({"step": 6})
    journal.close()
    rows = list(read_rows(tmp_path / "metrics.csv"))
    assert [float(row["loss"]).hex() for row in rows[:6]] == [value.hex() for value in values]
    assert rows[6] == {"step": "6", "loss": ""}


def test_truncating_and_going_on_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, rows in {"whole": [1, 2, 3], "broken": [1, 2, 9, 9, 9]}.items():
        journal = JsonJournal(tmp_path / name)
        offsets = []
        for row in rows:
            journal.append({"step": row, "text": "ä\n"})
            offsets.append(journal.offset)
        journal.close()
    with (tmp_path / "broken").open("ab") as file:
        file.write(b'{"step": 9, "te')
    journal = JsonJournal(tmp_path / "broken")
    journal.truncate(offsets[1])
    journal.append({"step": 3, "text": "ä\n"})
    journal.sync()
    journal.close()
    assert (tmp_path / "broken").read_bytes() == (tmp_path / "whole").read_bytes()


def test_reopening_writes_no_second_header(tmp_path: Path) -> None:
    for step in (1, 2):
        journal = CsvJournal(tmp_path / "metrics.csv", ["step"])
        journal.append({"step": step})
        journal.close()
    assert (tmp_path / "metrics.csv").read_text(encoding="utf-8") == "step\n1\n2\n"


def test_a_file_that_lost_rows_is_refused(tmp_path: Path) -> None:
    journal = JsonJournal(tmp_path / "samples.jsonl")
    for offset in (1, -1):
        with user_error(tmp_path / "samples.jsonl", "changed"):
            journal.truncate(offset)
    journal.close()


def test_a_file_that_was_saved_with_different_line_ends_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(b"step,loss\r\n1,0.5\r\n2,0.25\r\n")
    journal = CsvJournal(path, ["step", "loss"])
    with user_error(path, "changed"):
        journal.truncate(len("step,loss\n1,0.5\n"))
    journal.close()
    assert path.read_bytes().count(b"\r\n") == 3


def test_a_last_line_cut_short_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss\n1,0.5\n2,0.2", encoding="utf-8")
    assert list(whole_lines(tmp_path / "metrics.csv")) == ["step,loss\n", "1,0.5\n"]


def test_a_file_of_another_version_keeps_its_header(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text('step,a,"gone, now",b\n1,0.5,7,0.25\n', encoding="utf-8")
    journal = CsvJournal(path, ["step", "new", "b", "a"])
    journal.append({"step": 2, "a": 1.0, "b": 2.0, "new": 9.0})
    journal.close()
    assert journal.left_out == ["new"]
    assert list(read_rows(path)) == [
        {"step": "1", "a": "0.5", "gone, now": "7", "b": "0.25"},
        {"step": "2", "a": "1.0", "gone, now": "", "b": "2.0"},
    ]


@pytest.mark.parametrize("contents", [b"1,0.5\n", b"\0\n", b"step,a", b'"step\n' + b"x" * 200_000])
def test_a_file_without_a_header_is_refused(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "metrics.csv").write_bytes(contents)
    with pytest.raises(UserError, match=r"metrics\.csv .* step.* restore"):
        CsvJournal(tmp_path / "metrics.csv", ["step", "a"])
    assert (tmp_path / "metrics.csv").read_bytes() == contents


def test_a_curve_of_what_is_not_a_number_or_no_longer_there(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss\n1,0.5\n2,1,5\n".replace("1,5", "1.5.2"), encoding="utf-8")
    with user_error(tmp_path / "metrics.csv", "loss", 2, "1.5.2", "number"):
        read_curve(tmp_path / "metrics.csv", "loss")
    with user_error(tmp_path / "gone", "exist"):
        read_curve(tmp_path / "gone" / "metrics.csv", "loss")
