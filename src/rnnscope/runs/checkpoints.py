"""Checkpoints: written atomically, verified by the CRC32s in torch's zip format, loaded as plain containers only.

validate_checkpoint.py checks the contents.
"""

import io
import math
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from rnnscope.errors import UserError, reason, shown
from rnnscope.format import shell
from rnnscope.runs.files import remove_temporaries, replace_file, sha256_of, sync_folder
from rnnscope.runs.plain_values import is_mapping
from rnnscope.runs.record import value_at

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
KEPT = re.compile(r"step_(\d{1,18})\.ckpt")
RESTORE = "restore it from a copy of the run folder, or use a different checkpoint"


class Checkpoints:
    """The checkpoints/ folder of one run.

    Args:
        run: the `id` in its record, which its checkpoints contain as well; None for runs of older versions.
    """

    def __init__(self, folder: Path, run: str | None = None) -> None:
        self.folder, self.run = folder, run
        self._buffer = io.BytesIO()  # kept, since allocating its memory takes longer than filling it

    def hold(self, state: dict[str, Any]) -> None:
        """Serialize `state` for `write`, which may be called in a different thread."""
        self._buffer.seek(0)
        torch.save(state, self._buffer)  # not to a file: torch turns a full disk into a RuntimeError of its own
        self._buffer.truncate()

    def write(self) -> None:
        """Write what is held as last.ckpt; the former one becomes previous.ckpt, so that there is always a complete one."""
        self.folder.mkdir(exist_ok=True)
        last = self.folder / LAST
        if last.exists():
            self._link(last, self.folder / PREVIOUS)
        remove_checksum(last)
        replace_file(last, lambda temporary: temporary.write_bytes(self._buffer.getbuffer()))
        sync_folder(self.folder)

    def keep(self, names: list[str]) -> None:
        """Link last.ckpt under each of `names` as well."""
        for name in names:
            self._link(self.folder / LAST, self.folder / name)

    def _link(self, source: Path, target: Path) -> None:
        """Link `source` as `target`, or copy it if the file system cannot link."""
        remove_checksum(target)
        replace_file(target, lambda temporary: _link_or_copy(source, temporary))

    def adopt(self, name: str) -> None:
        """Begin a new session from the checkpoint `name`, which replaces last.ckpt if that is damaged; remove leftovers."""
        remove_temporaries(self.folder)
        if name != LAST:
            self._link(self.folder / name, self.folder / LAST)

    def path(self, which: str) -> Path:
        """Return the path of `best`, `last`, `previous`, a kept step, or a checkpoint given by its file name.

        Raises:
            UserError: if it does not exist, listing those that do.
        """
        name = f"step_{which}.ckpt" if which.isdecimal() else f"{which.removesuffix('.ckpt')}.ckpt"
        path = self.folder / name
        if not path.is_file() or path.parent != self.folder:
            found = sorted(file.stem.removeprefix("step_") for file in self.folder.glob("*.ckpt"))
            choice = f"choose from: {', '.join(found)}" if found else "the run has none yet; continue it with rnnscope resume"
            raise UserError(f"checkpoint={which}: {path} does not exist; {choice}")
        return path

    def read(self, path: Path) -> dict[str, Any]:
        """Read one of the run's checkpoints.

        Raises:
            UserError: if it is damaged, or belongs to a different run or step than its path says.
        """
        state = load_checkpoint(path)
        if state.get("run") not in (None, self.run):
            raise UserError(
                f"{path} is a checkpoint of a different run ({shown(state['run'])}); remove it, or restore that of this run"
            )
        if step_of(state) not in (-1, _kept_step(path.name)) and KEPT.fullmatch(path.name):
            raise UserError(f"{path} is a checkpoint of step {step_of(state)}: rename it to the name that it was written under")
        return state

    def newest(self, say: Callable[[str], None]) -> tuple[str, dict[str, Any]] | None:
        """Return the name and contents of the newest complete checkpoint, or None if there is none; `say` reports damaged ones.

        Raises:
            UserError: if there are checkpoints but none can be used.
        """
        found: tuple[str, dict[str, Any]] | None = None
        damaged: list[str] = []
        for path in self._newest_first():
            if found and (not damaged or _kept_step(path.name) <= step_of(found[1])):
                break
            try:
                state = self.read(path)
            except UserError as error:
                damaged.append(path.name)
                say(f"warning: {error}")
                continue
            if found is None or step_of(state) > step_of(found[1]):
                found = path.name, state
        if damaged and found is None:
            again = shell("rnnscope", "reproduce", f"run={self.folder.parent}")
            raise UserError(f"{self.folder} has no checkpoint that can be used ({', '.join(damaged)}); {again} trains it again")
        if damaged and found:
            say(f"continuing from {found[0]} instead")
        return found

    def step(self, name: str) -> int | None:
        """Return the step of the checkpoint `name`; None if it does not exist or cannot be read."""
        with suppress(UserError, FileNotFoundError):
            return step_of(self.read(self.folder / name))
        return None

    def _newest_first(self) -> Iterator[Path]:
        """Yield last.ckpt, then previous.ckpt and best.ckpt, then the kept ones, newest first."""
        kept = [path for path in self.folder.glob("step_*.ckpt") if KEPT.fullmatch(path.name)]
        kept.sort(key=lambda path: -_kept_step(path.name))
        for path in (*(self.folder / name for name in (LAST, PREVIOUS, BEST)), *kept):
            if path.is_file():
                yield path


def step_of(state: dict[str, Any]) -> int:
    """Return the step after which a checkpoint was written, or -1 if it does not say."""
    task = state.get("task")
    step = task.get("step") if is_mapping(task) else None
    return step if type(step) is int else -1


def evaluated_weights(state: dict[str, Any]) -> dict[str, Any]:
    """Return the weights of a checkpoint that are validated and sampled: where training averages them, the average."""
    average = value_at(state, "task.average.weights")
    return {**state["state_dict"], **(average if is_mapping(average) else {})}


def _kept_step(name: str) -> float:
    """Return the step in the name of a kept checkpoint; infinity for a different name, which may be of any step."""
    found = KEPT.fullmatch(name)
    return int(found[1]) if found else math.inf


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read one checkpoint file onto the CPU.

    Raises:
        UserError: if it is damaged, or contains anything but tensors and plain containers.
    """
    check_sums(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        unsafe = type(error).__name__ == "UnpicklingError"  # torch's words for it advise to open the file unsafely
        why = "it is damaged, or holds something else" if unsafe else reason(error)[:200]
        raise UserError(f"{path} cannot be read as a checkpoint of plain tensors ({why}): {RESTORE}") from error
    if not is_mapping(loaded) or not is_mapping(loaded.get("state_dict")):
        raise UserError(f"{path} is not a checkpoint of rnnscope, as it has no state_dict: {RESTORE}")
    return loaded


def check_sums(path: Path) -> None:
    """Raise a `UserError` if a file is truncated or a byte has changed, which torch.load does not notice in a tensor."""
    checksum = _checksum_path(path)
    known = checksum.read_text(encoding="utf-8", errors="replace").split() if checksum.is_file() else []
    if known and sha256_of(path) not in known:  # an older version that was killed may leave two: before and after
        raise UserError(f"{path} is damaged, as its checksum differs from the one in {checksum.name}: {RESTORE}")
    try:
        with zipfile.ZipFile(path) as file:
            whole = not any(part.compress_type for part in file.infolist()) and file.testzip() is None
    except FileNotFoundError:
        raise
    except Exception:  # zipfile raises many types on a damaged file
        whole = False
    if not whole:
        raise UserError(f"{path} is damaged (a checksum does not match, or the file is cut off): {RESTORE}")


def remove_checksum(path: Path) -> None:
    """Remove the checksum file that older versions wrote next to `path`, durably, before `path` itself is replaced."""
    checksum = _checksum_path(path)
    if checksum.exists():
        checksum.unlink()
        sync_folder(path.parent)


def _checksum_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _link_or_copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        target.write_bytes(source.read_bytes())
