"""Blocks of text as lines."""

import io
from collections.abc import Iterable, Iterator


def line_fed(blocks: Iterable[str]) -> Iterator[str]:
    """Yield the blocks with CR LF and lone CR turned into LF."""
    decoder = io.IncrementalNewlineDecoder(None, translate=True)
    for block in blocks:
        yield decoder.decode(block)
    yield decoder.decode("", final=True)


def split_lines(blocks: Iterable[str]) -> Iterator[str]:
    """Yield the lines, each with the line feed that ends it; the last one may lack it."""
    rest: list[str] = []  # the pieces of an unfinished line, joined only once: it may be as long as the text
    for block in blocks:
        *lines, last = block.split("\n")
        if lines:
            yield "".join([*rest, lines[0], "\n"])
            yield from (line + "\n" for line in lines[1:])
            rest = []
        rest.append(last)
    if any(rest):
        yield "".join(rest)
