"""At any moment of a save, one whole checkpoint is found; a damaged one is not taken for whole."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
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
    monkeypatch.setattr(module, "remove_checksum", counted(module.remove_checksum))
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
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"last.ckpt", ".notes"}


@pytest.mark.parametrize("change", [lambda contents: contents[:-30], lambda contents: flipped(contents)])
def test_a_file_cut_short_or_with_a_flipped_bit_in_a_tensor_is_refused(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    save(checkpoints, state(1))
    path = checkpoints.path("last")
    path.write_bytes(change(path.read_bytes()))
    with user_error(path, "damaged"):
        load_checkpoint(path)


def flipped(contents: bytes) -> bytes:
    """Flip a bit of the tensor [1, 1, 1], which torch.load does not notice."""
    values = torch.full((3,), 1.0).numpy().tobytes()
    assert contents.count(values) == 1
    return contents.replace(values, bytes([values[0] ^ 1]) + values[1:])


def test_a_checkpoint_of_another_run_or_step_is_refused(tmp_path: Path) -> None:
    other, own = Checkpoints(tmp_path / "other", "b1"), Checkpoints(tmp_path / "own", "a1")
    for checkpoints in (own, other):
        save(checkpoints, {**state(5), "run": checkpoints.run, "task": {"step": 5}})
    shutil.copy(other.path("last"), own.folder / "best.ckpt")
    with user_error(own.path("best"), "different run", "b1"):
        own.read(own.path("best"))
    own.keep(["step_5.ckpt", "step_6.ckpt"])
    assert own.read(own.path("5"))["step"] == 5
    with user_error(own.path("6"), "step 5"):
        own.read(own.path("6"))
    save(own, state(7))  # as older versions wrote them
    assert own.read(own.path("last"))["step"] == 7
    shutil.copy(other.path("last"), own.folder / "last.ckpt")
    lines: list[str] = []
    found = own.newest(lines.append)
    assert found is not None
    assert (found[0], found[1]["step"]) == ("previous.ckpt", 5)
    assert_says(lines[0], "last.ckpt", "different run")


def put_checksums(checkpoints: Checkpoints) -> None:
    """Leave what older versions wrote beside each checkpoint."""
    for path in checkpoints.folder.glob("*.ckpt"):
        path.with_name(f"{path.name}.sha256").write_text(f"{sha256(path.read_bytes()).hexdigest()}\n")


def test_a_checksum_of_an_older_version_counts_until_the_file_is_replaced(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in (1, 2):
        save(checkpoints, state(step))
    checkpoints.keep(["best.ckpt"])
    put_checksums(checkpoints)
    assert load_checkpoint(checkpoints.path("last"))["step"] == 2
    checkpoints.path("last").write_bytes(checkpoints.path("previous").read_bytes())
    with user_error(checkpoints.path("last"), "checksum"):
        load_checkpoint(checkpoints.path("last"))
    save(checkpoints, state(3))
    checkpoints.keep(["best.ckpt"])
    assert {path.name for path in checkpoints.folder.iterdir()} == {"last.ckpt", "previous.ckpt", "best.ckpt"}


KILLED_BEFORE_THE_MOVE = """
import os, signal, sys, torch
from pathlib import Path
from rnnscope.runs import checkpoints
replace = checkpoints.replace_file
def die(path, write):
    replace(path, (lambda temporary: os.kill(os.getpid(), signal.SIGKILL)) if path.name == sys.argv[2] else write)
checkpoints.replace_file = die
found = checkpoints.Checkpoints(Path(sys.argv[1]))
found.hold({"state_dict": {"weight": torch.full((3,), 3.0)}, "step": 3})
found.write()
"""


@pytest.mark.parametrize("name", ["last.ckpt", "previous.ckpt"])
def test_killed_between_the_end_of_a_checksum_and_the_new_file(tmp_path: Path, name: str) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in (1, 2):
        save(checkpoints, state(step))
    put_checksums(checkpoints)
    words = [sys.executable, "-c", KILLED_BEFORE_THE_MOVE, str(checkpoints.folder), name]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert not (checkpoints.folder / f"{name}.sha256").exists()
    assert step_of(checkpoints) == 2
    assert load_checkpoint(checkpoints.path("previous"))["step"] == (2 if name == "last.ckpt" else 1)


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
