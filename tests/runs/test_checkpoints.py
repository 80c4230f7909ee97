"""At any moment of a save, one whole checkpoint is found; a damaged one is not taken for whole."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from messages import assert_says, user_error

from rnnscope.runs import checkpoints as module
from rnnscope.runs.checkpoints import Checkpoints, load_checkpoint


def state(step: int) -> dict[str, Any]:
    return {"state_dict": {"weight": torch.full((3,), float(step))}, "step": step}


def save(checkpoints: Checkpoints, state: dict) -> None:
    checkpoints.hold(state)
    checkpoints.write()


def step_of(checkpoints: Checkpoints) -> int:
    found = checkpoints.newest(lambda line: None)
    assert found is not None
    return found[1]["step"]


def test_the_one_before_is_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.newest(print) is None
    for step in (1, 2, 3):
        save(checkpoints, state(step))
    assert load_checkpoint(checkpoints.path("last"))["step"] == 3
    assert load_checkpoint(checkpoints.path("previous"))["step"] == 2
    checkpoints.keep(["best.ckpt", "step_3.ckpt"])
    save(checkpoints, state(4))
    assert load_checkpoint(checkpoints.path("best"))["step"] == 3
    assert load_checkpoint(checkpoints.path("3"))["step"] == 3
    with user_error(7, 3, "best", "last", "previous"):
        checkpoints.path("7")


def test_stopped_at_any_file_operation_a_whole_checkpoint_of_the_last_two_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, stop = 0, 0

    def counted(operation: Any) -> Any:
        def run(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == stop:
                raise KeyboardInterrupt
            return operation(*arguments)

        return run

    monkeypatch.setattr(module, "replace_file", counted(module.replace_file))
    monkeypatch.setattr(module, "replace_text", counted(module.replace_text))
    for stop in range(1, 20):
        calls, checkpoints = -1000, Checkpoints(tmp_path / str(stop))
        for step in (1, 2):
            save(checkpoints, state(step))
        calls = 0
        try:
            save(checkpoints, state(3))
        except KeyboardInterrupt:
            lines: list[str] = []
            found = checkpoints.newest(lines.append)
            assert found is not None
            assert (found[0], found[1]["step"], lines) == ("last.ckpt", 2, [])
        else:
            assert stop == 5
            break


def test_a_damaged_last_is_replaced_and_does_not_become_the_one_before(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in (1, 2):
        save(checkpoints, state(step))
    (tmp_path / "checkpoints/last.ckpt").write_bytes(b"damaged")
    lines: list[str] = []
    found = checkpoints.newest(lines.append)
    assert found is not None
    assert found[0] == "previous.ckpt"
    assert_says(lines[0], "last.ckpt", "damaged")
    checkpoints.adopt(found[0])
    assert step_of(checkpoints) == 1
    save(checkpoints, state(2))
    assert load_checkpoint(checkpoints.path("previous"))["step"] == 1


def test_leftovers_of_a_kill_are_removed(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    save(checkpoints, state(1))
    (tmp_path / "checkpoints/.last.ckpt.123").write_bytes(b"half")
    (tmp_path / "checkpoints/.notes").write_bytes(b"mine")
    checkpoints.adopt("last.ckpt")
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"last.ckpt", "last.ckpt.sha256", ".notes"}


def test_stopped_while_a_name_follows_the_file_before_is_still_known_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in (1, 2, 3, 4, 5):
        save(checkpoints, state(step))
        if step == 1:
            checkpoints.keep(["best.ckpt"])

    def die(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "replace_file", die)  # announced, and not moved
        with pytest.raises(KeyboardInterrupt):
            checkpoints.keep(["best.ckpt"])
    assert load_checkpoint(checkpoints.path("best"))["step"] == 1


def test_the_name_of_a_checkpoint_is_on_disk_when_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename outlives a power cut only when its folder was synced: then the journals may be counted on, too."""
    events: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        events.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")).partition(".ckpt")[0])
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    save(checkpoints, state(1))
    assert events[-2:] == [".last", "checkpoints"]
