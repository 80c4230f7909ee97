"""Generated text compared with real text and an n-gram's, of the same size: how new it is, which rules it follows."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from rnnscope.analysis.ngram import NGram
from rnnscope.analysis.novelty import LENGTHS, LOOP, Matches, new_lines, repeated, text_of
from rnnscope.analysis.structure import Share, known_words, measure, measures, total, words_of
from rnnscope.analysis.suffix_array import SuffixArray
from rnnscope.data.vocabulary import Vocabulary
from rnnscope.format import plural, table_lines
from rnnscope.runs.load import LoadedRun

SEED = 1
SHOWN = 60  # characters of a copied passage that are printed


@dataclass(frozen=True)
class Training:
    """The training text: its strings, lines and words; `start_end` is what START and END are around."""

    vocabulary: Vocabulary
    strings: SuffixArray
    lines: set[str]
    words: set[str]
    start_end: str | None

    @classmethod
    def of(cls, vocabulary: Vocabulary, stream: np.ndarray, strings: SuffixArray, start_end: str | None) -> "Training":
        """Return the training text of a stream; `strings` must be sorted by all ids that follow."""
        text = text_of(vocabulary, stream)
        return cls(vocabulary, strings, set(text.splitlines()), set(words_of(text)), start_end)

    def place(self, position: int) -> str:
        """Return the line of a position; its token where the tokens do not tell how many lines are before it."""
        line_ends = np.array([token.count("\n") for token in self.vocabulary.tokens])
        if self.start_end == "line":
            line_ends[self.vocabulary.end] = 1
        if self.start_end in ("paragraph", "sentence") or not line_ends.any():
            return f"token {position:,}"
        before = self.strings.ids[1:position].astype(np.int64) - 1  # without the first, which is START
        return f"line {line_ends[before].sum() + 1:,}"


@dataclass(frozen=True)
class Findings:
    """The results for separate texts: shares by name, and the longest copied passage."""

    shares: dict[str, Share]
    copied: int
    passage: str

    @classmethod
    def of(cls, texts: list[np.ndarray], training: Training) -> "Findings":
        """Return the results for texts of ids."""
        matches = [Matches(training.strings, ids) for ids in texts]
        written = [training.vocabulary.decode(ids) for ids in texts]
        shares = {f"new {n}-grams": total(found.new(n) for found in matches) for n in LENGTHS}
        shares["new lines"] = total(new_lines(text, training.lines) for text in written)
        shares[f"repeated {LOOP}-grams"] = total(map(repeated, texts))
        shares["known words"] = total(known_words(text, training.words) for text in written)
        passages = [found.longest() for found in matches]
        best = max(range(len(texts)), key=lambda index: passages[index].length)
        longest = passages[best]
        copied = training.vocabulary.decode(texts[best][longest.at : longest.at + longest.length])
        where = (
            f"{plural(longest.length, 'token')} of {training.place(longest.source)}: {copied[:SHOWN]!r}"
            if copied
            else "nothing"
        )
        return cls(shares | measure(written), longest.length, where)


def samples(run: LoadedRun, count: int, length: int, temperature: float) -> list[np.ndarray]:
    """Return the ids of texts that a run generates."""
    return run.generator.ids(run.model, length, [temperature] * count, SEED)


def ngram_samples(model: NGram, run: LoadedRun, count: int, length: int) -> list[np.ndarray]:
    """Return the ids of texts that an n-gram generates, with the beginning and end that the run's texts have."""
    generator = run.generator
    begin = generator.begin("").tolist()
    drawn = (model.sample(begin, length, SEED + number, generator.never) for number in range(count))
    return [np.fromiter(takewhile(lambda id: id != generator.end, ids), np.int64) for ids in drawn]


def real_texts(stream: np.ndarray, given: int | None, vocabulary: Vocabulary, count: int, length: int) -> list[np.ndarray]:
    """Return the ids of `count` evenly spaced pieces of a stream: `length` tokens, or the text between START and END."""
    if given is None:
        starts = np.linspace(1, max(len(stream) - length, 1), count).astype(int)
        return [stream[start : start + length].astype(np.int64) for start in starts]
    units = np.split(stream, np.flatnonzero(stream == given))[1:]
    chosen = [units[at] for at in np.linspace(0, len(units) - 1, min(count, len(units))).astype(int)]
    return [unit[(unit != given) & (unit != vocabulary.end)][:length].astype(np.int64) for unit in chosen]


def report(columns: dict[str, list[np.ndarray]], training: Training) -> Iterator[str]:
    """Yield a table of the results for each column of texts, then the longest copied passages.

    Rules that never apply to the real text, which is the last column, are left out.
    """
    found = {name: Findings.of(texts, training) for name, texts in columns.items()}
    real = list(found.values())[-1]
    rows = [["", *found]]
    rules = measures()
    names = [name for name, share in real.shares.items() if (share.good if name in rules else share.total)]
    rows += [[name, *(percent(each.shares[name]) for each in found.values())] for name in names]
    rows.append(["longest copied passage, in tokens", *(f"{each.copied:,}" for each in found.values())])
    yield from table_lines(rows)
    yield ""
    for name, each in found.items():
        yield f"copied by {name}: {each.passage}"


def percent(share: Share) -> str:
    """Return a share in percent, for printing."""
    return f"{100 * share.good / share.total:.1f} %" if share.total else "-"
