"""`rnnscope sample`: text from a run, streamed to stdout; nothing else goes there."""

import secrets
import sys
from dataclasses import asdict
from typing import Any

from rnnscope.config.schema import SampleConfig


def run(config: SampleConfig) -> None:
    """Generate what `config` asks for and write it as it comes."""
    from rnnscope.format import printable
    from rnnscope.runs.load import load

    how = asdict(config)
    del how["plugins"]  # imported already
    loaded = load(how.pop("run"), how.pop("checkpoint"))
    if how["prompt"] == "-":
        how["prompt"] = sys.stdin.read()
    if how["seed"] is None:
        how["seed"] = secrets.randbits(31)
        print(f"run={loaded.folder.path} seed={how['seed']}", file=sys.stderr)
    clean = printable if sys.stdout.isatty() else str  # a terminal obeys control characters, a file does not
    pieces = loaded.stream(**how)
    if how["count"] == 1:
        _stream(how["prompt"], (row[0] for row in pieces), clean)
    else:
        _together(how["prompt"], pieces, how["count"], clean)


def _stream(prompt: str, pieces: Any, clean: Any) -> None:
    sys.stdout.write(clean(prompt))
    for piece in pieces:
        sys.stdout.write(clean(piece))
        sys.stdout.flush()
    sys.stdout.write("\n")


def _together(prompt: str, rows: Any, count: int, clean: Any) -> None:
    """Texts that advance together cannot stream to one place: they are written whole, a line of dashes between."""
    texts = [prompt] * count
    for row in rows:
        texts = [text + piece for text, piece in zip(texts, row, strict=True)]
    sys.stdout.write(clean("\n---\n".join(texts) + "\n"))
