"""`rnnscope sample`: text from a run, streamed to stdout, which gets nothing else."""

import gc
import io
import secrets
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rnnscope.config.schema import SampleConfig

if TYPE_CHECKING:
    from rnnscope.runs.load import LoadedRun


def run(config: SampleConfig) -> None:
    """Generate text and write it as it comes."""
    gc.disable()  # while torch is imported, which leaves nothing to collect: the first character comes 0.1 s sooner
    from rnnscope.runs.load import load
    from rnnscope.text_io import read_stdin

    gc.enable()
    how = asdict(config)
    del how["plugins"]  # already imported
    novel = how.pop("novel")
    loaded = load(how.pop("run"), how.pop("checkpoint"))
    if how["prompt"] == "-":
        how["prompt"] = read_stdin("prompt")
    drawn = how["seed"] is None
    how["seed"] = secrets.randbits(31) if drawn else how["seed"]
    pieces = loaded.stream(**how)  # refuses wrong values; nothing is generated yet
    if drawn:
        print(f"run={loaded.folder.path} seed={how['seed']}", file=sys.stderr)
    for line in _remarks(loaded, how):
        print(line, file=sys.stderr)
    if novel:
        _write("\n---\n".join(_novel(loaded, how)) + "\n")
        return
    if how["count"] == 1:
        _write(how["prompt"])
        for row in pieces:
            _write(row[0])
    else:
        _write("\n---\n".join(_whole(how["prompt"], pieces, how["count"])))
    _write("\n")


def _remarks(loaded: "LoadedRun", how: dict[str, Any]) -> Iterator[str]:
    """Yield a line on each thing that the user may not expect, such as a key without effect."""
    from rnnscope.runs.generation import spaced

    if not all(parameter.isfinite().all() for parameter in loaded.model.parameters()):
        yield "warning: the weights are not finite, because the run diverged: the text is meaningless"
    if how["top_k"] is not None and how["top_k"] >= len(loaded.vocabulary):
        yield f"top_k={how['top_k']} has no effect: the vocabulary has {len(loaded.vocabulary)} tokens"
    for key in ("top_k", "top_p"):
        if how["temperature"] == 0 and how[key] is not None:
            yield f"{key}={how[key]} has no effect at temperature=0, which always takes the likeliest token"
    if spaced(loaded.vocabulary, how["prompt"]) != how["prompt"]:
        yield "the prompt is read with a space in front: its first word is known only after one"


def _novel(loaded: "LoadedRun", how: dict[str, Any]) -> list[str]:
    """Return texts without lines of the training text; print a message if they are fewer than asked for."""
    from rnnscope.analysis.novelty import novel_texts
    from rnnscope.analysis.own_data import training_lines

    def draw(round: int) -> Iterator[str]:
        again = {**how, "seed": (how["seed"] + round) % 2**63}
        return _whole(how["prompt"], loaded.stream(**again), how["count"])

    texts = list(novel_texts(draw, how["count"], training_lines(loaded)))
    if len(texts) < how["count"]:
        print(f"novel=true: only {len(texts)} of {how['count']} texts have a new line", file=sys.stderr)
    return texts


def _write(text: str) -> None:
    """Write and flush text; control characters are replaced only for a terminal."""
    from rnnscope.format import printable

    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def _whole(prompt: str, rows: Iterator[list[str]], count: int) -> Iterator[str]:
    """Return complete texts, since several cannot be streamed at the same time."""
    texts = [io.StringIO() for _ in range(count)]
    for row in rows:
        for text, piece in zip(texts, row, strict=True):
            text.write(piece)
    return (prompt + text.getvalue() for text in texts)
