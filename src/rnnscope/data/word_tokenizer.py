"""From words to ids and back: three ways to split a text; the two that lose its spaces put them back when decoding."""

import re
from array import array
from collections import Counter
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np

from rnnscope.errors import UserError, unknown_value

SPLITTERS = ("lossless", "penn", "space")
# A word, a number or any single character, each with the space before it, or a run of white space: covers any text.
LOSSLESS = r" ?\p{L}+(?:['’-]\p{L}+)*| ?\p{N}+(?:[.,]\p{N}+)*| ?[^\s\p{L}\p{N}]|\s+"
UNKNOWN = "\n unknown"  # the tokenizer's name for UNK: white space and letters, which never form one word
# A text is a sequence of stretches that no word crosses: a run of white space, or a run of other characters with the space
# before it. White space is what the tokenizer regards as such, which differs from Python's.
SPACES = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
STRETCH = re.compile(f" ?[^{SPACES}]+|[{SPACES}]+")
KEPT = 1 << 19  # distinct stretches that are counted before they are split into words: a text repeats most of them
REMEMBERED = 1 << 18  # distinct stretches whose ids are remembered

Splitter = Callable[[str], list[str]]


def splitter(words: str, unk: str | None = None) -> Splitter:
    """Return the function that splits a text into words. `unk`: a spelling that a lossless split keeps as one word.

    `lossless` keeps the space before each word, so the joined words are exactly the text. `penn` is NLTK's Treebank
    tokenizer, which the classic word-level tutorial uses. `space` is `str.split`.
    """
    if words == "space":
        return str.split
    if words == "penn":
        from nltk.tokenize.destructive import NLTKWordTokenizer

        return NLTKWordTokenizer().tokenize
    if words != "lossless":
        raise UserError(unknown_value("dataset.words", words, SPLITTERS))
    split = _pre_tokenizer(unk)
    return lambda text: [piece for piece, _ in split.pre_tokenize_str(text)]


def _pre_tokenizer(unk: str | None):
    from tokenizers import Regex, pre_tokenizers

    pattern = f" ?{re.escape(unk)}|{LOSSLESS}" if unk else LOSSLESS
    return pre_tokenizers.Split(Regex(pattern), "isolated")


class WordCodec:
    """Turns words into ids: `tokens[i]` has id `first + i`, any other word id 0."""

    def __init__(self, tokens: list[str], first: int, words: str, unk: str | None) -> None:
        self._ids = {token: first + i for i, token in enumerate(tokens)}
        self._split = splitter(words, unk)
        self._stretches = _StretchIds(_word_level(self._ids, unk)) if words == "lossless" else None

    def ids(self, text: str) -> np.ndarray:
        """Return the ids, (words,) int64."""
        return self.batch([text])[0]

    def batch(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all `texts` in a row, and how many each has."""
        texts = [_valid(text) for text in texts]
        if self._stretches:
            return self._stretches.batch(texts)
        rows = [[self._ids.get(word, 0) for word in self._split(text)] for text in texts]
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        return np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(lengths.sum())), lengths

    def pieces(self, text: str) -> list[str]:
        return self._split(_valid(text))


def _word_level(ids: dict[str, int], unk: str | None):
    from tokenizers import Tokenizer, models

    tokenizer = Tokenizer(models.WordLevel({UNKNOWN: 0, **ids}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = _pre_tokenizer(unk)
    return tokenizer


class _Numbers(dict[str, int]):
    """Numbers stretches as they are first looked up; `new` lists those numbered since it was last cleared."""

    def __init__(self) -> None:
        super().__init__()
        self.new: list[str] = []

    def __missing__(self, stretch: str) -> int:
        self.new.append(stretch)
        number = self[stretch] = len(self)
        return number


class _StretchIds:
    """Turns texts into ids by a table of the ids of each distinct stretch.

    A text mostly repeats the same stretches, and the tokenizer sees each only once: 22 MB/s of an English novel on one
    core. The tokenizer on groups of lines reads 8 MB/s, with two threads as well, since creating Python objects takes the
    time; its splitter with a dictionary of words reads 2.5 MB/s.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._forget()

    def _forget(self) -> None:
        self._numbers, self._ids, self._begins = _Numbers(), array("q"), array("q", (0,))

    def batch(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all `texts` in a row, and how many each has."""
        if len(self._numbers) > REMEMBERED:
            self._forget()
        found = [STRETCH.findall(text) for text in texts]
        stretches = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        every = chain.from_iterable(found)
        numbers = np.fromiter(map(self._numbers.__getitem__, every), dtype=np.int64, count=int(stretches.sum()))
        self._learn()
        begins = np.frombuffer(self._begins, dtype=np.int64)
        first, count = begins[numbers], np.diff(begins)[numbers]  # (stretches,): where the ids of each begin, and how many
        ends = np.concatenate([[0], np.cumsum(count)])
        ids = np.repeat(first - ends[:-1], count) + np.arange(ends[-1])
        return np.frombuffer(self._ids, dtype=np.int64)[ids], np.diff(ends[np.concatenate([[0], np.cumsum(stretches)])])

    def _learn(self) -> None:
        """Add the ids of the new stretches to the table."""
        for encoding in self._tokenizer.encode_batch_fast(self._numbers.new):
            self._ids.extend(encoding.ids)
            self._begins.append(len(self._ids))
        self._numbers.new.clear()


def _valid(text: str) -> str:
    """Return `text` with `?` for lone surrogates, which the tokenizers refuse."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


class WordCounts:
    """Counts words over any number of texts."""

    def __init__(self, words: str, unk: str | None = None) -> None:
        self._split, self._lossless = splitter(words, unk), words == "lossless"
        self._counts, self._stretches = Counter[str](), Counter[str]()

    def add(self, texts: list[str]) -> None:
        for text in map(_valid, texts):
            if self._lossless:
                self._stretches.update(STRETCH.findall(text))
            else:
                self._counts.update(self._split(text))
        if len(self._stretches) > KEPT:
            self._split_stretches()

    def _split_stretches(self) -> None:
        for stretch, count in self._stretches.items():
            for word in self._split(stretch):
                self._counts[word] += count
        self._stretches.clear()

    def counts(self) -> Counter[str]:
        """Return the count of each word."""
        self._split_stretches()
        return self._counts


CLOSING = re.compile(r"[.,;:?!%)\]}…]+|''|[’']{1,2}|n['’]t|['’](?:s|re|ve|ll|d|m)", re.IGNORECASE)
OPENING = frozenset("([{$#`") | {"``"}
QUOTES = {"``": '"', "''": '"'}


class SpacedDecoder:
    """Turns words into readable text, one at a time. Unless `plain`, closing marks have no space before them, opening ones none
    after them."""

    def __init__(self, *, plain: bool) -> None:
        self._plain, self._glued = plain, True

    def feed(self, word: str) -> str:
        """Return the word, with a space before it where one belongs."""
        glued = self._glued or (not self._plain and CLOSING.fullmatch(word) is not None)
        self._glued = not self._plain and word in OPENING
        text = word if self._plain else QUOTES.get(word, word)
        return text if glued else " " + text
