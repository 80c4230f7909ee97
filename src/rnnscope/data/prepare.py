"""From settings to encoded splits: find, clean, divide, count, encode, and keep the result under its fingerprint."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rnnscope.allocator import keep_blocks_of_text, return_freed_memory
from rnnscope.data import report
from rnnscope.data.cache import cached
from rnnscope.data.characters import CharacterCounts
from rnnscope.data.clean_text import CleanText
from rnnscope.data.cleaning import Cleaner
from rnnscope.data.corpus import SPLITS, Corpus, content_digest
from rnnscope.data.sources import Source, text_decoder
from rnnscope.data.splits import Ranges, check_split, divide
from rnnscope.data.stream import SplitInfo, encode_split, open_stream
from rnnscope.data.units import check_kind, units
from rnnscope.data.vocabulary import LARGEST, Vocabulary, check_size, token_counts
from rnnscope.data.writing import shuffled, write_text
from rnnscope.errors import UserError

FORMAT = 1  # of the cache: another number makes all texts be encoded again


@dataclass(frozen=True)
class TextSettings:
    """The keys of `dataset` that decide what the ids are (see conf/dataset/text_files.yaml for each)."""

    corpus: Mapping[str, Any]
    level: str = "char"
    words: str = "lossless"
    vocabulary_size: int | None = None
    minimum_count: int = 1
    start_end: str | None = None
    split: Mapping[str, float | None] = field(default_factory=lambda: {"train": 0.9, "val": 0.1, "test": 0.0})
    unk: str = "<unk>"
    start: str = "<s>"
    end: str = "</s>"
    unk_in_text: bool = False
    encoding: str = "utf-8"
    newline: str = "universal"
    strip_bom: bool = True
    strip_gutenberg: bool = False
    remove: tuple[str, ...] = ()
    normalise: str | None = None
    lower_case: bool = False

    def check(self, windows: str = "stream") -> None:
        """Refuse what has no meaning before anything is read. Errors: `UserError` naming the key."""
        check_size(self.level, self.vocabulary_size)
        check_kind(self.start_end, self.level, windows)
        if self.level == "word" and self.words == "penn" and self.start_end not in ("sentence", "line"):
            raise UserError("dataset.words=penn takes sentences: set dataset.start_end to sentence or line")
        check_split(self.split)
        text_decoder(self.encoding)
        self.cleaner()
        if self.minimum_count < 1:
            raise UserError(f"dataset.minimum_count={self.minimum_count}: use 1 (keep all) or more")
        if self.unk_in_text and self.level != "word":
            raise UserError(f"dataset.unk_in_text=true has no meaning at dataset.level={self.level}: it is for words")
        if self.unk_in_text and self.words == "penn":
            raise UserError("dataset.unk_in_text=true: dataset.words=penn splits <unk> up: use words=space or lossless")
        if self.unk_in_text and any(map(str.isspace, self.unk)):
            raise UserError(f"dataset.unk={self.unk!r}: with unk_in_text it must be one word, without white space")

    def cleaner(self) -> Cleaner:
        return Cleaner(self.newline, self.strip_bom, self.strip_gutenberg, tuple(self.remove), self.normalise, self.lower_case)

    def vocabulary_options(self) -> dict[str, Any]:
        names = ("unk", "start", "end", "words", "lower_case", "normalise", "unk_in_text")
        return {name: getattr(self, name) for name in names}

    def digest(self, vocabulary: Vocabulary | None) -> str:
        """A sha256 of all else that decides the ids: these settings, a frozen vocabulary, versions of libraries."""
        libraries = {"word": ("tokenizers", "nltk"), "sentence": ("nupunkt",)}
        used = [name for key in (self.level, self.start_end or "") for name in libraries.get(key, ())]
        data = asdict(self) | {"format": FORMAT, "libraries": {name: importlib.metadata.version(name) for name in used}}
        data["corpus"] = {
            key: value for key, value in self.corpus.items() if key in ("column", "lines", "separator", "shuffle")
        }
        data["vocabulary"] = vocabulary.to_json() if vocabulary else None
        return _digest(data)


@dataclass(frozen=True)
class PreparedText:
    """A text that is ready to be trained on."""

    folder: Path
    vocabulary: Vocabulary
    splits: dict[str, SplitInfo]
    fingerprint: dict[str, Any]
    report: list[str]

    def stream(self, split: str) -> np.ndarray:
        """The ids of a split with START in front, as a read-only memory map: (ids,)."""
        return open_stream(self.folder / f"{split}.ids", self.splits[split], self.vocabulary.dtype)


def prepare(settings: TextSettings, cache_dir: Path, vocabulary: Vocabulary | None, say: Callable[[str], None]) -> PreparedText:
    """Encode the text that `settings` describe, or find it encoded. A `vocabulary` given is used as it is.

    The text is always read once, to hash it: the cache is found by content, whatever the files' names and dates say.
    """
    settings.check()
    _check_frozen(settings, vocabulary)
    corpus = Corpus(**settings.corpus, cache_dir=cache_dir, say=say)
    found = corpus.find()
    text_digest = content_digest(found)
    settings_digest = settings.digest(vocabulary)
    folder = cache_dir / "streams" / _digest([text_digest, settings_digest])[:32]

    def fill(partial: Path) -> dict[str, Any]:
        return _encode(settings, corpus, found, vocabulary, partial)

    manifest = cached(folder, fill, say)
    return_freed_memory()
    splits = {name: SplitInfo(**info) for name, info in manifest["splits"].items()}
    fingerprint = {
        "text": text_digest,
        "settings": settings_digest,
        "vocabulary": _digest(manifest["vocabulary"]),
        "streams": {name: info.sha256 for name, info in splits.items()},
    }
    made = vocabulary or Vocabulary.from_json(manifest["vocabulary"])
    return PreparedText(folder, made, splits, fingerprint, manifest["report"])


def _encode(
    settings: TextSettings,
    corpus: Corpus,
    found: dict[str, list[Source]],
    frozen: Vocabulary | None,
    folder: Path,
) -> dict[str, Any]:
    """Fill `folder` with the id files of the splits. Gives the manifest."""
    keep_blocks_of_text()
    cleaner, kind = settings.cleaner(), settings.start_end
    before = _signatures(found)
    text = write_text(corpus, found, cleaner, encoding=settings.encoding, separate=kind is None, path=folder / "text")
    if corpus.shuffle and len(text.ends) > text.files:
        text = shuffled(text, corpus.separator if kind is None else "", folder / "shuffled")
        return_freed_memory()  # three numbers for each document, of which there may be millions
    ranges = divide(text, settings.split, divided=corpus.divided, lines=kind in ("line", "paragraph", "sentence"))
    counts = None if frozen or settings.level == "byte" else _count(text, ranges["train"], settings)
    characters = None if frozen else len(counts or ()) if settings.level == "char" else _distinct(text, ranges["train"])
    vocabulary = frozen or _build(counts or Counter(), settings)
    splits = {name: encode_split(text, *ranges[name], kind, vocabulary, folder / f"{name}.ids") for name in SPLITS}
    if _signatures(found) != before:
        raise UserError("the text changed while it was being read: start again when nothing writes to it")
    lines = [
        *report.text_lines(text, characters, counts, settings.level, settings.words),
        *report.change_lines(corpus.changes + cleaner.changes, cleaner.removed),
        *report.idle_lines(pattern for pattern in settings.remove if pattern not in cleaner.matched),
        *report.vocabulary_lines(vocabulary, counts, settings.vocabulary_size, settings.minimum_count),
        *_split_lines(text, ranges, splits, settings, vocabulary),
        report.example_line(next(text.blocks(0, int(text.ends[0]))), vocabulary),
    ]
    text.path.unlink()
    infos = {name: info.to_json() for name, info in splits.items()}
    return {"splits": infos, "vocabulary": vocabulary.to_json(), "report": lines}


def _split_lines(
    text: CleanText, ranges: Ranges, splits: dict[str, SplitInfo], settings: TextSettings, vocabulary: Vocabulary
) -> Iterator[str]:
    for name, info in splits.items():
        if info.tokens:
            yield report.split_line(name, info.to_json())
        if info.unknown and vocabulary.level == "char" and name != "train":
            unseen = report.unseen_line(name, _tally(text, ranges[name], settings), vocabulary)
            if unseen:
                yield unseen


def _tally(text: CleanText, span: tuple[int, int], settings: TextSettings) -> Counter[str]:
    """How often each token occurs in a part of the text."""
    tally = token_counts(settings.level, settings.words, settings.unk if settings.unk_in_text else None)
    for some in units(text, *span, settings.start_end, words=settings.level == "word"):
        tally.add(some.texts)
    return tally.counts()


def _count(text: CleanText, span: tuple[int, int], settings: TextSettings) -> Counter[str]:
    """How often each token occurs in train, where there must be two different ones."""
    counts = _tally(text, span, settings)
    if len(counts) < 2:
        token, char = next(iter(counts), "")[:20], " or dataset.level=char" if settings.level == "word" else ""
        raise UserError(f"the train split has one distinct token, {token!r}: nothing can be learnt, give another text{char}")
    return counts


def _distinct(text: CleanText, span: tuple[int, int]) -> int:
    """How many different characters a part of the text has."""
    tally = CharacterCounts()
    for block in text.blocks(*span):
        tally.add([block])
    return len(tally.counts())


def _build(counts: Counter[str], settings: TextSettings) -> Vocabulary:
    options = settings.vocabulary_options()
    size, least = settings.vocabulary_size, settings.minimum_count
    vocabulary = Vocabulary.build(counts, level=settings.level, cap=size, minimum_count=least, **options)
    if len(vocabulary) > LARGEST:
        raise UserError(
            f"the vocabulary would have {len(vocabulary)} tokens, more than {LARGEST}: "
            "set dataset.vocabulary_size or a larger dataset.minimum_count"
        )
    if settings.level != "byte" and len(vocabulary) < 4:
        raise UserError(f"dataset.minimum_count={least}: no token occurs that often: use a smaller number")
    return vocabulary


def _check_frozen(settings: TextSettings, vocabulary: Vocabulary | None) -> None:
    """Refuse settings that would make other tokens than those of a vocabulary that is given."""
    if vocabulary is None:
        return
    word = ("words", "unk_in_text") if vocabulary.level == "word" else ()
    for key in ("level", *word, "lower_case", "normalise"):
        if getattr(settings, key) != getattr(vocabulary, key):
            value, wanted = _spelled(getattr(settings, key)), _spelled(getattr(vocabulary, key))
            raise UserError(f"dataset.{key}={value}: the vocabulary was made with {wanted}: set {wanted}")


def _spelled(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _signatures(found: dict[str, list[Source]]) -> list[tuple[int, int]]:
    paths = [source.path for sources in found.values() for source in sources]
    return [(status.st_size, status.st_mtime_ns) for status in map(Path.stat, paths)]


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
