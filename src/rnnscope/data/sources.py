"""A file as text: decompressed, decoded, and cut into documents."""

import codecs
import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rnnscope.data.archives import BROKEN, HARD_LINK, LINK, Archive, Archives, hidden, is_tar, is_zip
from rnnscope.data.columns import TABLES, column_values
from rnnscope.data.compression import open_decompressed
from rnnscope.data.config import DatasetConfig
from rnnscope.data.file_types import not_text
from rnnscope.data.lines import line_fed, split_lines
from rnnscope.errors import NotText, UserError, WrongEncoding, reason

ENCODING_ERRORS = ("strict", "replace", "ignore")
COUNTED = {"replace": "replaced by U+FFFD", "ignore": "left out", "surrogateescape": "kept as they are"}
FEW = 64  # bytes that say too little of their encoding
BLOCK = 1 << 18  # bytes read at a time: they, and the ids made from them, fit in a core's cache


@dataclass(frozen=True)
class Source:
    """A file, or a member of an archive. Sources are ordered by `name`."""

    path: Path
    name: str
    member: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}/{self.member}"

    @property
    def suffixes(self) -> set[str]:
        """The suffixes of its own name, in lower case."""
        return set(Path((self.member or self.path.name).lower()).suffixes)


def members(path: Path, name: str, version: int, changes: Counter[str]) -> list[Source]:
    """Return the sources in a file: the members of an archive (sorted by name, without hidden ones), else the file itself.

    `version`: dataset.corpus.reader_version; with 1, only zip files are archives, and all their members are taken.
    """
    if not is_zip(path) and (version == 1 or not is_tar(path)):
        return [Source(path, name)]
    with _reading(path), closing(Archive(path)) as archive:
        found = archive.members()
    unread = _unread(path, version)
    if LINK in unread:
        changes["symbolic links in archives left out"] += sum(kind == LINK for _, kind in found)
    files = [member for member, kind in found if kind not in unread]
    names = sorted(set(files))
    changes["earlier members of the same name left out"] += len(files) - len(names)
    if version > 1:
        changes["hidden members of archives left out"] += sum(map(hidden, names))
        names = [member for member in names if not hidden(member)]
    return [Source(path, f"{name}/{member}", member) for member in names]


def _unread(path: Path, version: int) -> set[str]:
    """Return the kinds of members that are not read: older versions read links in zip files, and no hard links."""
    if version > 4:
        return {LINK}
    return set() if is_zip(path) else {LINK} if version == 4 else {LINK, HARD_LINK}


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with _reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def documents(source: Source, config: DatasetConfig, changes: Counter[str], archives: Archives) -> Iterator[Iterator[str]]:
    """Yield the documents of a source, each as blocks of text: the whole file, its rows (`column`) or its lines (`lines`).

    Consume each document before the next. Raises `UserError`, naming the file, if it cannot be read or decoded.
    """
    blocks = decoded(source, config, changes, archives)
    if config.corpus.column:
        for value in column_values(blocks, config.corpus, str(source), source.suffixes, changes):
            yield iter((value,))
    elif config.corpus.lines:
        for line in split_lines(line_fed(blocks)):
            yield iter((line.removesuffix("\n"),))
    else:
        if source.suffixes & set(TABLES):
            changes["tables read as plain text, as dataset.corpus.column is null"] += 1
        yield blocks


def decoded(source: Source, config: DatasetConfig, changes: Counter[str], archives: Archives) -> Iterator[str]:
    """Yield the text of a source in blocks of at most about `BLOCK` characters; NUL characters are counted in `changes`."""
    encoding, byte = config.encoding, config.level == "byte"
    decoder = text_decoder(encoding, _counted(errors_of(config), changes))
    position = 0
    for block in _blocks(source, archives):
        if not position and not byte:
            _check_type(block, source)
        position += len(block)
        text = _decode(decoder, block, position, source, encoding)
        if 0 in block:
            changes["NUL characters kept"] += text.count("\0") if byte else _checked_nuls(text, source, encoding)
        yield text
    yield _decode(decoder, b"", position, source, encoding)


def errors_of(config: DatasetConfig) -> str:
    """Return how Python is to treat bytes that are not valid: as bytes, those that are not UTF-8 come through unchanged."""
    raw = config.level == "byte" and codecs.lookup(config.encoding).name == "utf-8"
    return "surrogateescape" if raw and config.encoding_errors == "strict" else config.encoding_errors


def _check_type(first: bytes, source: Source) -> None:
    if found := not_text(first, source.name):
        what, remedy = found
        first_choice = f"convert it ({remedy})" if remedy else "give a text file"
        raise NotText(f"{source}: this is {what}, not text", f"{first_choice}, or leave it out with dataset.corpus.exclude")


def text_decoder(encoding: str, errors: str = "strict") -> codecs.IncrementalDecoder:
    """Return Python's incremental decoder for `encoding`. Raises `UserError` for an unknown encoding."""
    try:
        "".encode(encoding)  # refuses codecs that do not turn text into bytes
        return codecs.getincrementaldecoder(encoding)(errors)
    except (LookupError, UnicodeError):  # UnicodeError comes from the codec `undefined`
        known = "utf-8, utf-16, cp1252, latin-1, shift_jis, ..."
        raise UserError(f"dataset.encoding={encoding} is not a text encoding of Python: use {known}") from None


def _counted(errors: str, changes: Counter[str]) -> str:
    """Return the name of an error handler that does what `errors` does, and counts the bytes that it is called for."""
    handle = codecs.lookup_error(errors)

    def count(error: UnicodeError) -> tuple[str | bytes, int]:
        if isinstance(error, UnicodeDecodeError):
            changes[f"bytes that are not {error.encoding} {COUNTED.get(errors, '')}"] += error.end - error.start
        return handle(error)

    if errors == "strict":
        return errors
    codecs.register_error("rnnscope", count)  # replaces that of the previous source: decoders look it up by name
    return "rnnscope"


def _decode(decoder: codecs.IncrementalDecoder, block: bytes, position: int, source: Source, encoding: str) -> str:
    try:
        return decoder.decode(block, final=not block)
    except UnicodeError as error:
        raise _undecodable(error, position, source, encoding, final=not block) from None


def _checked_nuls(text: str, source: Source, encoding: str) -> int:
    """Return the number of NUL characters in a block. Raises `UserError` if there are so many that `encoding` must be wrong."""
    nuls = text.count("\0")
    if nuls * 5 > len(text):
        hint = "utf-16-be" if text.startswith("\0") else "utf-16-le"
        raise NotText(
            f"{source}: read as {encoding}, more than a fifth of it is NUL characters",
            f"set dataset.encoding={hint} if it is UTF-16, or leave it out with dataset.corpus.exclude if it is not text",
        )
    return nuls


def _undecodable(error: UnicodeError, position: int, source: Source, encoding: str, final: bool) -> WrongEncoding:
    remedy = "set dataset.encoding to its encoding, or dataset.encoding_errors=replace"
    if not isinstance(error, UnicodeDecodeError):
        ends = f"set dataset.encoding={encoding}-le or {encoding}-be, without a mark, or the encoding that it is in"
        return WrongEncoding(f"{source}: not {encoding} ({error})", ends if "BOM" in str(error) else remedy)
    offset = position - len(error.object) + error.start
    found = error.object[error.start]
    if final and codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
        what = f"{source}: its last character is incomplete ({error.reason} for {encoding} at offset {offset})"
        return WrongEncoding(what, "it may have been cut off: get it again, or set dataset.encoding_errors=replace")
    hint = _likely(error.object, position == len(error.object))
    what = f"{source}: byte 0x{found:02X} at offset {offset} is not valid {encoding} ({error.reason})"
    return WrongEncoding(what, remedy.replace(",", f" ({hint}),"))


def _likely(block: bytes, first: bool) -> str:
    """Return the encoding that a block is likely in, which is not that it is read in."""
    if first and block.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):  # which begins as the mark of UTF-16 does
        return "utf-32"
    if first and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = block[::2].count(0), block[1::2].count(0)
    if len(block) > FEW and 5 * max(even, odd) > len(block):
        return "utf-16-be" if even > odd else "utf-16-le"
    return "perhaps cp1252, latin-1 or shift_jis"


def _blocks(source: Source, archives: Archives) -> Iterator[bytes]:
    with _reading(source), _opened(source, archives) as file:
        while block := file.read(BLOCK):
            yield block


def _opened(source: Source, archives: Archives) -> IO[bytes]:
    if source.member is None:
        return open_decompressed(source.path, source.path.suffix)
    return open_decompressed(archives.get(source.path).open(source.member), Path(source.member).suffix)


@contextmanager
def _reading(what: Path | Source) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except BROKEN as error:
        raise NotText(f"{what}: cannot be read ({reason(error)})", _remedy(error)) from None


def _remedy(error: BaseException) -> str:
    """Return what to do about a file that cannot be read."""
    if isinstance(error, RuntimeError):  # an encrypted archive, or an unknown method of compression
        return "unpack the archive yourself, and give the folder"
    if isinstance(error, PermissionError):
        return "check its permissions"
    return "the file may be damaged: get it again, or leave it out with dataset.corpus.exclude"
