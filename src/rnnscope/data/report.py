"""The short report on a text at the start of a run, and the warnings that belong to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rnnscope.data.clean_text import CleanText
from rnnscope.data.vocabulary import SPECIALS, Vocabulary

MANY_CHARACTERS = 5000  # Chinese and Japanese texts have up to about this many distinct ones
MANY_WORDS = 50_000  # of a vocabulary: from here on the head takes most of the time and memory of a step
FEW_SPACES = 0.02  # spaces per character; English has 0.18
LONG_WORDS = 12  # characters per word; English has 5
SHOWN = 60  # characters of the example
LONG = 40  # characters of a token that are shown: a word can be as long as a text without spaces


def text_lines(text: CleanText, characters: int | None, counts: Counter[str] | None, level: str, words: str) -> list[str]:
    """What the text is made of, where that was counted: how many distinct `characters` train has, and which tokens."""
    line = f"text: {text.files:,} files, {len(text.ends):,} documents, {text.characters:,} characters"
    if characters is None:
        return [line]
    line += f"; {characters:,} distinct characters"
    line += f", {len(counts):,} distinct words in train" if level == "word" and counts else " in train"
    if counts is None:
        return [line]
    if level == "char" and len(counts) > MANY_CHARACTERS:
        return [
            line,
            f"warning: {len(counts):,} distinct characters: if this is not Chinese or Japanese the encoding is wrong "
            "(dataset.encoding); dataset.vocabulary_size or dataset.level=byte limits the size of the model",
        ]
    if level == "word" and _hardly_any_spaces(counts, words):
        return [line, "warning: hardly any spaces in this text, so words cannot be told apart: try dataset.level=char"]
    return [line]


def _hardly_any_spaces(counts: Counter[str], words: str) -> bool:
    characters = sum(len(word) * count for word, count in counts.items())
    if words != "lossless":  # spaces are gone: very long words tell it
        return characters > LONG_WORDS * sum(counts.values())
    spaces = sum(word.count(" ") * count for word, count in counts.items())
    return spaces < FEW_SPACES * characters


def vocabulary_lines(vocabulary: Vocabulary, counts: Counter[str] | None, cap: int | None, minimum_count: int) -> list[str]:
    """How large the vocabulary is and what was left out of it."""
    if vocabulary.level == "byte":
        return ["vocabulary: the 256 bytes of UTF-8"]
    if counts is None:
        return [f"vocabulary: {len(vocabulary):,} tokens, frozen (level {vocabulary.level})"]
    rarest = vocabulary.tokens[-1]
    limits = f"cap {cap:,}" if cap else "no cap"
    limits += f", at least {minimum_count} times" if minimum_count > 1 else ""
    kept = set(vocabulary.tokens[SPECIALS:])
    dropped = [(token, count) for token, count in counts.most_common() if token not in kept]
    line = (
        f"vocabulary: {len(vocabulary):,} tokens (level {vocabulary.level}, {limits}); "
        f"rarest kept {_quoted(rarest)}, {counts[rarest]:,} times"
    )
    lines = [line]
    if dropped:
        shown = ", ".join(f"{_quoted(token)} {count:,}" for token, count in dropped[:8])
        lines.append(f"left to UNK: {len(dropped):,} distinct tokens, most often {shown}")
    if vocabulary.level == "word" and len(vocabulary) > MANY_WORDS:
        lines.append(
            f"warning: {len(vocabulary):,} words make every step slow and large, and most of them are too rare to be learnt: "
            "try dataset.vocabulary_size=10000"
        )
    return lines


def _quoted(token: str) -> str:
    return repr(token if len(token) <= LONG else f"{token[:LONG]}...")


def split_line(split: str, info: Mapping[str, Any]) -> str:
    """Tokens, characters and share of UNK of a split."""
    share = 100 * info["unknown"] / max(info["tokens"], 1)
    unknown = f"UNK {info['unknown']:,} ({share:.3g} %)"
    return f"{split}: {info['tokens']:,} tokens, {info['characters']:,} characters, {unknown}"


def unseen_line(split: str, counts: Counter[str], vocabulary: Vocabulary) -> str | None:
    """Which characters of a split are not in the vocabulary. `counts`: how often each character occurs in the split."""
    known = set(vocabulary.tokens[SPECIALS:])
    unseen = [(token, count) for token, count in counts.most_common() if token not in known]
    if not unseen:
        return None
    shown = ", ".join(f"{token!r} {count:,}" for token, count in unseen[:8])
    return f"{split} has {len(unseen):,} distinct characters outside the vocabulary, read as UNK: {shown}"


def samples_line(samples: int, padding: float, long: int) -> str:
    """How the samples of train fill their windows. `long`: how many are longer than sequence_length."""
    return f"samples: {samples:,} in train, padding {padding:.1%}, {long:,} longer than sequence_length take several windows"


def example_line(text: str, vocabulary: Vocabulary) -> str:
    """The beginning of a text before and after encoding."""
    shown = text[:SHOWN]
    ids = ", ".join(str(id) for id in vocabulary.encode(shown)[:12])
    return f"example: {shown!r} -> {ids}, ..."


def change_lines(changes: Counter[str], removed: Counter[str]) -> list[str]:
    """Everything that was changed or left out, with its count."""
    lines = [f"changed: {name}: {count:,}" for name, count in changes.items() if count]
    if removed:
        shown = ", ".join(f"{character!r} {count:,}" for character, count in removed.most_common(8))
        lines.append(f"changed: characters cut most: {shown}")
    return lines


def idle_lines(patterns: Iterable[str]) -> Iterator[str]:
    """A warning for each of the `patterns` of dataset.remove that cut nothing: a backslash too many, most often."""
    for pattern in patterns:
        yield f"warning: dataset.remove has a pattern that matches nothing in this text: {pattern}"
