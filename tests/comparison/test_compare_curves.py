"""Reading the curves of anybody's metrics.csv: the same line in fewer points, and no file that exhausts the memory."""

import csv
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import user_error

from rnnscope.comparison.curves import read_curves, thin
from rnnscope.runs.journal import ROW_LIMIT, newest_rows, read_rows
from rnnscope.runs.safe_files import check_plain, last_lines

POINTS = st.lists(st.tuples(st.integers(0, 10_000), st.floats(-10, 10)), min_size=1, unique_by=lambda point: point[0])


@given(POINTS, st.integers(6, 40))
def test_a_thinned_line_has_the_peaks_of_the_whole(points, most):
    points.sort()
    kept = thin(points, most)
    assert len(kept) <= max(most, 0) or kept == points
    assert kept == sorted(set(kept) & set(points))
    assert {kept[0], kept[-1]} == {points[0], points[-1]}
    values = [value for _, value in points]
    assert {min(values), max(values)} <= {value for _, value in kept}


def write(path: Path, rows: int, spike: int) -> Path:
    lines = [f"{step},{10 if step == spike else 1 / step!r}," for step in range(1, rows + 1)]
    path.write_text("\n".join(["step,train/loss,val/loss", *lines, ""]))
    return path


def test_curves_of_a_short_file_are_its_cells(trained_run):
    curves = read_curves(trained_run.metrics, ["train/loss", "val/loss", "no/such"], 600)
    with trained_run.metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for tag in ("train/loss", "val/loss"):
        assert curves.points[tag] == [(int(row["step"]), float(row[tag])) for row in rows if row[tag]]
    assert curves.points["no/such"] == []
    assert curves.complaint is None


def test_a_long_file_takes_little_memory_and_keeps_its_spike(tmp_path):
    path = write(tmp_path / "metrics.csv", 60_000, 17_777)
    tracemalloc.start()
    curves = read_curves(path, ["train/loss"], 100)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2_000_000
    points = curves.points["train/loss"]
    assert len(points) <= 100
    assert (17_777, 10.0) in points
    assert (points[0][0], points[-1][0]) == (1, 60_000)
    assert max(after[0] - before[0] for before, after in pairwise(points)) < 3_000  # spread evenly


@pytest.mark.parametrize(
    ("text", "kept", "reason"),
    [
        ("step,train/loss\n1,2.0\n2,1.0", 1, None),  # a line that is being written
        ("step,train/loss\n1,nan\n2,inf\n3,x\n4,1.5\n", 1, None),
        ("step,train/loss\n1,2.0\n1,1.0\n", 1, "line 3 is not a valid row"),
        ("step,train/loss\n5,2.0\n4,1.0\n", 1, "line 3 is not a valid row"),
        ("step,train/loss\n1,2.0\n-3,1.0\n", 1, "line 3 is not a valid row"),
        ("step,train/loss\n1,2.0\n99999999999999999999,1.0\n", 1, "line 3 is not a valid row"),
        ("step,train/loss\n1,2.0\n2,1.0,3\n", 1, "line 3 is not a valid row"),
        ("train/loss,step\n1,2\n", 0, "line 2 is not a valid row"),
        ("\n\n", 0, "line 2 is not a valid row"),
        ('step,train/loss\n1,2.0\n2,"x\n' + "y\n" * 200_000, 1, "cannot be read"),
        ("step,train/loss\n1,2.0\n" + "9" * (ROW_LIMIT + 5), 1, "a line has more than"),
        ("", 0, None),
    ],
)
def test_files_that_are_no_metrics(tmp_path, text, kept, reason):
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    curves = read_curves(path, ["train/loss"], 100)
    assert len(curves.points["train/loss"]) == kept
    assert (reason or "") in (curves.complaint or "")
    assert (reason is None) == (curves.complaint is None)
    rows, _ = newest_rows(path)
    assert len(list(rows)) <= 4


def test_the_newest_rows_come_first(tmp_path):
    path = write(tmp_path / "metrics.csv", 50_000, 1)
    rows, whole = newest_rows(path)
    steps = [int(row["step"]) for row in rows]
    assert whole
    assert steps == list(range(50_000, 50_000 - len(steps), -1))
    assert 1_000 < len(steps) < 50_000
    path.write_text(path.read_text()[:-3])
    rows, whole = newest_rows(path)
    assert (int(next(rows)["step"]), whole) == (49_999, False)


def test_only_plain_files_are_opened(tmp_path):
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(10**12)  # sparse: takes no room
    (tmp_path / "link").symlink_to(large)
    for name, reason in (("large", f"{10**12:,}"), ("link", "link"), ("none", "missing"), (".", "file")):
        with user_error(tmp_path / name, reason):
            check_plain(tmp_path / name, 10**9)
        with user_error(tmp_path / name, reason):
            next(read_rows(tmp_path / name))
    assert last_lines(large, 100, 10**13)[0] == []
