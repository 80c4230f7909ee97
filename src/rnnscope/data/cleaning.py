"""Cleaning a text before it is split into tokens, and counting everything that changes."""

import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from rnnscope.data.config import DatasetConfig
from rnnscope.errors import UserError, unknown_value

BLOCK = 1 << 20  # characters handled at a time
BOM = "\ufeff"
# the second line is that of a long title
HEADER = re.compile(r"^\*\*\* ?START OF.*(?:(?<!\*)(?<!\*\r)\n[^\n*]+\*\*\*[ \t\r]*$)?\n?", re.MULTILINE)
ONE_LINE_HEADER = re.compile(r"^\*\*\* ?START OF.*\n?", re.MULTILINE)  # of older reader versions
FOOTER = re.compile(r"^(?:End of (?:the |this )?Project Gutenberg|\*\*\* ?END OF)", re.MULTILINE | re.IGNORECASE)
LONGEST_MARK = 200  # characters of a line that ends a header or begins a footer
NEWLINES = ("universal", "keep", "crlf")
IN_MEMORY = ("newline", "strip_bom", "remove", "normalise", "lower_case")  # keys that apply to texts in memory too
NORMAL_FORMS = ("NFC", "NFD", "NFKC", "NFKD")


def fold(text: str, normalise: str | None, lower_case: bool) -> str:
    """Return `text` in a Unicode normal form and, if asked, in lower case, which can undo the form: it is applied twice."""
    if normalise:
        text = unicodedata.normalize(normalise, text)  # type: ignore[arg-type]
    return fold(text.lower(), normalise, lower_case=False) if lower_case else text


def safe_cut(text: str) -> int:
    """Return the last place where `text` can be cut without changing how it is cleaned and tokenized; 0 if there is none.

    Such a place is after an empty line, else after a line end, else before a single space, with no more white space
    around it: no word, normal form, change of case or match of a pattern for a line crosses it.
    """
    for mark, offset in (("\n\n", 2), ("\n", 1), (" ", 0)):
        at = text.rfind(mark, 1, len(text) - 1)
        while at > 0 and (text[at + len(mark)].isspace() or (mark == " " and text[at - 1].isspace())):
            at = text.rfind(mark, 1, at + len(mark) - 1)
        if at > len(text) // 2 or (mark == " " and at > 0):
            return at + offset
    return 0


def slices(text: str) -> Iterator[str]:
    """Return a text in memory, block by block."""
    return (text[at : at + BLOCK] for at in range(0, len(text), BLOCK))


def cut_blocks(texts: Iterable[str], size: int = BLOCK) -> Iterator[str]:
    """Yield `texts` in blocks of about `size` characters, cut at safe places, or anywhere once a block has 4 x `size`."""
    rest = ""
    for text in texts:
        rest += text
        while len(rest) >= size:
            at = safe_cut(rest) or (len(rest) if len(rest) >= 4 * size else 0)
            if not at:
                break
            yield rest[:at]
            rest = rest[at:]
    if rest:
        yield rest


class Cleaner:
    """Applies the keys of a config that change a text, block by block.

    `changes` counts what each of them did, `removed` the characters that were cut, and `matched` holds the patterns of
    `remove` that matched. A match lies within a block of about a million characters that ends at a line end. `gutenberg`
    counts the documents that keep Project Gutenberg's header or license, and the characters of both. Raises `UserError` for
    an unknown value or a pattern that does not compile.
    """

    def __init__(self, config: DatasetConfig) -> None:
        if config.newline not in NEWLINES:
            raise UserError(unknown_value("dataset.newline", config.newline, NEWLINES))
        if config.normalise is not None and config.normalise not in NORMAL_FORMS:
            raise UserError(unknown_value("dataset.normalise", config.normalise, ("null", *NORMAL_FORMS)))
        self._config, self._patterns = config, [_compile(pattern) for pattern in config.remove]
        self._header = HEADER if config.corpus.reader_version > 5 else ONE_LINE_HEADER
        self.changes, self.removed, self.matched = Counter[str](), Counter[str](), set[str]()
        self.gutenberg = Counter[str]()

    def clean(self, blocks: Iterable[str]) -> Iterator[str]:
        """Return the blocks of a document, cleaned. The document need not fit in memory."""
        blocks = self._without_bom(blocks)
        if self._config.newline == "keep":
            return self._clean_lines(blocks)
        blocks = self._clean_lines(self._with_line_feeds(blocks))
        return self._with_crlf(blocks) if self._config.newline == "crlf" else blocks

    def _clean_lines(self, blocks: Iterator[str]) -> Iterator[str]:
        config = self._config
        if not (config.strip_gutenberg or config.corpus.lines or config.corpus.column):
            blocks = self._looking_for_gutenberg(blocks)
        if not (config.strip_gutenberg or config.remove or config.normalise or config.lower_case):
            return blocks
        blocks = cut_blocks(blocks)
        if config.strip_gutenberg:
            blocks = self._without_gutenberg(blocks)
        return (self._clean_block(block) for block in blocks)

    def _without_bom(self, blocks: Iterable[str]) -> Iterator[str]:
        blocks = iter(blocks)
        first = next(filter(None, blocks), "")
        if self._config.strip_bom and first.startswith(BOM):
            first = first[1:]
            self.changes["byte order marks stripped"] += 1
        for block in chain([first], blocks):
            self.changes["U+FEFF (byte order marks) inside the text kept"] += block.count(BOM)
            yield block

    def _with_line_feeds(self, blocks: Iterable[str]) -> Iterator[str]:
        decoder = io.IncrementalNewlineDecoder(None, translate=True)
        before = after = returns = 0
        for text in blocks:
            if before == after and "\r" not in text:  # nothing to change, and nothing held back from the last block
                yield text
                continue
            line_fed = decoder.decode(text)
            before, after, returns = before + len(text), after + len(line_fed), returns + text.count("\r")
            yield line_fed
        rest = decoder.decode("", final=True)
        pairs = before - after - len(rest)
        self.changes["CR LF line ends changed to LF"] += pairs
        self.changes["lone CR line ends changed to LF"] += returns - pairs
        yield rest

    def _with_crlf(self, blocks: Iterable[str]) -> Iterator[str]:
        for block in blocks:
            self.changes["line ends written as CR LF"] += block.count("\n")
            yield block.replace("\n", "\r\n")

    def _without_gutenberg(self, blocks: Iterable[str]) -> Iterator[str]:
        first, ended = True, False
        for block in blocks:
            if ended:
                self.changes["characters of Gutenberg's header and footer stripped"] += len(block)
                continue
            header = self._header.search(block) if first else None
            begin = header.end() if header else 0
            footer = FOOTER.search(block, begin)
            end = footer.start() if footer else len(block)
            if first and not header:
                self.changes["files without Gutenberg's header"] += 1
            first, ended = False, footer is not None
            self.changes["characters of Gutenberg's header and footer stripped"] += len(block) - (end - begin)
            yield block[begin:end]

    def _looking_for_gutenberg(self, blocks: Iterable[str]) -> Iterator[str]:
        before = length = 0
        footer, tail = None, ""
        for block in blocks:
            seen, start = tail + block, length - len(tail)  # the line that marks the end may lie in two blocks
            if footer is None and ("Project Gutenberg" in seen or "PROJECT GUTENBERG" in seen):
                header = self._header.search(seen) if start < BLOCK and not before else None
                before = start + header.end() if header else before
                if end := FOOTER.search(seen, header.end() if header else 0):
                    footer = start + end.start()
            length, tail = length + len(block), seen[-LONGEST_MARK:]
            yield block
        if before or footer is not None:
            after = 0 if footer is None else length - footer
            self.gutenberg.update({"documents": 1, "before": before, "after": after})

    def _clean_block(self, block: str) -> str:
        for pattern in self._patterns:
            block = pattern.sub(self._cut, block)
        folded = fold(block, self._config.normalise, self._config.lower_case)
        if folded != block:
            self.changes["characters changed by lower_case and normalise"] += _differing(block, folded)
        return folded

    def _cut(self, match: re.Match[str]) -> str:
        if match.group():
            self.changes["matches of dataset.remove cut"] += 1
            self.changes["characters cut by dataset.remove"] += len(match.group())
            self.removed.update(match.group())
            self.matched.add(match.re.pattern)
        return ""


def clean(text: str, keys: Mapping[str, Any]) -> str:
    """Return a text in memory (a prompt, a string to stop at, a text to score) as it would be read from a file.

    `keys`: of a dataset's config; an older one may lack some. Raises `UserError` for a wrong value.
    """
    try:
        cleaner = Cleaner(DatasetConfig(**{key: keys[key] for key in IN_MEMORY if key in keys}))
        return "".join(cleaner.clean([text]))
    except TypeError as error:
        raise UserError(f"dataset.{', dataset.'.join(IN_MEMORY)}: a value of the wrong type ({error}): correct it") from None


def clean_separator(separator: str, version: Any, keys: Mapping[str, Any]) -> str:
    """Return a separator of documents with the line ends and the case of their text.

    `version`: dataset.corpus.reader_version; up to 5, it stays as it is. `keys`: see `clean`.
    """
    return clean(separator, {**keys, "remove": []}) if isinstance(version, int) and version > 5 else separator


def separator_of(config: DatasetConfig) -> str:
    """Return what is written between the documents of a text: nothing if START and END are there."""
    corpus = config.corpus
    return "" if config.start_end is not None else clean_separator(corpus.separator, corpus.reader_version, vars(config))


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        raise UserError(f"dataset.remove={pattern!r} is not a regular expression ({error}): correct the pattern") from None


def _differing(before: str, after: str) -> int:
    if len(before) == len(after):
        return sum(a != b for a, b in zip(before, after, strict=True))
    return sum((Counter(before) - Counter(after)).values())
