"""`rnnscope runs`: what is listed, marks of a run, moves that nothing gets lost in, whoever kills them when."""

import fcntl
import json
import shutil
import sys
from pathlib import Path

import pytest
from kill_moves import kill_again_and_again
from messages import assert_says, error_line, line_with
from sweep_tools import contents
from test_compare import put_run

from rnnscope.cli import main


@pytest.fixture
def runs(trained_run, outputs: Path) -> Path:
    """Outputs with two runs, a reproduction of the first in it, and a sweep of one job."""
    for name in ("a/2026-11-01_00-00-00", "b/2026-11-02_00-00-00"):
        put_run(trained_run.path, outputs / "runs" / name, started=f"2026-11-0{1 + (name[0] == 'b')}T00:00:00+00:00")
    parent = outputs / "runs/a/2026-11-01_00-00-00"
    child = {"parent": {"path": str(parent), "reproduced": True}, "verdict": {"kind": "bit-identical"}}
    put_run(trained_run.path, parent / "reproductions" / "2026-11-03_00-00-00", **child)
    put_run(trained_run.path, outputs / "sweeps" / "s" / "lr-1")
    (outputs / "sweeps" / "s" / "sweep.yaml").touch()
    for path in outputs.glob("**/run.json"):
        path.with_name("run.lock").touch()
    return outputs


@pytest.fixture
def said(capsys):
    """Run `rnnscope runs` with these words and return its status and what it wrote to stdout and stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["runs", *words])
        return status, *capsys.readouterr()

    return run


def test_the_list(runs, said):
    status, printed, _ = said()
    assert status == 0
    names = [line.split()[0] for line in printed.splitlines()]
    assert names[0] == "run"
    assert names.index("a/2026-11-01_00-00-00") > names.index("b/2026-11-02_00-00-00")  # the newest first
    below = printed.splitlines()[names.index("a/2026-11-01_00-00-00") + 1]
    assert_says(below, "reproduced", "2026-11-03_00-00-00", "bit-identical")
    shown = json.loads(said("json=true", "filter=run=b/*")[1])
    size = sum(path.stat().st_size for path in (runs / "runs/b").rglob("*") if path.is_file())
    assert [(run["run"], run["bytes"]) for run in shown] == [("b/2026-11-02_00-00-00", size)]


def test_marks_are_shown_and_filtered_and_change_nothing_else(runs, said, capsys):
    before = contents(runs)
    assert said("mark", "run=a", "tags=paper,draft,paper", "note=the best, so far: {it} = 'good'")[0] == 0
    assert said("mark", "filter=run=b/*", "tags=paper")[0] == 0
    marked = {path for path in contents(runs) if path.endswith("marks.json")}
    assert {path: value for path, value in contents(runs).items() if path not in marked} == before
    assert len(marked) == 2
    line_with(said()[1], "paper, draft", "the best, so far: {it} = 'good'")
    capsys.readouterr()
    assert main(["compare", "filter=tags=draft", "json=true"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["run"], row["tags"]) == ("a/2026-11-01_00-00-00", ["paper", "draft"])
    assert main(["compare", "filter=tags=paper", "columns=run,note", "json=true"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert said("mark", "run=a", "tags=")[0] == 0
    assert "draft" not in said()[1]
    line_with(said()[1], "the best, so far: {it} = 'good'")
    assert said("mark", "filter=run=*", "tags=", "note=")[0] == 0
    assert contents(runs) == before


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["trsh"], ["trsh", "trash"]),
        (["mark", "run=a", "tags=a b"], ["tags=a b", "'a b'"]),
        (["mark", "run=a", "tags=paper,\u202etxt"], ["letters"]),
        (["mark", "run=a"], ["tags=", "note="]),
        (["trash"], ["run=", "filter="]),
        (["trash", "run=a", "filter=run=a"], ["run=", "filter="]),
        (["trash", "run=a"], ["1 run", "yes=true"]),
        (["trash", "run=a", "tags=x"], ["tags=x", "runs trash"]),
        (["trash", "run=s/lr-1", "yes=true"], ["lr-1", "sweep s"]),
        (["rename", "run=a"], ["name="]),
        (["rename", "run=a", "name=x/y", "yes=true"], ["x/y"]),
        (["restore", "run=a"], ["trash"]),
        (["purge"], ["older_than=30d"]),
        (["purge", "run=a", "filter=run=b", "yes=true"], ["run=", "filter="]),
        (["purge", "older_than=soon"], ["older_than=soon", "30d"]),
        (["run=a"], ["run=a"]),
    ],
)
def test_mistakes_change_nothing(runs, said, words, parts, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)  # closed, as with `<&-`
    before = contents(runs)
    status, _, error = said(*words)
    assert status == 1
    assert_says(error_line(error), *parts)
    assert contents(runs) == before


def test_there_and_back(runs, said):
    before = contents(runs)
    status, printed, _ = said("trash", "filter=run=*2026-11-0*", "yes=true")
    assert status == 0
    line_with(printed, "a/2026-11-01_00-00-00", "finished", "kB")
    assert not (runs / "runs").exists() or not list((runs / "runs").iterdir())
    assert len(list((runs / "trash").glob("*/runs/*/*"))) == 2
    assert_says(said()[1].splitlines()[-1], "2 runs", runs / "trash")
    assert said("restore", "filter=run=*", "yes=true")[0] == 0
    assert contents(runs) == before
    assert not list((runs / "trash").iterdir())


def test_a_reproduction_goes_to_the_trash_and_back(runs, trained_run, said):
    child = runs / "runs/a/2026-11-01_00-00-00/reproductions/2026-11-03_00-00-00"
    put_run(trained_run.path, child / "reproductions/2026-11-04_00-00-00", parent={"path": str(child), "reproduced": True})
    line_with(said()[1], "reproduced", "2026-11-04_00-00-00", "finished")
    before = contents(runs)
    assert said("trash", f"run={child}", "yes=true")[0] == 0
    assert not child.parent.exists()
    assert_says(said()[1].splitlines()[-1], "1 run", runs / "trash")
    assert said("restore", "filter=run=*", "yes=true")[0] == 0
    assert contents(runs) == before


def test_a_name_that_is_taken_is_not_overwritten(runs, said):
    assert said("trash", "run=a", "yes=true")[0] == 0
    shutil.copytree(runs / "runs/b", runs / "runs/a")
    (runs / "runs/a/2026-11-02_00-00-00").rename(runs / "runs/a/2026-11-01_00-00-00")
    before = contents(runs)
    assert said("restore", "run=a", "yes=true")[0] == 1
    assert contents(runs).items() >= before.items()
    assert said("rename", "run=b", "name=c", "yes=true")[0] == 0
    assert (runs / "runs/c/2026-11-02_00-00-00/run.json").is_file()


def test_a_run_in_use_is_refused_and_the_rest_of_a_filter_moves(runs, said):
    in_use = runs / "runs/b/2026-11-02_00-00-00"
    with (in_use / "run.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, _, error = said("trash", "run=b", "yes=true")
        assert status == 1
        assert_says(error_line(error), in_use, "trained by another process")
        status, _, error = said("trash", "filter=run=*", "yes=true")
        assert status == 0
        line_with(error, in_use, "trained by another process")
        line_with(error, "lr-1", "sweep s")
    assert in_use.is_dir()
    assert not (runs / "runs/a").exists()


def test_it_asks_at_a_terminal_and_names_who_came_from_a_run(runs, trained_run, said, monkeypatch):
    parent = {"path": str((runs / "runs/a/2026-11-01_00-00-00").resolve()), "init_from": True}
    put_run(trained_run.path, runs / "runs/heir/2026-11-05_00-00-00", parent=parent, config__init_from=parent["path"])
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or ("y" if len(asked) > 1 else "n"))
    status, printed, _ = said("trash", "run=a")
    assert status == 1
    line_with(printed, "heir/2026-11-05_00-00-00", "came from", "weights")
    assert (runs / "runs/a").exists()
    assert said("trash", "run=a")[0] == 0
    assert not (runs / "runs/a").exists()
    assert all("1 run" in question for question in asked)


def test_purge_deletes_what_is_old_enough(runs, said):
    status, printed, _ = said("purge", "older_than=30d")
    assert (status, "empty" in printed) == (0, True)
    for name in "ab":
        assert said("trash", f"run={name}", "yes=true")[0] == 0
        (stamp,) = (path for path in (runs / "trash").iterdir() if (path / "runs" / name).exists())
        stamp.rename(runs / "trash" / {"a": "2020-01-01_00-00-00", "b": "2099-01-01_00-00-00"}[name])
    assert said("purge", "older_than=30d", "yes=true")[0] == 0
    assert [path.name for path in (runs / "trash").iterdir()] == ["2099-01-01_00-00-00"]


def test_no_kill_loses_a_run(runs):
    shutil.rmtree(runs / "sweeps")
    kill_again_and_again(runs, 20)


def test_the_list_without_runs_names_the_trash(trained_run, outputs, capsys):
    put_run(trained_run.path, outputs / "runs" / "a" / "2026-01-01_00-00-00")
    assert main(["runs", "trash", "run=a", "yes=true"]) == 0
    capsys.readouterr()
    assert main(["runs"]) == 0
    assert "1 run in" in capsys.readouterr().out
