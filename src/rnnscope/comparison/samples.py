"""The texts that a run wrote while it trained: the last of samples.jsonl, read within limits."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnscope.errors import UserError, reason
from rnnscope.runs.journal import FILE_LIMIT
from rnnscope.runs.safe_files import last_lines

TAIL = 1_000_000  # bytes of samples.jsonl that are read


@dataclass(frozen=True)
class Sample:
    """A text generated after `step` optimizer steps."""

    step: int
    temperature: float
    prompt: str
    text: str


def final_sample(path: Path) -> tuple[Sample | None, str | None]:
    """Return the sample of the last step, that of the middle temperature, and what is wrong with the file."""
    if not path.is_symlink() and not path.exists():
        return None, None
    try:
        lines, _ = last_lines(path, TAIL, FILE_LIMIT)
        samples = _of_last_step(lines)
    except UserError as error:
        return None, str(error)
    except OSError as error:
        return None, f"{path} cannot be read ({reason(error)})"
    except (KeyError, ValueError, TypeError, OverflowError, RecursionError) as error:
        return None, f"{path}: a line of it is not a sample ({type(error).__name__})"
    return (samples[(len(samples) - 1) // 2] if samples else None), None


def _of_last_step(lines: list[str]) -> list[Sample]:
    """Return the samples of the last step, the coolest first."""
    found: list[Sample] = []
    for line in reversed(lines):
        sample = _parse(json.loads(line))
        if found and sample.step != found[0].step:
            break
        found.append(sample)
    return sorted(found, key=lambda sample: sample.temperature)


def _parse(values: dict[str, Any]) -> Sample:
    return Sample(int(values["step"]), float(values["temperature"]), str(values["prompt"]), str(values["text"]))
