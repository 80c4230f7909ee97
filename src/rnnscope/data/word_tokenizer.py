"""Words to ids and back: three ways to split a text, and how the two that lose its spaces put them back."""

import re
from array import array
from collections import Counter
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np

from rnnscope.errors import UserError

SPLITTERS = ("lossless", "penn", "space")
# A word, a number or any single character, each with the space before it, or a run of white space: covers any text.
LOSSLESS = r" ?\p{L}+(?:['’-]\p{L}+)*| ?\p{N}+(?:[.,]\p{N}+)*| ?[^\s\p{L}\p{N}]|\s+"
UNKNOWN = "\n unknown"  # the tokenizer's name for UNK; no splitter makes a word of white space and letters
# A text in stretches that no word crosses: a run of white space, or a run of anything else with the space before it.
# White space is what the tokenizer takes for it, which differs from Python's.
SPACES = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
STRETCH = re.compile(f" ?[^{SPACES}]+|[{SPACES}]+")
KEPT = 1 << 19  # distinct stretches counted before they are split into words: most of a text repeats a few stretches
REMEMBERED = 1 << 18  # distinct stretches whose ids are remembered

Splitter = Callable[[str], list[str]]


def splitter(words: str, unk: str | None = None) -> Splitter:
    """The function from text to words. `unk`: a spelling that a lossless split keeps as one word.

    lossless: words with the space before them, so that joining them gives the text back to the character.
    penn: NLTK's Treebank tokenizer, as the classic word-level tutorial has it. space: `str.split`.
    """
    if words == "space":
        return str.split
    if words == "penn":
        from nltk.tokenize.destructive import NLTKWordTokenizer

        return NLTKWordTokenizer().tokenize
    if words != "lossless":
        raise UserError(f"dataset.words={words}: use one of {', '.join(SPLITTERS)}")
    split = _pre_tokenizer(unk)
    return lambda text: [piece for piece, _ in split.pre_tokenize_str(text)]


def _pre_tokenizer(unk: str | None):
    from tokenizers import Regex, pre_tokenizers

    pattern = f" ?{re.escape(unk)}|{LOSSLESS}" if unk else LOSSLESS
    return pre_tokenizers.Split(Regex(pattern), "isolated")


class WordCodec:
    """Words to ids. `tokens[i]` has id `first + i`; a word that is not in `tokens` has id 0."""

    def __init__(self, tokens: list[str], first: int, words: str, unk: str | None) -> None:
        self._ids = {token: first + i for i, token in enumerate(tokens)}
        self._split = splitter(words, unk)
        self._stretches = _StretchIds(_word_level(self._ids, unk)) if words == "lossless" else None

    def ids(self, text: str) -> np.ndarray:
        """(words,) int64."""
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
    """A number for each stretch, given when it is first looked up; `new` lists the stretches numbered since it was cleared."""

    def __init__(self) -> None:
        super().__init__()
        self.new: list[str] = []

    def __missing__(self, stretch: str) -> int:
        self.new.append(stretch)
        number = self[stretch] = len(self)
        return number


class _StretchIds:
    """The ids of texts, from a table of the ids of each distinct stretch.

    A text mostly repeats the same stretches, so the tokenizer sees each only once: 22 MB/s of an English novel on one
    core. Slower alternatives: the tokenizer on groups of lines (8 MB/s, also with two threads, as making Python objects
    takes the time), and a dictionary of words behind its splitter (2.5 MB/s).
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
        first, count = begins[numbers], np.diff(begins)[numbers]  # (stretches,) where the ids of each begin, how many
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
    """`text` with `?` for lone surrogates, which the tokenizers refuse."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


class WordCounts:
    """How often each word occurs, over any number of texts."""

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
        """Word -> how often."""
        self._split_stretches()
        return self._counts


CLOSING = re.compile(r"[.,;:?!%)\]}…]+|''|[’']{1,2}|n['’]t|['’](?:s|re|ve|ll|d|m)", re.IGNORECASE)
OPENING = frozenset("([{$#`") | {"``"}
QUOTES = {"``": '"', "''": '"'}


class SpacedDecoder:
    """Words to readable text, one at a time. Unless `plain`, no space before what closes and none after what opens."""

    def __init__(self, *, plain: bool) -> None:
        self._plain, self._glued = plain, True

    def feed(self, word: str) -> str:
        """The word, with a space before it where one belongs."""
        glued = self._glued or (not self._plain and CLOSING.fullmatch(word) is not None)
        self._glued = not self._plain and word in OPENING
        text = word if self._plain else QUOTES.get(word, word)
        return text if glued else " " + text
