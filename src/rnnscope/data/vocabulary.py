"""Tokens and their ids: characters, bytes or words."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np

from rnnscope.data.characters import ByteCodec, ByteDecoder, CharacterCodec, CharacterCounts
from rnnscope.data.cleaning import NORMAL_FORMS, fold
from rnnscope.data.config import DatasetConfig
from rnnscope.data.word_tokenizer import SPLITTERS, SpacedDecoder, WordCodec, WordCounts
from rnnscope.errors import UserError, unknown_value

LEVELS = ("char", "byte", "word")
UNK, START, END = 0, 1, 2
SPECIALS = 3
NEWLINE = 10  # the byte level has no START: a line feed comes before the text instead
BYTES = [chr(byte) if byte < 128 else f"<0x{byte:02X}>" for byte in range(256)]
OPTIONS = ("words", "lower_case", "normalise", "unk_in_text")  # how text is treated, stored with the tokens
VERSION = 1
LARGEST = 1_000_000  # tokens: a larger vocabulary is refused


class Vocabulary:
    """The tokens of one level and their ids.

    At levels char and word, UNK is 0, START is 1 and END is 2; the other tokens follow, the most frequent first. Level byte
    has the 256 bytes of UTF-8 only: `unk` and `end` are None, and `start` is the line feed. A special token spelled out in a
    text is ordinary text, except that with `unk_in_text` a word spelled like UNK is UNK. `lower_case` and `normalise` apply
    to whatever is encoded, so a prompt is treated as the training text was.
    """

    def __init__(
        self,
        level: str,
        tokens: Iterable[str],
        *,
        words: str = "lossless",
        lower_case: bool = False,
        normalise: str | None = None,
        unk_in_text: bool = False,
    ) -> None:
        self.level, self.tokens, self.words = level, list(tokens), words
        self.lower_case, self.normalise, self.unk_in_text = lower_case, normalise, unk_in_text
        byte = level == "byte"
        self.unk: int | None = None if byte else UNK
        self.start: int = NEWLINE if byte else START
        self.end: int | None = None if byte else END
        self.dtype = np.dtype(np.min_scalar_type(max(len(self.tokens) - 1, 0)))
        self._codec = self._make_codec()

    def _make_codec(self) -> CharacterCodec | ByteCodec | WordCodec:
        if self.level == "byte":
            return ByteCodec()
        if self.level == "char":
            return CharacterCodec(self.tokens[SPECIALS:], SPECIALS, self.dtype)
        return WordCodec(self.tokens[SPECIALS:], SPECIALS, self.words, self.tokens[UNK] if self.unk_in_text else None)

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> np.ndarray:
        """Return the ids of `text`, (tokens,) int64; tokens outside the vocabulary are `unk`."""
        return self.encode_block(text).astype(np.int64)

    def encode_block(self, text: str) -> np.ndarray:
        """Do as `encode`, in the smallest integer type that holds every id."""
        return self._codec.ids(fold(text, self.normalise, self.lower_case)).astype(self.dtype, copy=False)

    def encode_units(self, texts: list[str]) -> np.ndarray:
        """Return the ids of `texts`, each between START and END, one after the other, in the smallest integer type."""
        ids, lengths = self._codec.batch([fold(text, self.normalise, self.lower_case) for text in texts])
        ends = np.cumsum(lengths + 2)
        out = np.empty(int(ends[-1]) if len(ends) else 0, dtype=self.dtype)
        ordinary = np.ones(len(out), dtype=bool)
        ordinary[ends - 1] = ordinary[ends - lengths - 2] = False
        out[ends - lengths - 2], out[ends - 1] = START, END
        out[ordinary] = ids
        return out

    def unknown(self, text: str) -> list[str]:
        """Return the distinct tokens of `text` that are not in the vocabulary, in order of appearance."""
        if self.level == "byte":
            return []
        known = set(self.tokens[SPECIALS:])
        pieces = self._codec.pieces(fold(text, self.normalise, self.lower_case))
        return [piece for piece in dict.fromkeys(pieces) if piece not in known]

    def decode(self, ids: Iterable[int], *, specials: bool = False) -> str:
        """Return the text of `ids`. START and END are left out unless `specials`; UNK is spelled as configured."""
        decoder = self.decoder(specials=specials)
        return "".join([decoder.feed(int(id)) for id in ids]) + decoder.finish()

    def decoder(self, *, specials: bool = False) -> "Decoder":
        """Return an object that turns ids into text one at a time: call `feed(id)` for each and `finish()` at the end."""
        return ByteDecoder() if self.level == "byte" else TokenDecoder(self, specials)

    def to_json(self) -> dict[str, Any]:
        """Return plain data from which `from_json` makes the same vocabulary."""
        options = {key: getattr(self, key) for key in OPTIONS}
        return {"version": VERSION, "level": self.level, "tokens": self.tokens, **options}

    def digest(self) -> str:
        """Return a SHA-256 of `to_json()`, by which vocabularies are compared."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Return the vocabulary in untrusted `data`. Raises `UserError` for what `to_json` cannot have written."""
        problem = _problem(data)
        if problem:
            raise UserError(f"not an rnnscope vocabulary ({problem}): use the vocabulary.json of a run")
        return cls(data["level"], data["tokens"], **{key: data[key] for key in OPTIONS})

    @classmethod
    def build(cls, counts: Mapping[str, int], config: DatasetConfig) -> Self:
        """Return the vocabulary of a text with these token `counts`: the most frequent first, ties by spelling.

        Tokens that occur less than `minimum_count` times are left out, then the rarest beyond `vocabulary_size`, which
        includes the special tokens. Raises `UserError` for an unknown level or a size without room for an ordinary token.
        """
        check_size(config.level, config.vocabulary_size)
        options = {key: getattr(config, key) for key in OPTIONS}
        if config.level == "byte":
            return cls("byte", BYTES, **options)
        skipped = {config.unk, f" {config.unk}"} if config.unk_in_text else set()
        kept = [token for token, count in counts.items() if count >= config.minimum_count and token not in skipped]
        kept.sort(key=lambda token: (-counts[token], token))
        room = len(kept) if config.vocabulary_size is None else config.vocabulary_size - SPECIALS
        return cls(config.level, [config.unk, config.start, config.end, *kept[:room]], **options)


class TokenDecoder:
    """Turns ids of characters or words into text, one at a time."""

    def __init__(self, vocabulary: Vocabulary, specials: bool) -> None:
        self._tokens, self._specials = vocabulary.tokens, specials
        spaced = vocabulary.level == "word" and vocabulary.words != "lossless"
        self._spaced = SpacedDecoder(plain=vocabulary.words == "space") if spaced else None

    def feed(self, id: int) -> str:
        if id in (START, END) and not self._specials:
            return ""
        return self._spaced.feed(self._tokens[id]) if self._spaced else self._tokens[id]

    def finish(self) -> str:
        return ""


Decoder = ByteDecoder | TokenDecoder


def token_counts(level: str, words: str = "lossless", unk: str | None = None) -> CharacterCounts | WordCounts:
    """Return an empty count of the tokens of this level: call `add(texts)`, then `counts()`."""
    return WordCounts(words, unk) if level == "word" else CharacterCounts()


def check_size(level: str, cap: int | None) -> None:
    """Raise `UserError` for an unknown level, or if `cap` leaves no room for an ordinary token."""
    if level not in LEVELS:
        raise UserError(unknown_value("dataset.level", level, LEVELS))
    if level != "byte" and cap is not None and cap <= SPECIALS:  # the 256 bytes are never limited
        least = f"{SPECIALS + 1} (UNK, START, END and one other token)"
        raise UserError(f"dataset.vocabulary_size={cap} must be at least {least}, or null for no limit")


def _problem(data: Any) -> str | None:
    """Return what is wrong with `data` as a vocabulary, or None."""
    if not isinstance(data, dict) or data.get("version") != VERSION:
        return f"it is not a mapping of version {VERSION}"
    for key in ("level", "tokens", *OPTIONS):
        if key not in data:
            return f"it has no {key}"
    if data.get("level") not in LEVELS or data.get("words") not in SPLITTERS:
        return "its level or words is unknown"
    if data.get("normalise") not in (None, *NORMAL_FORMS):
        return "its normal form is unknown"
    if type(data.get("lower_case")) is not bool or type(data.get("unk_in_text")) is not bool:
        return "lower_case or unk_in_text is neither true nor false"
    return _token_problem(data.get("tokens"), data["level"])


def _token_problem(tokens: Any, level: str) -> str | None:
    if not isinstance(tokens, list) or not all(type(token) is str for token in tokens):
        return "the tokens are not a list of strings"
    if not SPECIALS < len(tokens) <= LARGEST:
        return f"{len(tokens)} tokens, not {SPECIALS + 1} to {LARGEST}"
    if level == "byte":
        return None if tokens == BYTES else "the tokens are not the 256 bytes"
    if len(set(tokens[SPECIALS:])) != len(tokens) - SPECIALS:
        return "it has a token twice"
    if level == "char" and any(len(token) != 1 for token in tokens[SPECIALS:]):
        return "it has a token that is not one character"
    return None
