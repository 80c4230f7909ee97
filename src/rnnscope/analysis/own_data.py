"""The data of a run, prepared as its snapshot records it, and any text read in the same way."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rnnscope.analysis.novelty import text_of
from rnnscope.config.changes import with_changes
from rnnscope.config.places import moved_to
from rnnscope.config.schema import TrainConfig
from rnnscope.config.validate import from_plain
from rnnscope.data.columns import TABLES
from rnnscope.data.config import CorpusConfig, SplitConfig
from rnnscope.data.corpus import SPLITS
from rnnscope.data.module import TextData
from rnnscope.data.prepare import check_dataset
from rnnscope.errors import NotText, UserError, WrongColumn, WrongEncoding, check_choice
from rnnscope.paths import cache_folder
from rnnscope.runs.load import LoadedRun
from rnnscope.runs.own_text import check_data, finding
from rnnscope.runs.record import Record

ARCHIVES_FROM = 5  # the reader version that reads all archives as today; later ones also clean differently


def own_stream(run: LoadedRun, split: str, data: str | None = None) -> np.ndarray:
    """Return the ids of a split of the run's own text; `data` is its new path if it has moved.

    Raises:
        UserError: as `own_data`.
    """
    return own_data(run, config_of(run, data), split).stream(split)


def training_lines(run: LoadedRun) -> set[str]:
    """Return the lines of the text that a run was trained on.

    Raises:
        UserError: as `own_data`.
    """
    return set(text_of(run.vocabulary, own_stream(run, "train")).splitlines())


def config_of(run: LoadedRun, data: str | None) -> TrainConfig:
    """Return the run's config; `data` is the new path of its text if it has moved."""
    recorded = from_plain(run.config, str(run.folder.config))
    return with_changes(recorded, moved_to(recorded.dataset.corpus, data))


def own_data(loaded: LoadedRun, recorded: TrainConfig, split: str) -> TextData:
    """Return the run's data as recorded in its snapshot.

    Raises:
        UserError: if the text is missing or has changed, or the split is empty.
    """
    check_choice("split", split, SPLITS)
    record = Record.read(loaded.folder.record) if loaded.folder.record.exists() else None
    fingerprint = record.get("data.fingerprint", dict, {}) if record else {}
    check_dataset(recorded.dataset)  # not an error about the text
    with finding(recorded.dataset.corpus, fingerprint):
        data = _prepare(loaded, recorded)
    known = {key: value for key, value in fingerprint.items() if key != "settings"}  # the vocabulary is given instead
    check_data(data.fingerprint, known, data.config.corpus)
    check_split(loaded, data, split)
    return data


def check_split(loaded: LoadedRun, data: TextData, split: str) -> None:
    """Raise a `UserError` if the run's data has no such split."""
    if not data.splits[split].tokens:
        where = f"dataset.split in {loaded.folder.config}"
        raise UserError(f"split={split}: this run's data has no {split} split ({where}); split=train is always there")


def any_text(loaded: LoadedRun, recorded: TrainConfig, path: str) -> TextData:
    """Read any text as the run's dataset reads its own: encoding, cleaning, START and END; of a table, the same column.

    What was changed or left out is printed.
    """
    own, suffixes = recorded.dataset.corpus, set(Path(path.lower()).suffixes)
    same = ("column", "delimiter", "header", "escape") if own.column and suffixes & set(TABLES) else ()
    keys = {"lines": own.lines and not own.column, **{key: getattr(own, key) for key in ("separator", *same)}}
    corpus = CorpusConfig(path=path, reader_version=max(own.reader_version, ARCHIVES_FROM), **keys)
    whole = SplitConfig(1.0, 0.0, 0.0)
    try:
        data = _prepare(loaded, recorded, corpus=corpus, split=whole)
    except WrongEncoding as error:  # this command has no key to set the encoding
        encoding = recorded.dataset.encoding
        raise WrongEncoding(error.found, f"this run's texts are {encoding}; save this one as {encoding} first") from None
    except NotText as error:  # nor one for what to leave out
        raise NotText(error.found, "give a text file, or a folder of text files only") from None
    except WrongColumn as error:  # nor one for the column
        raise WrongColumn(error.found, f"this run reads column {own.column!r}; give a table that has it, or its text") from None
    for line in data.text.changes:
        print(line, file=sys.stderr)
    return data


def _prepare(loaded: LoadedRun, recorded: TrainConfig, **keys: Any) -> TextData:
    """Return the run's data, with `keys` of its dataset changed, encoded with the run's own vocabulary."""
    places = {"cache_dir": cache_folder(), "vocabulary": loaded.vocabulary, "say": partial(print, file=sys.stderr)}
    return TextData.from_config(replace(recorded.dataset, **keys), seed=recorded.seed, **places).prepare()
