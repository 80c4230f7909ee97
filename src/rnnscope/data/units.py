"""The units between START and END: documents, paragraphs, lines or sentences."""

import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple

from rnnscope.data.clean_text import CleanText
from rnnscope.data.cleaning import BLOCK, cut_blocks, slices
from rnnscope.errors import UserError, unknown_value

KINDS = ("document", "paragraph", "line", "sentence")
WINDOWS = ("stream", "samples", "many_to_one")
BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")


class Units(NamedTuple):
    """Consecutive units. If `opens` is False, the first continues the last of the `Units` before; if `closes` is False, the
    last one is continued by the `Units` after."""

    texts: list[str]
    opens: bool
    closes: bool


def check_kind(start_end: str | None, level: str, windows: str) -> None:
    """Raise `UserError` for settings that do not go together, before anything is read."""
    if start_end is not None and start_end not in KINDS:
        raise UserError(unknown_value("dataset.start_end", start_end, ("null", *KINDS)))
    if start_end is not None and level == "byte":
        raise UserError(
            f"dataset.start_end={start_end}: level=byte has no START and END: set dataset.start_end=null or dataset.level=char"
        )
    if windows not in WINDOWS:
        raise UserError(unknown_value("dataset.windows", windows, WINDOWS))
    if windows == "many_to_one" and start_end is not None:
        raise UserError(f"dataset.windows=many_to_one has no START and END: set dataset.start_end=null, not {start_end}")
    if windows == "samples" and start_end is None:
        raise UserError(f"dataset.windows=samples needs START and END: set dataset.start_end to one of {', '.join(KINDS)}")


def units(text: CleanText, start: int, end: int, kind: str | None, *, words: bool) -> Iterator[Units]:
    """Yield the units of a `kind` between two byte positions of a text.

    If `kind` is None, these are blocks of the text, neither opened nor closed, and with `words` cut between words. A line or
    paragraph comes without the line ends after it, and a sentence without the white space around it: END stands for them. An
    empty line is an empty unit. A text without blank lines, line ends or sentences is one unit.
    """
    if kind is None:
        blocks = text.blocks(start, end)
        for block in cut_blocks(blocks) if words else blocks:
            yield Units([block], False, False)
    elif kind == "document":
        yield from _whole_documents(text, start, end)
    else:
        for document in text.documents(start, end):
            yield from _divided(document, SPLITTERS[kind])


def units_of(text: str, kind: str) -> Iterator[Units]:
    """Yield the units of a text in memory, which is one document; see `units`."""
    blocks = cut_blocks(slices(text))
    yield from _long_document(blocks) if kind == "document" else _divided(blocks, SPLITTERS[kind])


def _whole_documents(text: CleanText, start: int, end: int) -> Iterator[Units]:
    small: list[str] = []
    size = 0
    for document in text.documents(start, end):
        first = next(document)
        second = next(document, None)
        if second is None and size + len(first) <= BLOCK:
            small.append(first)
            size += len(first)
            continue
        if small:
            yield Units(small, True, True)
        small, size = ([first], len(first)) if second is None else ([], 0)
        if second is not None:
            yield from _long_document(chain([first, second], document))
    if small:
        yield Units(small, True, True)


def _long_document(blocks: Iterator[str]) -> Iterator[Units]:
    """Yield the one document that consists of these blocks."""
    block, opens = next(blocks, ""), True
    for after in blocks:
        yield Units([block], opens, False)
        block, opens = after, False
    yield Units([block], opens, True)


def _divided(blocks: Iterator[str], split: Callable[[str], tuple[list[str], bool]]) -> Iterator[Units]:
    """Yield the units of a document; `split` returns those of a block, and whether the last of them is complete."""
    opens, last = True, None
    for block in blocks:
        texts, complete = split(block)
        if not texts:
            continue
        if last:
            yield last
        last = Units(texts, opens, complete)
        opens = complete
    if last:
        yield Units([*last.texts[:-1], last.texts[-1].rstrip("\n")], last.opens, True)


def _lines(block: str) -> tuple[list[str], bool]:
    texts = block.split("\n")
    complete = not texts[-1]
    return (texts[:-1] if complete else texts), complete


def _paragraphs(block: str) -> tuple[list[str], bool]:
    *texts, last = BLANK_LINES.split(block)
    complete = not last  # else the paragraph may continue in the next block
    texts = [text for text in (*texts, last) if text.strip()]
    return [text.strip("\n") if complete or text is not last else text.lstrip("\n") for text in texts], complete


def _sentences(block: str) -> tuple[list[str], bool]:
    from nupunkt import sent_tokenize

    paragraphs = _paragraphs(block)[0]
    texts = [str(sentence).strip() for paragraph in paragraphs for sentence in sent_tokenize(paragraph)]
    return [text for text in texts if text], True


SPLITTERS = {"line": _lines, "paragraph": _paragraphs, "sentence": _sentences}
