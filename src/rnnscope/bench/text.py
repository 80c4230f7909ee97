"""How fast a text becomes ids: counting characters, encoding from file to file, and finding sentences."""

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rnnscope.data.clean_text import BLOCK
from rnnscope.data.config import CorpusConfig, DatasetConfig
from rnnscope.data.prepare import prepare
from rnnscope.data.units import units_of
from rnnscope.data.vocabulary import Vocabulary, token_counts

SIZES = {"char": 64, "byte": 64, "word": 24}  # megabytes of text for each level; each takes a few seconds
SENTENCES = 1  # megabytes of text in which sentences are found
TURNS = 3  # the fastest counts, as other work on the machine only slows
LETTERS = "etaoinshrdlucmfwypvbgk" * 2 + "éü–’"


def encoding_lines(sizes: Mapping[str, float] = SIZES, sentences: float = SENTENCES) -> Iterator[str]:
    """Yield lines on counting, on encoding at each level, and on finding sentences; `sizes` are in megabytes."""
    lines, where = source_lines()
    text = shuffled_text(lines, int(max(*sizes.values(), sentences) * 1e6))
    yield line("count chars", *timed_count(part(text, sizes["char"])), f"{where}, from memory")
    for level, size in sizes.items():
        with tempfile.TemporaryDirectory() as folder:
            yield line(f"encode {level}s", *timed_encoding(level, part(text, size), Path(folder)), "file to ids on disk")
    yield line("sentences", *timed_sentences(part(text, sentences)), "found; added to encoding with start_end=sentence")


def line(name: str, megabytes: float, seconds: float, what: str) -> str:
    """Return a line of the report."""
    return f"{name:<15} {megabytes / seconds:>12,.1f} MB/s       {what}"


def source_lines() -> tuple[list[str], str]:
    """Return the lines of the texts in RNNSCOPE_DATA, else of a synthetic text, and a description."""
    folder, lines = os.environ.get("RNNSCOPE_DATA"), []
    for path in sorted(Path(folder).glob("*.txt")) if folder else []:
        try:
            lines += path.read_text("utf-8").splitlines(keepends=True)
        except (OSError, UnicodeDecodeError):  # some test texts there are malformed on purpose
            continue
    if lines:
        return lines, "lines of the texts in RNNSCOPE_DATA"
    draw = random.Random(0)
    words = ["".join(draw.choices(LETTERS, k=draw.randint(1, 10))) for _ in range(20_000)]
    weights = [1 / (rank + 1) for rank in range(len(words))]  # as in natural languages (Zipf)
    drawn = draw.choices(words, weights, k=12 * 20_000)
    return [" ".join(drawn[at : at + 12]).capitalize() + ".\n" for at in range(0, len(drawn), 12)], "made-up words"


def shuffled_text(lines: list[str], size: int) -> str:
    """Return a text of about `size` characters: `lines` in random order, repeated as needed."""
    draw, found, length = random.Random(0), [], 0
    while length < size:
        draw.shuffle(lines)
        found.append("".join(lines))
        length += len(found[-1])
    return "".join(found)[:size]


def part(text: str, megabytes: float) -> str:
    """Return the first `megabytes` of `text`."""
    return text[: int(megabytes * 1e6)]


def best(work: Callable[[int], Any]) -> float:
    """Return the seconds of the fastest call of `work(turn)`."""
    seconds = []
    for turn in range(TURNS):
        begin = time.perf_counter()
        work(turn)
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def timed_count(text: str) -> tuple[float, float]:
    """Return the megabytes and seconds of counting characters, in blocks as when a file is read."""
    blocks = [text[begin : begin + BLOCK] for begin in range(0, len(text), BLOCK)]

    def count(turn: int) -> None:
        tally = token_counts("char")
        for block in blocks:
            tally.add([block])

    return len(text.encode()) / 1e6, best(count)


def timed_encoding(level: str, text: str, folder: Path) -> tuple[float, float]:
    """Return the megabytes and seconds of hashing, cleaning and encoding a file to ids on disk, with a known vocabulary."""
    path = folder / "text.txt"
    path.write_text(text, encoding="utf-8")
    tally = token_counts(level)
    tally.add([text])
    config = DatasetConfig(corpus=CorpusConfig(path=str(path)), level=level)
    vocabulary = Vocabulary.build(tally.counts(), config)
    seconds = best(lambda turn: prepare(config, folder / str(turn), vocabulary, lambda said: None))
    return path.stat().st_size / 1e6, seconds


def timed_sentences(text: str) -> tuple[float, float]:
    """Return the megabytes and seconds of finding sentences."""
    return len(text.encode()) / 1e6, best(lambda turn: list(units_of(text, "sentence")))
