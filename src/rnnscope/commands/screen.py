"""The terminal: lines for everybody, a progress bar where somebody watches, and the same lines in train.log."""

import sys
from pathlib import Path
from typing import IO, Self

from tqdm import tqdm


class Screen:
    """Prints to stdout unless `quiet`, and to train.log once there is one; lines from before it are kept for it."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._early: list[str] = []
        self._log: IO[str] | None = None
        self._bar: tqdm | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def log_to(self, path: Path) -> None:
        """Copy everything said so far and from now on to `path`."""
        self._log = path.open("a", encoding="utf-8", errors="replace")
        self._log.writelines(line + "\n" for line in self._early)
        self._early = []

    def say(self, line: str) -> None:
        """Show one or more lines, above the bar if there is one."""
        if self._bar is not None:
            self._bar.clear()
        if not self._quiet:
            print(printable(line), flush=True)
        if self._bar is not None:
            self._bar.refresh()
        if self._log is None:
            self._early.append(line)
        else:
            self._log.write(line + "\n")
            self._log.flush()

    def bar(self, step: int, total: int | None, text: str) -> None:
        """Move the bar; without a terminal there is none."""
        if self._quiet or not sys.stderr.isatty():
            return
        if self._bar is None:
            self._bar = tqdm(total=total, initial=step, unit=" steps", dynamic_ncols=True, leave=False)
        self._bar.set_description_str(text, refresh=False)
        self._bar.update(step - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if self._log is not None:
            self._log.close()
            self._log = None


def printable(text: str) -> str:
    """Return text that cannot steer a terminal: control characters are shown, not obeyed."""
    shown = "".join(character if character in "\n\t" or character.isprintable() else _visible(character) for character in text)
    return shown.encode(sys.stdout.encoding or "utf-8", "replace").decode(sys.stdout.encoding or "utf-8", "replace")


def _visible(character: str) -> str:
    code = ord(character)
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd" if 0x80 <= code < 0xA0 else character
