"""Output of a training: lines on stdout, a progress bar on a terminal, and the same lines in train.log."""

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import IO, Self

from tqdm import tqdm

from rnnscope.format import printable, visible


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel, which shows a bar although its output is not a terminal."""
    return "ipykernel" in sys.modules and "IPython" in sys.modules


class Console:
    """Prints to stdout unless `quiet`, and to train.log once that is known; earlier lines are kept for it.

    When stdout is closed (`| head`, a closed terminal), lines go to train.log only.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._heard = not quiet
        self._early: list[str] = []
        self._log: IO[str] | None = None
        self._bar: tqdm | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def log_to(self, path: Path) -> None:
        """Copy all lines, including earlier ones, to `path`."""
        self._log = path.open("a", encoding="utf-8", errors="replace")
        self._log.writelines(line + "\n" for line in self._early)
        self._early = []

    def say(self, line: str) -> None:
        """Print one or more lines, above the bar if there is one."""
        if self._heard:
            self._show(line)
        line = visible(line)
        if self._log is None:
            self._early.append(line)
        else:
            self._log.write(line + "\n")
            self._log.flush()

    def note(self, text: str) -> None:
        """Write to train.log only."""
        if self._log is not None:
            self._log.write(visible(text) + "\n")
            self._log.flush()

    def _show(self, line: str) -> None:
        try:
            if self._bar is not None:
                self._bar.clear()
            print(printable(line), flush=True)
            if lost := getattr(sys.stdout, "failure", None):  # the reader has left (see text_io.Output)
                raise lost
            if self._bar is not None:
                self._bar.refresh()
        except OSError as error:
            self._continue_unheard(error)

    def _continue_unheard(self, error: OSError) -> None:
        """Redirect all further output to /dev/null, where it cannot fail: training outlives its terminal."""
        self._heard = False
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr) if error.errno == errno.EIO else (sys.stdout,):  # EIO: a terminal is gone
            with contextlib.suppress(OSError, ValueError):  # only a real file can be redirected
                os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        self.say(f"(the output is closed: {error.strerror}; from here on, lines go to this file only)")

    def bar(self, step: int, total: int | None, text: str) -> None:
        """Update the bar, on a terminal or in a notebook."""
        if self._quiet or not (sys.stderr.isatty() or in_notebook()):
            return
        try:
            if self._bar is None:
                self._bar = tqdm(total=total, initial=step, unit=" steps", dynamic_ncols=True, leave=False)
            self._bar.set_description_str(text, refresh=False)
            self._bar.update(step - self._bar.n)
        except OSError as error:
            self._continue_unheard(error)

    def close(self) -> None:
        """Close the bar and train.log. Errors are ignored: a full disk was reported when a line was written."""
        for open_end in (self._bar, self._log):
            if open_end is not None:
                with contextlib.suppress(OSError):
                    open_end.close()
        self._bar = self._log = None
