"""Whether two runs are the same run, where one of them measured more than the other."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from messages import assert_says

from rnnscope.runs.folder import RunFolder
from rnnscope.runs.verdict import DIVERGED, IDENTICAL, Verdict, judge

Rows = list[dict[str, str]]


def edit(run: RunFolder, change: Callable[[Rows], object]) -> None:
    with run.metrics.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    change(rows)
    with run.metrics.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def verdict_of(trained_run: RunFolder, tmp_path: Path) -> Callable[..., Verdict]:
    """Judge two copies of a run, the rows of both edited before."""

    def judged(recorded: Callable[[Rows], object], now: Callable[[Rows], object], **values: object) -> Verdict:
        runs = [RunFolder(Path(shutil.copytree(trained_run.path, tmp_path / name))) for name in ("parent", "child")]
        for run, change in zip(runs, (recorded, now), strict=True):
            edit(run, change)
        runs[1].record.write_text(json.dumps(json.loads(runs[1].record.read_text(encoding="utf-8")) | values))
        return judge(*runs, until=None, deterministic=True)

    return judged


def without(column: str) -> Callable[[Rows], object]:
    return lambda rows: [row.pop(column) for row in rows]


def test_a_column_that_one_run_has_is_named_and_not_compared(verdict_of: Callable[..., Verdict]) -> None:
    found = verdict_of(without("val/accuracy"), without("gradient_norm/all"))
    assert (found.kind, found.status) == (IDENTICAL, 0)
    assert_says(found.lines[1], "18 of 18 rows", "the same weights")
    assert_says(found.lines[2], "not compared", "gradient_norm/all", "recorded run")
    assert_says(found.lines[3], "not compared", "val/accuracy", "new run")


def test_the_columns_that_both_have_still_count(verdict_of: Callable[..., Verdict]) -> None:
    found = verdict_of(without("val/accuracy"), lambda rows: rows[5].update({"learning_rate": "9"}))
    assert found.kind == DIVERGED
    assert_says(found.lines[1], "learning_rate", "9", "17 of 18 rows")
    assert_says(found.lines[2], "val/accuracy", "new run")


def test_the_weights_still_count(verdict_of: Callable[..., Verdict]) -> None:
    found = verdict_of(without("val/accuracy"), lambda rows: None, weights_sha256="0" * 64)
    assert found.kind == DIVERGED
    assert_says(found.lines[1], "weights")
