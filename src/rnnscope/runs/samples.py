"""samples.jsonl: the texts that a run wrote while it trained."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from rnnscope.errors import DAMAGED, UserError, reason
from rnnscope.runs.journal import FILE_LIMIT, whole_lines
from rnnscope.runs.safe_files import last_lines

TAIL = 1_000_000  # bytes that are read for the final sample


@dataclass(frozen=True)
class Sample:
    """A text generated after `step` optimizer steps; `several` if it is made of several independent texts."""

    step: int
    temperature: float
    prompt: str
    text: str
    several: bool = False


def read_samples(path: Path, until: int | None = None) -> Iterator[Sample]:
    """Yield the samples up to step `until`, steps ascending; nothing if the file does not exist.

    Raises:
        UserError: at the first line that is not a sample.
    """
    if not path.is_symlink() and not path.exists():
        return
    try:
        for line in whole_lines(path):
            sample = _parse(line, path)
            if until is not None and sample.step > until:
                return
            yield sample
    except OSError as error:
        raise UserError(f"{path} cannot be read ({reason(error)})") from error


def final_sample(path: Path) -> Sample | None:
    """Return the sample of the last step, at the middle temperature; only the end of the file is read.

    Raises:
        UserError: if the file cannot be read, or a line there is not a sample.
    """
    if not path.is_symlink() and not path.exists():
        return None
    try:
        lines, _ = last_lines(path, TAIL, FILE_LIMIT)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({reason(error)})") from error
    samples = (_parse(line, path) for line in reversed(lines))
    last = next(samples, None)
    return last and middle([last, *takewhile(lambda sample: sample.step == last.step, samples)])


def middle(samples: Iterable[Sample]) -> Sample:
    """Return the sample of the middle temperature."""
    ordered = sorted(samples, key=lambda sample: sample.temperature)
    return ordered[(len(ordered) - 1) // 2]


def _parse(line: str, path: Path) -> Sample:
    try:
        values = json.loads(line)
        step, temperature = int(values["step"]), float(values["temperature"])
        return Sample(step, temperature, str(values["prompt"]), str(values["text"]), "texts" in values)
    except (KeyError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(f"{path}: the line {line[:40]!r} is not a sample: {DAMAGED}") from error
