"""Runs that earlier versions of rnnscope left: whatever has changed since, they open, go on and compare as before.

tests/golden/format_<n>/ is a folder that somebody worked in: text.txt, outputs/, and what to expect of the runs there.
"""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from golden.make import first_score
from processes import Command

from rnnscope import load
from rnnscope.cli import main

FORMATS = sorted((Path(__file__).parent / "golden").glob("format_*"))
RUNS = [(folder.name, path.name) for folder in FORMATS for path in sorted(folder.glob("outputs/runs/*"))]
STEPS = 60  # a run of 40 steps goes on to here
VERDICTS = {0: "verdict: bit-identical", 3: "verdict: equal within tolerance"}  # other machines have other last bits


def copy(name: str, target: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy a format's folder and go there, as its user would be."""
    project = Path(shutil.copytree(Path(__file__).parent / "golden" / name, target / name))
    monkeypatch.chdir(project)
    for variable in ("RNNSCOPE_OUTPUTS", "RNNSCOPE_DATA"):
        monkeypatch.delenv(variable, raising=False)
    return project


@pytest.fixture(params=FORMATS, ids=lambda folder: folder.name)
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of everything, each format in its turn; the current folder."""
    return copy(request.param.name, tmp_path, monkeypatch)


@pytest.fixture(params=RUNS, ids="-".join)
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of one run in such a copy, each run in its turn."""
    name, run = request.param
    (folder,) = (copy(name, tmp_path, monkeypatch) / "outputs/runs" / run).iterdir()
    return folder


def expected_of(run: Path) -> dict[str, Any]:
    return json.loads(Path("expected.json").read_text(encoding="utf-8"))["runs"][run.parent.name]


def record_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text(encoding="utf-8"))


def best_of(run: Path) -> float:
    """Return the lowest validation loss of metrics.csv."""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return min(float(row["val/loss"]) for row in csv.DictReader(file) if row["val/loss"])


def command(capfd: pytest.CaptureFixture[str], name: str, run: Path, *words: str) -> tuple[int, str]:
    """Run `rnnscope <name> run=<run> <words>` and return its exit status and what it printed."""
    words = (name, f"run={run}", *words)
    if run.parent.name != "two_processes":
        return main([*words]), "".join(capfd.readouterr())
    process = Command(words, Path("said.txt").absolute())  # which starts the second process
    return process.wait(120), process.said.read_text(encoding="utf-8")


def test_it_samples_and_scores_as_before(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected, loaded = expected_of(run), load(str(run))
    sample = expected["sample"]
    assert loaded.sample(sample["prompt"], sample["length"], seed=sample["seed"]) == sample["text"]
    assert loaded.score(Path("text.txt").read_text(encoding="utf-8")).loss == pytest.approx(expected["score"], abs=1e-5)
    assert main(["evaluate", f"run={run.parent.name}"]) == 0
    assert first_score(capsys.readouterr().out) == pytest.approx(expected["evaluate"], abs=1.1e-4)  # it prints four decimals


def test_it_goes_on(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = (run / "metrics.csv").read_bytes()
    status, said = command(capfd, "resume", run, f"trainer.max_steps={STEPS}")
    assert status == 0, said
    record = record_of(run)
    assert (record["status"], record["progress"]["step"]) == ("finished", STEPS)
    after = (run / "metrics.csv").read_bytes()
    assert after.startswith(before)
    assert after.splitlines()[-1].startswith(b"%d," % STEPS)


def test_it_is_reproduced(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, said = command(capfd, "reproduce", run)
    assert VERDICTS.get(status, "neither verdict") in said
    assert len(list((run / "reproductions").iterdir())) == 1


def test_all_are_compared(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = {f"{path.parent.parent.name}/{path.parent.name}": path.parent for path in project.glob("outputs/*/*/*/run.json")}
    assert main(["compare", "format=json", "columns=run,best/loss"]) == 0
    said, errors = capsys.readouterr()
    assert errors == ""
    found = {row["run"]: row["best/loss"] for row in json.loads(said)}
    assert found == {name: best_of(run) for name, run in runs.items()}
    assert main(["compare", "html=page.html"]) == 0
    page = (project / "page.html").read_text(encoding="utf-8")
    assert [name for name in found if name not in page] == []


def test_a_sweep_skips_what_is_done_and_finishes_what_was_killed(project: Path) -> None:
    sweep, words = project / "outputs/sweeps/rates", json.loads(Path("expected.json").read_text(encoding="utf-8"))["sweep"]
    done, killed = sweep / "lr-0.01", sweep / "lr-0.02"
    before, kept = {path: path.read_bytes() for path in done.rglob("*") if path.is_file()}, record_of(killed)["started"]
    assert main(words) == 0
    assert {path: path.read_bytes() for path in done.rglob("*") if path.is_file()} == before
    record = record_of(killed)
    assert (record["status"], record["progress"]["step"], record["started"]) == ("finished", 300, kept)
    assert record["segments"][1]["from_step"] == 40


@pytest.mark.parametrize("name", ["resume", "reproduce", "evaluate"])
def test_a_newer_format_is_refused_in_one_line(project: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = next(project.glob("outputs/runs/char_stream/*"))
    (run / "run.json").write_text(json.dumps(record_of(run) | {"schema": 1000}), encoding="utf-8")
    assert main([name, f"run={run}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert all(word in line for word in (f"{run}/run.json", "1000", "update rnnscope"))
