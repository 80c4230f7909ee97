"""Generating text from a trained model: how a text begins, which tokens may be drawn, and how ids become text."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnscope.data.cleaning import clean
from rnnscope.data.stream import encode_blocks
from rnnscope.data.vocabulary import Decoder, Vocabulary
from rnnscope.errors import UserError, check_choice
from rnnscope.format import plural
from rnnscope.model.drawing import SamplingOptions
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.sampling import generate

UNKNOWN = ("refuse", "skip", "replace", "rare")
RARE = 10  # one token in ten of a vocabulary, the rarest, counts as a rare word
TOGETHER = 1 << 26  # logits of all texts generated at once: drawing takes 2 GB
TEXTS = 10  # at least so many on a card, if each text is a sample of its own


def prompt_ids(vocabulary: Vocabulary, prompt: str, unknown: str = "refuse") -> np.ndarray:
    """Return the ids of a prompt, (tokens,) int32; `unknown` says what to do with tokens that the vocabulary lacks.

    Raises:
        UserError: under the policy `refuse`, naming what is not in the vocabulary.
    """
    check_choice("unknown", unknown, UNKNOWN)
    prompt = spaced(vocabulary, prompt)
    ids = encode_blocks(vocabulary, prompt).astype(np.int32)
    if vocabulary.unk is None or not (ids == vocabulary.unk).any():
        return ids
    if unknown == "refuse":
        raise UserError(f"{strangers('the prompt', vocabulary.unknown(prompt))}, or set unknown=skip or unknown=replace")
    return ids[ids != vocabulary.unk] if unknown == "skip" else ids


def spaced(vocabulary: Vocabulary, prompt: str) -> str:
    """Return the prompt as it is read: with a space in front if only then its first word is known.

    With `words=lossless`, ` king` and `king` are two tokens, and the second one occurs at the start of a line only.
    """
    if vocabulary.level != "word" or vocabulary.words != "lossless" or not prompt or prompt[0].isspace():
        return prompt
    word = prompt.split(maxsplit=1)[0]
    alone, after = (vocabulary.encode(text)[0] == vocabulary.unk for text in (word, f" {word}"))
    return f" {prompt}" if alone and not after else prompt


def strangers(where: str, tokens: list[str]) -> str:
    """Return the message about `tokens` of a prompt that the vocabulary lacks."""
    listed = ", ".join(repr(token) for token in tokens[:8]) + (", ..." if len(tokens) > 8 else "")
    return f"{where} has {plural(len(tokens), 'token')} that the run's vocabulary lacks: {listed}; leave them out"


@dataclass(frozen=True)
class TextGenerator:
    """Generates text in the format that a run was trained on.

    Args:
        vocabulary: of the run.
        dataset: the keys of its dataset, which decide how a prompt is cleaned, what START and END surround, and whether each
            text was trained from a zero state (`windows=samples`).
        check: called before each token; an exception from it ends the text.
    """

    vocabulary: Vocabulary
    dataset: Mapping[str, Any]
    check: Callable[[], None] = lambda: None

    def stream(
        self,
        model: LanguageModel,
        prompt: str,
        length: int,
        temperatures: list[float],
        seed: int,
        stop: str | None = None,
        unknown: str = "refuse",
        **limits: Any,
    ) -> Iterator[list[str]]:
        """Return an iterator over the next piece of each text, one text for each of `temperatures`.

        The arguments are those of `LoadedRun.stream`; `limits` are top_k, top_p and minimum_length of `SamplingOptions`.
        """
        self.check_count(len(temperatures))
        ids, options = self.begin(prompt, unknown), self._options(**limits)
        written: Callable[[int], int] = int
        if unknown == "rare":
            options = replace(options, never=tuple(id for id in options.never if id != self.vocabulary.unk))
            written = self._rare_for_unk(seed)
        rows = self._checked(generate(model, ids, length, temperatures, options, seed))
        return _pieces(
            rows, [_Text(self._decoder(prompt, ids), clean(stop or "", self.dataset), written) for _ in temperatures]
        )

    def ids(self, model: LanguageModel, length: int, temperatures: list[float], seed: int) -> list[np.ndarray]:
        """Return the ids of the texts that `stream` generates without a prompt; encoding those texts may give others."""
        self.check_count(len(temperatures))
        rows = self._checked(generate(model, self.begin(""), length, temperatures, self._options(), seed))
        columns = zip(*rows, strict=True)
        return [np.array([id for id in column if id not in (None, self.end)], np.int64) for column in columns]

    def check_count(self, count: int, key: str = "count") -> None:
        """Raise a `UserError` for more texts at once than memory is taken for; `key` is what they were asked for with."""
        if count > (most := max(1, TOGETHER // len(self.vocabulary))):
            raise UserError(f"{key}={count} must be at most {most}, with {len(self.vocabulary)} tokens in the vocabulary")

    def cards(self, model: LanguageModel, prompt: str, length: int, temperatures: list[float], seed: int) -> list[list[str]]:
        """Return texts to judge training by, without the prompt: about `length` tokens for each of `temperatures`.

        That is one text if windows are cut from a stream. If each text is a sample of its own, it is as many complete ones as
        `length` has room for: at least `TEXTS`, each at most `length` long. At temperature 0, where all would be equal, it is
        one.
        """
        if self.dataset.get("windows") != "samples":
            # an untrained model ends a document after a few characters, which would hide what it has learned to write
            least = length if self.dataset.get("start_end") == "document" else 0
            pieces = self.stream(model, prompt, length, temperatures, seed, minimum_length=least)
            return [["".join(column)] for column in zip(*pieces, strict=True)]
        options = self._options(again=True)
        columns = [temperature for temperature in temperatures for _ in range(TEXTS)]
        begin = self.begin(prompt)
        rows = self._checked(generate(model, begin, length, columns, options, seed))
        texts = [[self._continued(prompt, begin, ids) for ids in one] for one in _texts(rows, options.end, -(-length // TEXTS))]
        cards = [texts[at : at + TEXTS] for at in range(0, len(texts), TEXTS)]
        return [list(chain(*card)) if heat else card[0][:1] for card, heat in zip(cards, temperatures, strict=True)]

    def _decoder(self, prompt: str, ids: Tensor) -> Decoder:
        """Return a decoder for what follows a prompt; with words without spaces, it adds the space after the prompt."""
        decoder = self.vocabulary.decoder()
        if self.vocabulary.level == "word" and not prompt[-1:].isspace():
            decoder.feed(int(ids[-1]))
        return decoder

    def _continued(self, prompt: str, begin: Tensor, ids: list[int]) -> str:
        decoder = self._decoder(prompt, begin)
        return "".join([decoder.feed(id) for id in ids]) + decoder.finish()

    def _rare_for_unk(self, seed: int) -> Callable[[int], int]:
        """Return a function that replaces UNK by a random rare word: the vocabulary has none of those that UNK stands for."""
        random, unk, size = np.random.default_rng(seed), self.vocabulary.unk, len(self.vocabulary)
        first = min(size - size // RARE, size - 1)
        return lambda id: int(random.integers(first, size)) if id == unk else id

    def _checked(self, rows: Iterator[list[int | None]]) -> Iterator[list[int | None]]:
        for row in rows:
            self.check()
            yield row

    def begin(self, prompt: str, unknown: str = "refuse") -> Tensor:
        """Return the ids of a prompt, (tokens,) int32, after the token that begins a text.

        That is a line end if it is a token and the text has no START and END: the model then saw START once an epoch and has
        hardly learned what follows it. Otherwise it is START.
        """
        vocabulary = self.vocabulary
        line_end = vocabulary.encode("\n")  # nothing where words are split at white space
        known = self.dataset.get("start_end") is None and len(line_end) and line_end[0] != vocabulary.unk
        first = int(line_end[0]) if known else vocabulary.start
        return torch.as_tensor(np.insert(prompt_ids(vocabulary, clean(prompt, self.dataset), unknown), 0, first))

    def _options(self, **limits: Any) -> SamplingOptions:
        """Return the sampling options: UNK and START are never drawn, nor END if no text had one."""
        return SamplingOptions(never=self.never, end=self.end, **limits)

    @property
    def end(self) -> int | None:
        """The id that ends a text: END, if the training text had it; else None."""
        return self.vocabulary.end if self.dataset.get("start_end") is not None else None

    @property
    def never(self) -> tuple[int, ...]:
        """The ids that are never drawn."""
        start = None if self.vocabulary.level == "byte" else self.vocabulary.start
        specials = {self.vocabulary.unk, start, self.vocabulary.end} - {self.end}
        return tuple(sorted(id for id in specials if id is not None))


def _texts(rows: Iterator[list[int | None]], end: int | None, enough: int) -> list[list[list[int]]]:
    """Return the texts of each column of `rows`; the first one to end after `enough` rows is the last of its column."""
    first = next(rows)
    columns: list[list[list[int]]] = [[[]] for _ in first]
    going = set(range(len(first)))
    for number, ids in enumerate(chain([first], rows), 1):
        for column in sorted(going):
            id = ids[column]
            if id is not None and id != end:
                columns[column][-1].append(id)
            elif number < enough:
                columns[column].append([])
            else:
                going.discard(column)
        if not going:
            break
    return columns


def _pieces(rows: Iterator[list[int | None]], texts: list["_Text"]) -> Iterator[list[str]]:
    """Yield the next piece of each text, whose ids are None once it has ended; finally, what the decoders held back."""
    for ids in rows:
        yield [text.feed(id) for text, id in zip(texts, ids, strict=True)]
        if all(text.ended for text in texts):
            return
    yield [text.finish() for text in texts]


class _Text:
    """One text as it grows: ids become characters, until `stop` has been generated; `written` replaces ids."""

    def __init__(self, decoder: Decoder, stop: str, written: Callable[[int], int]) -> None:
        self.decoder, self.written = decoder, written
        self.stop, self.tail, self.ended = stop, "", False

    def feed(self, id: int | None) -> str:
        if id is None:
            return self.finish()
        return "" if self.ended else self._add(self.decoder.feed(self.written(id)))

    def finish(self) -> str:
        if self.ended:
            return ""
        piece = self._add(self.decoder.finish())
        self.ended = True
        return piece

    def _add(self, piece: str) -> str:
        if not self.stop:
            return piece
        before = len(self.tail)
        joined = self.tail + piece
        found = joined.find(self.stop)
        if found >= 0:
            self.ended = True
            return joined[before : found + len(self.stop)]
        self.tail = joined[-(len(self.stop) - 1) :] if len(self.stop) > 1 else ""
        return piece
