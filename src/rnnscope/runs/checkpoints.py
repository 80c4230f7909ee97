"""Checkpoints: written beside and moved into place, each with a checksum, loaded as plain tensors and containers only."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from rnnscope.errors import UserError
from rnnscope.runs.files import replace_file, replace_text, sha256_of

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"


class Checkpoints:
    """The checkpoints/ folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, write: Callable[[Path], None], names: list[str]) -> None:
        """Let `write` make a checkpoint file once and store it under each of `names`.

        The file that was last.ckpt stays as previous.ckpt, so that at any moment one whole checkpoint exists.
        """
        self.folder.mkdir(exist_ok=True)
        first = self.folder / names[0]
        if names[0] == LAST and first.exists():
            self._link(first, self.folder / PREVIOUS)
        replace_file(first, write)
        replace_text(_checksum_path(first), sha256_of(first) + "\n")
        for name in names[1:]:
            self._link(first, self.folder / name)

    def _link(self, source: Path, target: Path) -> None:
        """Give `source` and its checksum a second name: no bytes are copied where the file system can link."""
        for old, new in ((source, target), (_checksum_path(source), _checksum_path(target))):
            if old.exists():
                replace_file(new, lambda temporary, old=old: _link_or_copy(old, temporary))

    def path(self, which: str) -> Path:
        """Return the file of `best`, `last` or a kept step.

        Raises:
            UserError: when there is none, listing what there is.
        """
        name = f"step_{which}.ckpt" if which.isdigit() else f"{which}.ckpt"
        path = self.folder / name
        if not path.is_file():
            found = sorted(file.stem.removeprefix("step_") for file in self.folder.glob("*.ckpt"))
            raise UserError(f"checkpoint={which}: {path} does not exist; this run has {', '.join(found) or 'none'}")
        return path

    def load(self, which: str) -> dict[str, Any]:
        """Read a checkpoint onto the CPU, refusing a damaged one and anything that is more than data."""
        return load_checkpoint(self.path(which))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read one checkpoint file.

    Raises:
        UserError: when its checksum does not match or it holds anything but tensors and plain containers.
    """
    checksum = _checksum_path(path)
    if checksum.is_file() and checksum.read_text(encoding="utf-8", errors="replace").strip() != sha256_of(path):
        raise UserError(f"{path} is damaged: its checksum is not the one beside it; use another checkpoint")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UserError(f"{path} cannot be read as a checkpoint of plain tensors ({reason})") from error
    if not isinstance(loaded, dict) or "state_dict" not in loaded:
        raise UserError(f"{path} is no checkpoint of rnnscope: it holds no state_dict")
    return loaded


def _checksum_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _link_or_copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        target.write_bytes(source.read_bytes())
