"""How much of a text is copied from the training text, and how much it repeats itself."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from rnnscope.analysis.structure import Share
from rnnscope.analysis.suffix_array import SuffixArray
from rnnscope.data.vocabulary import Vocabulary

LENGTHS = (5, 10, 20, 50)  # of n-grams
ROUNDS = 20  # at most so many, until enough texts are new
LOOP = 20  # length of n-grams that a text repeats in a loop, or in a refrain


@dataclass(frozen=True)
class Passage:
    """A copied passage: it begins at id `at` of the text, and at id `source` of the training text."""

    at: int
    length: int
    source: int


class Matches:
    """The longest matches of a text in the training text.

    `lengths`, `sources`: (ids,), of the longest string at each position of the text that occurs in the training text, and
    where it occurs there.

    Args:
        strings: all of the training text, sorted by all ids that follow.
        ids: of the text.
    """

    def __init__(self, strings: SuffixArray, ids: np.ndarray) -> None:
        self.lengths, self.sources = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
        at = np.arange(len(ids))
        low, high = np.zeros(len(ids), np.int64), np.full(len(ids), len(strings))
        for depth in range(len(ids)):
            inside = at + depth < len(ids)
            at, low, high = at[inside], low[inside], high[inside]
            low, high = strings.narrow(low, high, depth, ids[at + depth])
            found = low < high
            at, low, high = at[found], low[found], high[found]
            if not at.size:
                break
            self.lengths[at], self.sources[at] = depth + 1, strings.order[low]

    def new(self, n: int) -> Share:
        """Return the share of the text's n-grams that the training text lacks."""
        lengths = self.lengths[: max(len(self.lengths) - n + 1, 0)]
        return Share(int(np.count_nonzero(lengths < n)), len(lengths))

    def longest(self) -> Passage:
        """Return the longest passage that also occurs in the training text."""
        at = int(self.lengths.argmax()) if len(self.lengths) else 0
        return Passage(at, int(self.lengths[at]), int(self.sources[at])) if len(self.lengths) else Passage(0, 0, 0)


def repeated(ids: np.ndarray, n: int = LOOP) -> Share:
    """Return the share of a text's n-grams that occurred in it before: near 1 if it is caught in a loop."""
    total = max(len(ids) - n + 1, 0)
    return Share(total - len({ids[at : at + n].tobytes() for at in range(total)}), total)


def new_lines(text: str, known: set[str]) -> Share:
    """Return the share of a text's lines that are not `known`; lines without a letter do not count."""
    lines = [line for line in text.splitlines() if says_something(line)]
    return Share(sum(line not in known for line in lines), len(lines))


def says_something(line: str) -> bool:
    """Whether a line has a letter."""
    return any(map(str.isalpha, line))


def novel_texts(draw: Callable[[int], Iterable[str]], count: int, known: set[str]) -> Iterator[str]:
    """Yield texts without their `known` lines, at most `count`; texts without a letter left are skipped.

    Args:
        draw: returns the texts of one round; it is called at most `ROUNDS` times.
    """
    texts = (text for round in range(ROUNDS) for text in draw(round))
    kept = ("".join(line for line in text.splitlines(keepends=True) if line.splitlines()[0] not in known) for text in texts)
    yield from islice((text for text in kept if says_something(text)), count)


def text_of(vocabulary: Vocabulary, stream: np.ndarray) -> str:
    """Return the text of a stream; what START and END surround is on lines of its own."""
    ends = [] if vocabulary.end is None else [vocabulary.start, vocabulary.end]
    cuts = np.flatnonzero(np.isin(stream, ends))
    parts = np.split(stream, cuts + 1)
    texts = [vocabulary.decode(part[:-1] if part.size and part[-1] in ends else part) for part in parts if part.size]
    return "\n".join(text for text in texts if text)
