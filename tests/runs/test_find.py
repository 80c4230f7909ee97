"""Which run a name means."""

import json
from pathlib import Path

import pytest
from messages import user_error

from rnnscope.runs.find import find_run


def put(outputs: Path, name: str, started: str = "2026", **parent: object) -> Path:
    folder = outputs / "runs" / name
    folder.mkdir(parents=True)
    (folder / "config.yaml").touch()
    record = {"schema": 1, "status": "finished", "started": started, "parent": parent or None}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def test_a_reproduction_is_meant_only_by_its_own_name(outputs: Path) -> None:
    run, again = put(outputs, "alice/1"), put(outputs, "alice/2", reproduced=True)
    assert find_run("alice").path == run
    assert find_run("alice/2").path == again
    below = put(outputs, "alice/1/reproductions/3", reproduced=True)
    assert find_run("alice/1/reproductions/3").path == below


def test_a_name_means_the_newest_run_of_that_name(outputs: Path) -> None:
    put(outputs, "alice/3", "2026-11-01")
    newest = put(outputs, "alice/1", "2026-11-02")
    put(outputs, "alice/2", "2026-11-03", reproduced=True)
    put(outputs, "alice-wide/1", "2026-11-04")
    assert find_run("alice").path == newest
    assert find_run("alice/").path == newest
    with user_error("run=ali", 2, "alice", "alice-wide"):
        find_run("ali")


def test_jobs_of_a_sweep_have_names_of_their_own(outputs: Path) -> None:
    slow, fast = (put(outputs, f"../sweeps/rates/lr-{rate}") for rate in ("0.1", "0.15"))
    assert find_run("lr-0.1").path.resolve() == slow.resolve()
    assert find_run("rates/lr-0.15").path.resolve() == fast.resolve()
    with user_error("run=rates", 2, "rates/lr-0.1", "rates/lr-0.15"):
        find_run("rates")


def test_without_runs_it_says_how_to_make_one(outputs: Path) -> None:
    with user_error("run=alice", "rnnscope train"):
        find_run("alice")


@pytest.mark.parametrize("name", ["bob", "lice"])
def test_a_name_of_no_run_is_refused(outputs: Path, name: str) -> None:
    put(outputs, "alice/1")
    with user_error(f"run={name}", 1):
        find_run(name)
