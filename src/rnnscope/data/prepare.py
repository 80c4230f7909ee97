"""From a config to encoded splits: find, clean, divide, count, encode, and cache the result under its fingerprint."""

import hashlib
import importlib.metadata
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnnscope.allocator import keep_blocks_of_text, return_freed_memory
from rnnscope.data import report
from rnnscope.data.cache import cached
from rnnscope.data.clean_text import CleanText, shuffled, write_text
from rnnscope.data.cleaning import Cleaner, separator_of
from rnnscope.data.columns import check_delimiter
from rnnscope.data.config import READER_VERSION, DatasetConfig
from rnnscope.data.corpus import SPLITS, Corpus, content_digest, packed
from rnnscope.data.sources import ENCODING_ERRORS, Source, text_decoder
from rnnscope.data.split_warnings import split_warnings
from rnnscope.data.splits import Ranges, check_split, divide, divide_columns
from rnnscope.data.stream import SplitInfo, encode_split, open_stream
from rnnscope.data.units import check_kind, units
from rnnscope.data.vocabulary import LARGEST, Vocabulary, check_size, token_counts
from rnnscope.errors import UserError, check_least, unknown_value
from rnnscope.format import plain

FORMAT = 1  # of the ids: with a new number, all texts are encoded again, and no older run finds its own
CACHED = 2  # version of the manifest in the cache: with a new number, all texts are encoded again, to the same ids
# keys that the ids do not depend on
NOT_IN_IDS = ("name", "windows", "window_step", "batch_size", "sequence_length", "val_batch_size")
CORPUS_IN_IDS = ("column", "lines", "separator", "shuffle")  # keys of the corpus that they depend on
# keys of later versions that they depend on, each with the value that it stands for in older runs
ADDED = {"delimiter": None, "header": True, "escape": None, "reader_version": 1, "encoding_errors": "strict", "columns": None}
LIBRARIES = {"word": ("tokenizers", "nltk"), "sentence": ("nupunkt",)}  # by level and start_end


def check_dataset(config: DatasetConfig) -> None:
    """Raise `UserError`, naming the key, for a config that cannot be used; nothing is read yet."""
    check_size(config.level, config.vocabulary_size)
    check_kind(config.start_end, config.level, config.windows)
    if config.level == "word" and config.words == "penn" and config.start_end not in ("sentence", "line"):
        raise UserError("dataset.words=penn reads sentences: set dataset.start_end to sentence or line")
    check_split(vars(config.split))
    columns = config.split.columns
    if columns is not None and (columns < 1 or config.start_end or config.corpus.val_path or config.corpus.test_path):
        raise UserError(
            f"dataset.split.columns={columns} must be at least 1, and cannot go with start_end, val_path or test_path"
        )
    text_decoder(config.encoding)
    if config.encoding_errors not in ENCODING_ERRORS:
        raise UserError(unknown_value("dataset.encoding_errors", config.encoding_errors, ENCODING_ERRORS))
    check_delimiter(config.corpus)
    if not 1 <= (version := config.corpus.reader_version) <= READER_VERSION:
        raise UserError(f"dataset.corpus.reader_version={version} must be {READER_VERSION}, or that of an older run, from 1")
    if version > 5:
        _check_cleaning(config)
    Cleaner(config)
    for key in ("minimum_count", "batch_size", "sequence_length", "val_batch_size"):
        if getattr(config, key) < 1:
            raise UserError(f"dataset.{key}={getattr(config, key)} must be at least 1")
    if config.window_step is not None and config.windows != "many_to_one":
        raise UserError(f"dataset.window_step={config.window_step} applies to dataset.windows=many_to_one only: leave it out")
    check_least("dataset.window_step", config.window_step, 1)
    if config.unk_in_text:
        _check_unk_in_text(config)


def _check_cleaning(config: DatasetConfig) -> None:
    """Refuse what older reader versions accepted and did not do."""
    if config.strip_gutenberg and (config.corpus.lines or config.corpus.column):
        key = "column" if config.corpus.column else "lines"
        raise UserError(
            f"dataset.strip_gutenberg=true needs whole files, and dataset.corpus.{key} makes a document of each line or row:"
            " set one of them only"
        )
    if config.newline == "crlf" and config.start_end in ("line", "paragraph"):
        raise UserError(
            f"dataset.newline=crlf: with dataset.start_end={config.start_end}, END stands for line ends: set one of them only"
        )


def _check_unk_in_text(config: DatasetConfig) -> None:
    if config.level != "word":
        raise UserError(f"dataset.unk_in_text=true is only for dataset.level=word, not {config.level}")
    if config.words == "penn":
        raise UserError("dataset.unk_in_text=true: dataset.words=penn would split <unk>: use dataset.words=space or lossless")
    if any(map(str.isspace, config.unk)):
        raise UserError(f"dataset.unk={config.unk!r} must be one word, without white space, with dataset.unk_in_text=true")


@dataclass(frozen=True)
class PreparedText:
    """A text that is ready for training."""

    folder: Path
    vocabulary: Vocabulary
    splits: dict[str, SplitInfo]
    fingerprint: dict[str, Any]
    report: list[str]
    changes: list[str]  # the lines of the report on what was changed or left out

    def stream(self, split: str) -> np.ndarray:
        """Return the ids of a split with START in front, as a read-only memory map: (ids,)."""
        return open_stream(self.folder / f"{split}.ids", self.splits[split], self.vocabulary.dtype)


def prepare(config: DatasetConfig, cache_dir: Path, vocabulary: Vocabulary | None, say: Callable[[str], None]) -> PreparedText:
    """Encode the text that `config` describes, or find it in the cache. A given `vocabulary` is used unchanged.

    The files are always read once, to hash them: the cache depends on their content, not on their names and dates.
    """
    check_dataset(config)
    _check_frozen(config, vocabulary)
    corpus = Corpus(config.corpus, cache_dir, say)
    found = corpus.find()
    text_digest = content_digest(found)
    settings_digest = _settings_digest(config, vocabulary)
    folder = cache_dir / "streams" / _digest([text_digest, settings_digest, CACHED, *packed(found)])[:32]
    manifest = cached(folder, lambda partial: _encode(config, corpus, found, vocabulary, partial), say)
    return_freed_memory()
    splits = {name: SplitInfo(**info) for name, info in manifest["splits"].items()}
    made = vocabulary or Vocabulary.from_json(manifest["vocabulary"])
    fingerprint = {
        "text": text_digest,
        "settings": settings_digest,
        "vocabulary": made.digest(),
        "streams": {name: info.sha256 for name, info in splits.items()},
    }
    return PreparedText(folder, made, splits, fingerprint, manifest["report"], manifest["changes"])


def _settings_digest(config: DatasetConfig, vocabulary: Vocabulary | None) -> str:
    """Return a SHA-256 of what decides the ids besides the text: keys, a frozen vocabulary, versions of libraries."""
    used = [name for key in (config.level, config.start_end) for name in LIBRARIES.get(key or "", ())]
    data = {key: value for key, value in asdict(config).items() if key not in NOT_IN_IDS}
    data["corpus"] = {key: value for key, value in data["corpus"].items() if key in (*CORPUS_IN_IDS, *ADDED)}
    for keys in (data, data["corpus"], data["split"]):
        for key in [key for key in keys if key in ADDED and keys[key] == ADDED[key]]:
            del keys[key]
    data["vocabulary"] = vocabulary.to_json() if vocabulary else None
    return _digest(data | {"format": FORMAT, "libraries": {name: importlib.metadata.version(name) for name in used}})


def _encode(
    config: DatasetConfig, corpus: Corpus, found: dict[str, list[Source]], frozen: Vocabulary | None, folder: Path
) -> dict[str, Any]:
    """Fill `folder` with the id files of the splits and return the manifest."""
    keep_blocks_of_text()
    cleaner, kind = Cleaner(config), config.start_end
    before = _signatures(found)
    text = write_text(config, corpus, found, cleaner, folder / "text")
    if config.corpus.shuffle and len(text.ends) > text.files:
        text = shuffled(text, separator_of(config), folder / "shuffled")
        return_freed_memory()  # three numbers per document, of which there may be millions
    if config.split.columns is not None:
        text, ranges = divide_columns(text, config.split, folder / "columns")
    else:
        ranges = divide(text, vars(config.split), divided=corpus.divided, lines=kind in ("line", "paragraph", "sentence"))
    counts = None if frozen or config.level == "byte" else _count(text, ranges["train"], config)
    each = counts if frozen or config.level == "char" else _tally(text, ranges["train"], DatasetConfig(level="char"))
    characters = None if each is None else len(each)
    vocabulary = frozen or _build(counts or Counter(), config)
    splits = {name: encode_split(text, *ranges[name], kind, vocabulary, folder / f"{name}.ids") for name in SPLITS}
    splits |= {name: replace(splits[name], text_sha256=text.sha256(*ranges[name])) for name in SPLITS if name != "train"}
    if _signatures(found) != before:
        raise UserError("the text changed while it was read: start again once it no longer changes")
    ends_in_val = len(text.ends) == 1 and not splits["test"].ids
    changes = report.change_lines(corpus.changes + cleaner.changes, cleaner.removed)
    shuffle = config.corpus.shuffle and corpus.divided
    lines = [
        *report.text_lines(text, characters, counts, config.level, config.words),
        *changes,
        *report.idle_lines(pattern for pattern in config.remove if pattern not in cleaner.matched),
        *report.vocabulary_lines(vocabulary, counts, config.vocabulary_size, config.minimum_count),
        *_split_lines(text, ranges, splits, config, vocabulary),
        *report.gutenberg_line(cleaner.gutenberg, splits["val"].characters if ends_in_val else 0),
        *(report.unshuffled_line() if shuffle and len(text.ends) == 1 else ()),
        *split_warnings(text, ranges, mixed=shuffle and len(text.ends) > 1),
        report.example_line(next(text.blocks(0, int(text.ends[0]))), vocabulary),
    ]
    text.path.unlink()
    infos = {name: asdict(info) for name, info in splits.items()}
    return {"splits": infos, "vocabulary": vocabulary.to_json(), "report": lines, "changes": changes}


def _split_lines(
    text: CleanText, ranges: Ranges, splits: dict[str, SplitInfo], config: DatasetConfig, vocabulary: Vocabulary
) -> Iterator[str]:
    for name, info in splits.items():
        if info.tokens:
            yield report.split_line(name, info)
        if name != "train" and 0 < info.tokens < report.FEW_TOKENS:
            yield report.few_tokens_line(name, info.tokens)
        if info.unknown and vocabulary.level == "char" and name != "train":
            yield from report.unseen_lines(name, _tally(text, ranges[name], config), vocabulary)


def _tally(text: CleanText, span: tuple[int, int], config: DatasetConfig) -> Counter[str]:
    """Count the tokens of a part of the text."""
    tally = token_counts(config.level, config.words, config.unk if config.unk_in_text else None)
    for some in units(text, *span, config.start_end, words=config.level == "word"):
        tally.add(some.texts)
    return tally.counts()


def _count(text: CleanText, span: tuple[int, int], config: DatasetConfig) -> Counter[str]:
    """Count the tokens of train. Raises `UserError` if there are not at least two different ones."""
    counts = _tally(text, span, config)
    if len(counts) < 2:
        token, char = next(iter(counts), "")[:20], " or dataset.level=char" if config.level == "word" else ""
        raise UserError(
            f"the train split has one distinct token, {token!r}, so there is nothing to learn: use a different text{char}"
        )
    return counts


def _build(counts: Counter[str], config: DatasetConfig) -> Vocabulary:
    vocabulary = Vocabulary.build(counts, config)
    if len(vocabulary) > LARGEST:
        raise UserError(
            f"the vocabulary would have {len(vocabulary):,} tokens, more than {LARGEST:,}: "
            "set dataset.vocabulary_size or a larger dataset.minimum_count"
        )
    if config.level != "byte" and len(vocabulary) < 4:
        raise UserError(f"dataset.minimum_count={config.minimum_count}: no token occurs that often: use a smaller number")
    return vocabulary


def _check_frozen(config: DatasetConfig, vocabulary: Vocabulary | None) -> None:
    """Raise `UserError` for a config that would not split a text into the tokens of a given vocabulary."""
    if vocabulary is None:
        return
    word = ("words", "unk_in_text") if vocabulary.level == "word" else ()
    for key in ("level", *word, "lower_case", "normalise"):
        if getattr(config, key) != getattr(vocabulary, key):
            value, wanted = plain(getattr(config, key)), plain(getattr(vocabulary, key))
            raise UserError(f"dataset.{key}={value}: the vocabulary was made with {wanted}: set dataset.{key}={wanted}")


def _signatures(found: dict[str, list[Source]]) -> list[tuple[int, int]]:
    paths = [source.path for sources in found.values() for source in sources]
    return [(status.st_size, status.st_mtime_ns) for status in map(Path.stat, paths)]


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
