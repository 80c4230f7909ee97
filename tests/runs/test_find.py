"""Which run a name means."""

import json
from pathlib import Path

import pytest
from messages import user_error

from rnnscope.runs.find import find_run


def put(outputs: Path, name: str, **parent: object) -> Path:
    folder = outputs / "runs" / name
    folder.mkdir(parents=True)
    (folder / "config.yaml").touch()
    record = {"schema": 1, "status": "finished", "started": "2026", "parent": parent or None}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def test_a_reproduction_is_meant_only_by_its_own_name(outputs: Path) -> None:
    run, again = put(outputs, "alice/1"), put(outputs, "alice/2", reproduced=True)
    assert find_run("alice").path == run
    assert find_run("alice/2").path == again
    put(outputs, "alice/3")
    with user_error("run=alice", 2, "alice/1", "alice/3"):
        find_run("alice")


def test_without_runs_it_says_how_to_make_one(outputs: Path) -> None:
    with user_error("run=alice", "rnnscope train"):
        find_run("alice")


@pytest.mark.parametrize("name", ["bob", "lice"])
def test_a_name_of_no_run_is_refused(outputs: Path, name: str) -> None:
    put(outputs, "alice/1")
    with user_error(f"run={name}", 1):
        find_run(name)
