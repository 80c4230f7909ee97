"""From characters and bytes to ids and back, by look-up tables."""

import codecs
from collections import Counter

import numpy as np

UNICODE = 0x110000  # code points


def code_points(text: str) -> np.ndarray:
    """Return the code points of `text`: (characters,) uint32."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


class CharacterCodec:
    """Turns characters into ids by a table of all of Unicode: `tokens[i]` has id `first + i`, any other character id 0."""

    def __init__(self, tokens: list[str], first: int, dtype: np.dtype) -> None:
        self._table = np.zeros(UNICODE, dtype=dtype)
        self._table[code_points("".join(tokens))] = np.arange(first, first + len(tokens), dtype=dtype)
        self._ascii = self._table[:256].tobytes() if dtype == np.uint8 else None

    def ids(self, text: str) -> np.ndarray:
        """Return the ids, (characters,) in the table's type."""
        if self._ascii and text.isascii():
            return np.frombuffer(text.encode("ascii").translate(self._ascii), dtype=np.uint8)
        return self._table.take(code_points(text), mode="clip")

    def batch(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all `texts` in a row, and how many each has."""
        return self.ids("".join(texts)), np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))

    def pieces(self, text: str) -> list[str]:
        return list(text)


def utf8(text: str) -> bytes:
    """Return `text` in UTF-8; a byte that was read although it is not UTF-8 (a surrogate from U+DC80 on) is that byte again."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that does not stand for a byte
        return text.encode("utf-8", "surrogatepass")


class ByteCodec:
    """Turns text into UTF-8, whose bytes are their own ids."""

    def ids(self, text: str) -> np.ndarray:
        """Return the ids, (bytes,) uint8."""
        return np.frombuffer(utf8(text), dtype=np.uint8)

    def batch(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all `texts` in a row, and how many each has."""
        lengths = np.fromiter((len(utf8(text)) for text in texts), np.int64, len(texts))
        return self.ids("".join(texts)), lengths

    def pieces(self, text: str) -> list[str]:
        return [chr(byte) for byte in utf8(text)]


class ByteDecoder:
    """Turns bytes into text, one id at a time. Invalid UTF-8 becomes U+FFFD, so the output is always valid text."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, id: int) -> str:
        """Return the characters that this byte completes, often none."""
        return self._decoder.decode(bytes((id,)))

    def finish(self) -> str:
        """Return what an unfinished character at the end becomes."""
        return self._decoder.decode(b"", final=True)


class CharacterCounts:
    """Counts characters over any number of texts."""

    def __init__(self) -> None:
        self._counts = np.zeros(0, dtype=np.int64)

    def add(self, texts: list[str]) -> None:
        text = "".join(texts)
        ascii_only = text.isascii()
        points = np.frombuffer(text.encode("ascii"), dtype=np.uint8) if ascii_only else code_points(text)
        counts = np.bincount(points, minlength=len(self._counts))
        counts[: len(self._counts)] += self._counts
        self._counts = counts

    def counts(self) -> Counter[str]:
        """Return the count of each character that occurs."""
        return Counter({chr(point): int(self._counts[point]) for point in np.flatnonzero(self._counts)})
