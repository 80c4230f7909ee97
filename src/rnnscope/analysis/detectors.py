"""Detectors: properties of a text that a unit may represent, with a value at every character.

A value holds after the character has been read, as a state does: the opening quote is inside, the closing one is not. It is
NaN where a detector does not apply, such as a position inside quotes outside of them.
"""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

GRADED = {  # detectors with numeric values; those of all others are 0 or 1
    "position inside quotes",
    "bracket depth",
    "position inside brackets",
    "run of one character",
    "position in line",
    "indentation",
    "position in word",
}
BRACKETS = {"(": ")", "[": "]", "{": "}"}
MARKS = re.compile(  # the earliest match wins, so that // in a URL or # in a string does not begin a comment
    r"""(?P<URL>(?:https?://|www\.)[^\s<>"]+)
    |(?P<comment>/\*.*?\*/|<!--.*?-->|(?://|\#[ !])[^\n]*\n?)
    |(?P<string>"(?:\\.|[^"\\\n])*"|(?<!\w)'(?:\\.|[^'\\\n])*'(?!\w))
    |(?P<tag></?[A-Za-z][^<>\n]*>)""",
    re.X | re.S,
)
QUOTES = re.compile(r'"[^"]*"|“[^“”]*”|«[^«»]*»')
SENTENCE = re.compile(r"(?:\A|[.!?…][\"'”’)\]]*\s|[。！？]|\n\s*\n)\s*")
IF_BRACES = re.compile(r"\b(?:if\s*\([^{};]*\)|else)\s*\{")
IF_STATEMENT = re.compile(r"\bif\s*\([^{};\n]*\)\s*(?P<body>[^{};\s][^{};]*;)")
IF_LINE = re.compile(r"^(?P<indent>[ \t]*)(?:if|elif|else)\b[^\n]*:[ \t]*\n", re.M)
PARAGRAPH = re.compile(r"\n[ \t]*\n")
SOON = 3  # characters

Span = tuple[int, int]


def detect(text: str) -> dict[str, np.ndarray]:
    """Return the values of all detectors: (characters,) float32 by name, 0 or 1 except for those in `GRADED`."""
    marked: dict[str, list[Span]] = {name: [] for name in MARKS.groupindex}
    for match in MARKS.finditer(text):
        marked[str(match.lastgroup)].append(match.span())
    quotes, brackets, word = list(_quotes(text)), _brackets(text), _each(text, str.isalpha)
    depth = _depth(brackets, len(text))
    return {
        "inside quotes": _inside(quotes, len(text)),
        "position inside quotes": _position(quotes, len(text)),
        "inside brackets": np.minimum(depth, 1),
        "bracket depth": depth,
        "position inside brackets": _position(brackets, len(text)),
        **{name: _inside(spans, len(text)) for name, spans in marked.items()},
        "if body": _inside(_if_bodies(text), len(text)),
        "sentence start": _sentence_starts(text),
        f"newline within {SOON}": _newline_ahead(text),
        "indentation": _indentation(text),
        "position in line": _counted(text, lambda before, mark: mark != "\n"),
        "run of one character": _counted(text, lambda before, mark: mark == before),
        "position in word": np.where(word, _counted(text, _in_word), np.float32(np.nan)),
        "word start": np.maximum(np.diff(word, prepend=np.float32(0)), 0),
        "upper case": _each(text, str.isupper),
        "digits": _each(text, str.isdecimal),
    }


def _each(text: str, test: Callable[[str], bool]) -> np.ndarray:
    return np.array([test(mark) for mark in text], dtype=np.float32)


def _newline_ahead(text: str) -> np.ndarray:
    return np.array(["\n" in text[at + 1 : at + 1 + SOON] for at in range(len(text))], dtype=np.float32)


def _in_word(before: str, mark: str) -> bool:
    return before.isalpha() and mark.isalpha()


def _counted(text: str, goes_on: Callable[[str, str], bool]) -> np.ndarray:
    """Return the length of the run of characters up to each one in which `goes_on` holds from character to character."""
    found = np.zeros(len(text), dtype=np.float32)
    for at in range(1, len(text)):
        found[at] = found[at - 1] + 1 if goes_on(text[at - 1], text[at]) else 0
    return found


def _inside(spans: list[Span], length: int) -> np.ndarray:
    """Return 1 from the first character of each span to the last but one: once the last is read, the span is over."""
    found = np.zeros(length, dtype=np.float32)
    for begin, end in spans:
        found[begin : end - 1] = 1
    return found


def _position(spans: list[Span], length: int) -> np.ndarray:
    """Return the relative position of each character in the innermost span around it, from 0 to 1; NaN outside."""
    found = np.full(length, np.nan, dtype=np.float32)
    for begin, end in sorted(spans):  # inner spans begin later and overwrite outer ones
        found[begin : end - 1] = np.arange(end - 1 - begin) / max(end - 1 - begin, 1)
    return found


def _depth(spans: list[Span], length: int) -> np.ndarray:
    """Return the number of spans around each character."""
    change = np.zeros(length + 1, dtype=np.float32)
    for begin, end in spans:
        change[begin] += 1
        change[end - 1] -= 1
    return np.cumsum(change)[:-1]


def _quotes(text: str) -> Iterator[Span]:
    """Yield the quoted spans; a mark that is not closed within its paragraph opens none."""
    edges = [0, *(match.start() for match in PARAGRAPH.finditer(text)), len(text)]
    for begin, end in pairwise(edges):
        yield from (match.span() for match in QUOTES.finditer(text, begin, end))


def _brackets(text: str) -> list[Span]:
    """Return the spans from a bracket to the one that closes it; a bracket that is never closed opens none."""
    opened: list[int] = []
    spans: list[Span] = []
    for at, mark in enumerate(text):
        if mark in BRACKETS:
            opened.append(at)
        elif mark in BRACKETS.values():
            matching = [index for index, begin in enumerate(opened) if BRACKETS[text[begin]] == mark]
            if matching:
                spans.append((opened[matching[-1]], at + 1))
                del opened[matching[-1] :]
    return spans


def _if_bodies(text: str) -> list[Span]:
    """Return the bodies of `if` and `else` in C (in braces, or one statement) and in Python (by indentation)."""
    closed = dict(_brackets(text))
    braces = [match.end() - 1 for match in IF_BRACES.finditer(text)]
    spans = [(begin, closed[begin]) for begin in braces if begin in closed]
    spans += [match.span("body") for match in IF_STATEMENT.finditer(text)]
    for match in IF_LINE.finditer(text):
        deeper = re.compile(rf"(?:{match['indent']}[ \t]+\S[^\n]*(?:\n|\Z)|[ \t]*\n)*")
        body = deeper.match(text, match.end())
        spans.append((match.end(), body.end() if body else match.end()))
    return spans


def _sentence_starts(text: str) -> np.ndarray:
    """Return 1 where a sentence is about to begin, up to its first character."""
    found = np.zeros(len(text) + 1, dtype=np.float32)
    for match in SENTENCE.finditer(text):
        found[match.end() - 1 if match.end() else 0 : match.end() + 1] = 1
    return found[:-1]


def _indentation(text: str) -> np.ndarray:
    """Return the indentation of the line of each character, as far as it has been read."""
    found = np.zeros(len(text), dtype=np.float32)
    for match in re.finditer(r"^([ \t]*)[^\n]*", text, re.M):
        width = len(match[1])
        found[match.start() : match.end()] = width
        found[match.start() : match.start() + width] = np.arange(1, width + 1)
    return found
