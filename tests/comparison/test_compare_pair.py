"""`rnnscope compare run=A with=B`: what went in otherwise, and where the numbers part."""

import json
import re
from pathlib import Path

import pytest
from messages import assert_says, error_line
from test_compare import ESCAPES, put_run, rows_of

from rnnscope.cli import main


@pytest.fixture
def pair(trained_run, outputs: Path, capsys: pytest.CaptureFixture[str]):
    """Compare the tiny run with a copy of it that has other values in run.json, and return the sections by name."""

    def compare(touch=lambda folder: None, **changes) -> dict[str, list[str]]:
        first = put_run(trained_run.path, outputs / "runs" / "pair" / "a")
        second = put_run(trained_run.path, outputs / "runs" / "pair" / "b", **changes)
        touch(second)
        assert main(["compare", f"run={first}", "with=pair/b"]) == 0
        return sections(capsys.readouterr().out)

    return compare


def sections(text: str) -> dict[str, list[str]]:
    """Return the lines of each section, whose name stands in the first columns of its first line."""
    assert all(line.isprintable() for line in text.splitlines())
    found: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        name = line[:13].strip() or (name if line else "")
        found.setdefault(name, []).append(line[13:])
    return found


def test_the_same_run_twice(pair):
    found = pair()
    for name in ("config", "code", "packages", "data", "hardware", "weights"):
        assert found[name] == ["the same"]
    (line,) = found["metrics.csv"]
    assert_says(line, "18 of 18 steps", "same")  # 15 of the losses, 3 odd ones of update sizes
    assert "on resuming" not in found


def test_everything_that_went_in(pair):
    def patch(folder: Path) -> None:
        (folder / "code.patch").write_text("+ a line")

    found = pair(
        patch,
        **{"config__optimizer.lr": 0.5, "config__optimizer.momentum": 0.9, "config__optimizer.eps": None},
        git_commit="f" * 40,
        packages__torch="9.9",
        python="3.99",
        hardware__cpu="abacus",
        resolved__threads=7,
        data__fingerprint={"text": "other"},
        weights_sha256="other",
    )
    config = [" ".join(line.split()) for line in found["config"]]
    assert config == ["optimizer.lr 0.004 -> 0.5", "optimizer.eps 1e-08 -> none", "optimizer.momentum none -> 0.9"]
    assert found["code"][0].endswith("-> ffffffffffff")
    assert_says(found["code"][1], "none -> code.patch", "8 bytes")
    assert [line.split(" -> ")[1] for line in found["packages"]] == ["9.9", "3.99"]
    assert_says(found["data"][0], "text", "vocabulary")
    assert found["hardware"][0] == "threads 1 -> 7"
    assert found["hardware"][1].endswith("-> abacus")
    assert_says(" ".join(found["weights"]), "different")


def test_what_was_changed_on_the_way(pair):
    resumed = {"from_step": 12, "changed": {"optimizer.lr": [0.002, 0.001]}, "environment": ["torch 1 -> 2"]}
    found = pair(segments=[{"from_step": 0}, resumed])
    lines = [line for lines in found.values() for line in lines if line.startswith("B: ")]
    for line, change in zip(lines, ["optimizer.lr 0.002 -> 0.001", "torch 1 -> 2"], strict=True):
        assert_says(line, change, "step 12")


def test_the_first_step_that_differs(pair, trained_run):
    rows = rows_of((trained_run.path / "metrics.csv").read_text())
    step, value = rows[7]["step"], rows[7]["train/loss"]
    other = repr(float(value) + 0.25)

    def change(folder: Path) -> None:
        text = (folder / "metrics.csv").read_text()
        assert text.count(value) == 1
        (folder / "metrics.csv").write_text(text.replace(value, other))

    (line,) = pair(change)["metrics.csv"]
    assert_says(line, f"step {step}", f"train/loss {value} -> {other}", 0.25, f"{len(rows) - 1} of {len(rows)}")


def test_steps_that_only_one_logged_are_no_difference(pair):
    def thin(folder: Path) -> None:
        lines = (folder / "metrics.csv").read_text().splitlines(keepends=True)
        (folder / "metrics.csv").write_text("".join([lines[0], *lines[2::2]]))

    (line,) = pair(thin)["metrics.csv"]
    assert_says(line, "9 of 9 steps", "same")


def test_results_side_by_side(trained_run, outputs, capsys):
    record = json.loads((trained_run.path / "run.json").read_text())
    bits = record["last"]["best/bits_per_character"]
    put_run(trained_run.path, outputs / "runs" / "x" / "1")
    put_run(
        trained_run.path, outputs / "runs" / "x" / "2", **{"last__best/bits_per_character": bits / 2, "progress__seconds": 3723}
    )
    assert main(["compare", "run=x/1", "with=x/2"]) == 0
    lines = {line[:24].strip(): line[24:].split() for line in capsys.readouterr().out.splitlines()}
    assert lines["best bits per character"][0] == f"{bits:.4f}"
    assert lines["best bits per character"][3:] == ["-50.0", "%"]
    assert lines["time"][1] == "1:02:03"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["run=x/1"], ["run", "x/1", "with=<run>"]),
        (["run=x/1", "with=x/3"], ["with", "x/3", "2 runs", "{}"]),
        (["run=x/1", "with=x/1"], ["run=x/1", "with=x/1", "{}/runs/x/1"]),
        (["with=x/1", "filter=seed=1"], ["filter", "run=", "with="]),
    ],
)
def test_mistakes(trained_run, outputs, capsys, words, parts):
    for name in "12":
        put_run(trained_run.path, outputs / "runs" / "x" / name)
    assert main(["compare", *words]) == 1
    assert_says(error_line(capsys.readouterr().err), *(part.format(outputs) for part in parts))


def test_hostile_records(pair, capsys, outputs):
    def link(folder: Path) -> None:
        (folder / "code.patch").symlink_to("/etc/passwd")
        (folder / "metrics.csv").write_text("step,train/loss\nx,1\n")

    hostile = {f"key{ESCAPES}{index}": [[ESCAPES]] for index in range(1000)}
    found = pair(link, packages=hostile, hardware=[ESCAPES], git_commit=ESCAPES, config=hostile, python={"a": "b" * 10_000})
    assert len(found["packages"]) == 41
    assert found["packages"][-1].startswith("and ")
    assert_says(found["code"][1], "code.patch", "link")
    (line,) = found["metrics.csv"]
    assert_says(line, outputs / "runs/pair/b/metrics.csv", "line 2")
    capsys.readouterr()
    record = outputs / "runs" / "pair" / "b" / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"schema": ESCAPES}))
    assert main(["compare", "run=pair/a", "with=pair/b"]) == 1
    assert capsys.readouterr().err.rstrip("\n").isprintable()


def test_losses_on_different_texts_are_not_subtracted(pair):
    def lower(folder: Path) -> None:
        record = json.loads((folder / "run.json").read_text())
        record["data"]["splits"]["val"]["text_sha256"] = "0" * 64
        (folder / "run.json").write_text(json.dumps(record))

    found = "\n".join(line for lines in pair(lower, **{"last__best/loss": 1.0}).values() for line in lines)
    assert "texts are different: their losses do not compare" in found
    losses = [line for line in found.splitlines() if "3.9" in line or "val/loss" in line or "1.0000" in line]
    assert losses
    assert not [line for line in losses if re.search(r"[-+]\d.*%", line)]
