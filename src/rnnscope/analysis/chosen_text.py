"""The text that `rnnscope visualize` examines: a file, typed text, or a part of the run's own."""

import codecs
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnscope.analysis.evolution import words_of
from rnnscope.analysis.novelty import text_of
from rnnscope.analysis.own_data import own_stream
from rnnscope.analysis.reading import spelled_out
from rnnscope.data.cleaning import clean
from rnnscope.data.config import DatasetConfig
from rnnscope.data.file_types import not_text
from rnnscope.data.sources import errors_of
from rnnscope.data.stream import encode_text
from rnnscope.errors import UserError, check_least, reason
from rnnscope.runs.load import LoadedRun, Tokens
from rnnscope.runs.record import value_at

BYTES = re.compile("[\udc80-\udcff]")  # as Python reads bytes that are not UTF-8: ids can hold them, and no text can
WORDS_FROM = 5_000_000  # tokens of the training text


@dataclass(frozen=True)
class ChosenText:
    """The beginning of a text, or its ids, the length in characters, the source, and whether the text was longer."""

    text: Tokens
    characters: int
    source: str
    cut: bool


def choose_text(run: LoadedRun, typed: str | None, split: str, data: str | None, characters: int) -> ChosenText:
    """Return the text to examine: `typed` is a file's path or the text itself; None means a split of the run's own text.

    Raises:
        UserError: if it is empty, missing, or cannot be read.
    """
    check_least("characters", characters, 2)
    if typed is None:
        return _own(run, split, data, characters)
    path = Path(os.path.expanduser(typed))
    if _is_file(path):
        text, source = _beginning(path, DatasetConfig(**_reading(run)), characters + 1), str(path)
    elif path.suffix in (".txt", ".py", ".c", ".md") and not any(mark.isspace() for mark in typed):
        raise UserError(f"text={typed} does not exist: give a file, or the text itself")
    else:
        text, source = typed, "the text given"
    if not text.strip():
        raise UserError(f"text={typed}: the text is empty" if text != typed or typed else "text= is empty")
    shown, cut = text[:characters], len(text) > characters
    if BYTES.search(shown):
        ids = encode_text(run.vocabulary, clean(shown, value_at(run.config, "dataset")), None)
        return ChosenText(ids, len(shown), source, cut)
    return ChosenText(shown, len(shown), source, cut)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # not a valid path
        return False


def _reading(run: LoadedRun) -> dict[str, Any]:
    """Return the keys of a run's dataset that say how bytes become characters; an older one may lack some."""
    known = {key: value_at(run.config, f"dataset.{key}") for key in ("encoding", "encoding_errors", "level")}
    return {key: value for key, value in known.items() if value is not None}


def _beginning(path: Path, config: DatasetConfig, characters: int) -> str:
    """Return the first characters of a file without reading the rest."""
    try:
        with path.open("rb") as file:
            block = file.read(4 * characters + 4)
        if config.level != "byte" and (found := not_text(block, path.name)):
            raise UserError(f"text={path}: this is {found[0]}, not plain text: give a plain text file, or the text itself")
        text = codecs.getincrementaldecoder(config.encoding)(errors_of(config)).decode(block)
    except OSError as error:
        raise UserError(f"text={path} cannot be read: {error.strerror}") from error
    except UnicodeError as error:
        where = f"byte {error.start} is" if isinstance(error, UnicodeDecodeError) else "it is"
        what = f"{where} not {config.encoding} ({reason(error)})"
        raise UserError(f"text={path}: {what}: save it as {config.encoding}") from None
    return text[:characters]


def _own(run: LoadedRun, split: str, data: str | None, characters: int) -> ChosenText:
    """Return the beginning of a split as it was encoded: its text alone does not tell what UNK, START and END were."""
    stream = own_stream(run, split, data)
    begin = np.asarray(stream[: characters + 1])
    text, ends = spelled_out(run.vocabulary, begin[1:])
    tokens = max(int((ends < characters).sum()), 1)
    return ChosenText(
        begin[: tokens + 1], min(int(ends[tokens - 1]) + 1, len(text)), f"the {split} split", len(stream) > tokens + 1
    )


def training_words(run: LoadedRun, data: str | None) -> set[str] | None:
    """Return the words at the beginning of the training text, in lower case; None if that text is missing."""
    try:
        return set(words_of(text_of(run.vocabulary, own_stream(run, "train", data)[1 : WORDS_FROM + 1])))
    except UserError:
        return None
