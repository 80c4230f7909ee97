"""What a run writes, beside real text of the same size and an n-gram's: how new it is, and which rules it keeps."""

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
SHOWN = 60  # characters of a passage


@dataclass(frozen=True)
class Training:
    """The training text, as what is asked of it: its strings, lines and words."""

    vocabulary: Vocabulary
    strings: SuffixArray
    lines: set[str]
    words: set[str]

    @classmethod
    def of(cls, vocabulary: Vocabulary, stream: np.ndarray, strings: SuffixArray) -> "Training":
        """Return that of a stream; `strings` are all of it, sorted by all that follows."""
        text = text_of(vocabulary, stream)
        return cls(vocabulary, strings, set(text.splitlines()), set(words_of(text)))

    def place(self, position: int) -> str:
        """Return where a position is: its line, or its token where lines have no token."""
        line_end = self.vocabulary.encode("\n")
        if len(line_end) != 1 or line_end[0] == self.vocabulary.unk:
            return f"token {position:,}"
        return f"line {np.count_nonzero(self.strings.ids[:position] == line_end[0] + 1) + 1:,}"


@dataclass(frozen=True)
class Findings:
    """What was found of some texts that are apart: shares by name, and the longest passage that they copy."""

    shares: dict[str, Share]
    copied: int
    passage: str

    @classmethod
    def of(cls, texts: list[np.ndarray], training: Training) -> "Findings":
        """Return what is found of the ids of each text."""
        matches = [Matches(training.strings, ids) for ids in texts]
        written = [training.vocabulary.decode(ids) for ids in texts]
        shares = {f"new {n}-grams": total(found.new(n) for found in matches) for n in LENGTHS}
        shares["new lines"] = total(new_lines(text, training.lines) for text in written)
        shares[f"{LOOP}-grams said before"] = total(map(repeated, texts))
        shares["known words"] = total(known_words(text, training.words) for text in written)
        passages = [found.longest() for found in matches]
        best = max(range(len(texts)), key=lambda index: passages[index].length)
        longest = passages[best]
        copied = training.vocabulary.decode(texts[best][longest.at : longest.at + longest.length])
        where = f"{plural(longest.length, 'token')} of {training.place(longest.source)}: {copied[:SHOWN]!r}"
        return cls(shares | measure(written), longest.length, where)


def samples(run: LoadedRun, count: int, length: int, temperature: float) -> list[np.ndarray]:
    """Return the ids of texts that a run generates."""
    rows = run.stream(length=length, temperature=temperature, count=count, seed=SEED)
    return [run.vocabulary.encode("".join(pieces)) for pieces in zip(*rows, strict=True)]


def ngram_samples(model: NGram, run: LoadedRun, count: int, length: int) -> list[np.ndarray]:
    """Return the ids of texts that an n-gram generates, begun and ended as those of the run."""
    generator = run.generator
    begin = generator.begin("").tolist()
    drawn = (model.sample(begin, length, SEED + number, generator.never) for number in range(count))
    return [np.fromiter(takewhile(lambda id: id != generator.end, ids), np.int64) for ids in drawn]


def real_texts(stream: np.ndarray, given: int | None, vocabulary: Vocabulary, count: int, length: int) -> list[np.ndarray]:
    """Return the ids of `count` pieces of a stream, evenly apart: `length` tokens, or what stands between START and END."""
    if given is None:
        starts = np.linspace(1, max(len(stream) - length, 1), count).astype(int)
        return [stream[start : start + length].astype(np.int64) for start in starts]
    units = np.split(stream, np.flatnonzero(stream == given))[1:]
    chosen = [units[at] for at in np.linspace(0, len(units) - 1, min(count, len(units))).astype(int)]
    return [unit[(unit != given) & (unit != vocabulary.end)][:length].astype(np.int64) for unit in chosen]


def report(columns: dict[str, list[np.ndarray]], training: Training) -> Iterator[str]:
    """Yield what is found of the texts of each column: a table, and then the longest passages.

    A rule that the real text, which is the last column, never obeys is one of a different kind of text, and left out.
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
    """Return a share as it is printed."""
    return f"{100 * share.good / share.total:.1f} %" if share.total else "-"
