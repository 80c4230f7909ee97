"""Generating text from a trained model: where a prompt becomes ids, what may be drawn, and how ids become text as they come."""

from collections.abc import Iterator

from rnnscope.data.vocabulary import Vocabulary
from rnnscope.errors import UserError
from rnnscope.model.drawing import SamplingOptions

UNKNOWN = ("refuse", "skip", "replace")


def prompt_ids(vocabulary: Vocabulary, prompt: str, unknown: str = "refuse") -> list[int]:
    """Return the prompt's ids; `unknown` says what becomes of tokens that the vocabulary lacks.

    Raises:
        UserError: under the policy `refuse`, naming what is not in the vocabulary.
    """
    if unknown not in UNKNOWN:
        raise UserError(f"unknown={unknown} is unknown; choose from: {', '.join(UNKNOWN)}")
    strange = vocabulary.unknown(prompt)
    if strange and unknown == "refuse":
        raise UserError(f"{strangers('the prompt', strange)}, or set unknown=skip or unknown=replace")
    ids = [int(id) for id in vocabulary.encode(prompt)]
    if strange and unknown == "skip":
        ids = [id for id in ids if id != vocabulary.unk]
    return ids


def strangers(where: str, tokens: list[str]) -> str:
    """Return that a prompt has `tokens` that the vocabulary lacks."""
    listed = ", ".join(repr(token) for token in tokens[:8]) + (", ..." if len(tokens) > 8 else "")
    return f"{where} has {len(tokens)} token(s) the run's vocabulary lacks: {listed}; leave them out"


def first_id(vocabulary: Vocabulary, start_end: str | None) -> int:
    """Return what a text begins after: START where texts were trained between START and END, else a line end.

    Without START in the text the model met it once an epoch and has hardly learnt what follows it.
    """
    return vocabulary.start if start_end is not None or vocabulary.unknown("\n") else int(vocabulary.encode("\n")[0])


def drawing(
    vocabulary: Vocabulary,
    start_end: str | None,
    top_k: int | None = None,
    top_p: float | None = None,
    minimum_length: int = 0,
) -> SamplingOptions:
    """Return what may be drawn: UNK and START never, END not before `minimum_length` tokens, nor where no text had one."""
    start = None if vocabulary.level == "byte" else vocabulary.start
    end = vocabulary.end if start_end is not None else None
    never = {vocabulary.unk, start, vocabulary.end} - {end, None}
    return SamplingOptions(top_k, top_p, tuple(sorted(id for id in never if id is not None)), end, minimum_length)


def pieces_of(rows: Iterator[list[int | None]], vocabulary: Vocabulary, count: int, stop: str | None) -> Iterator[list[str]]:
    """Yield what each of `count` texts makes of its next id, and in the end what they held back.

    Args:
        rows: an id for each text, None where it has ended.
        stop: a text ends with this string.
    """
    texts = [_Text(vocabulary, stop) for _ in range(count)]
    for ids in rows:
        yield [text.feed(id) for text, id in zip(texts, ids, strict=True)]
        if all(text.ended for text in texts):
            return
    yield [text.finish() for text in texts]


class _Text:
    """One text as it grows: ids become characters, and a stop string ends it."""

    def __init__(self, vocabulary: Vocabulary, stop: str | None) -> None:
        self.decoder = vocabulary.decoder()
        self.stop, self.tail, self.ended = stop or None, "", False

    def feed(self, id: int | None) -> str:
        if self.ended:
            return ""
        if id is None:
            return self.finish()
        return self._add(self.decoder.feed(id))

    def finish(self) -> str:
        if self.ended:
            return ""
        piece = self._add(self.decoder.finish())
        self.ended = True
        return piece

    def _add(self, piece: str) -> str:
        if self.stop is None:
            return piece
        before = len(self.tail)
        joined = self.tail + piece
        found = joined.find(self.stop)
        if found >= 0:
            self.ended = True
            return joined[before : found + len(self.stop)]
        self.tail = joined[-(len(self.stop) - 1) :] if len(self.stop) > 1 else ""
        return piece
