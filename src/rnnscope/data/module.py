"""The data of a run, as Lightning wants it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl

from rnnscope.data.batches import StreamWindows, Windows, ZeroStateWindows
from rnnscope.data.prepare import PreparedText, TextSettings, prepare
from rnnscope.data.sample_windows import Pools, SampleWindows, find_pools
from rnnscope.data.stream import SplitInfo
from rnnscope.data.vocabulary import Vocabulary
from rnnscope.errors import UserError


class TextData(pl.LightningDataModule):
    """A text as windows of ids: `prepare()`, then `train_dataloader()` and `windows(split)`.

    The keywords are the keys of `dataset`; those that decide the ids are `TextSettings`. `vocabulary`: one to be used as
    it is. `say` gets lines for the person who waits. Errors: `UserError`, here for the keys, in `prepare()` for the text.
    """

    def __init__(
        self,
        *,
        cache_dir: Path | str,
        seed: int = 0,
        vocabulary: Vocabulary | None = None,
        say: Callable[[str], None] | None = None,
        name: str = "",
        windows: str = "stream",
        batch_size: int = 32,
        sequence_length: int = 64,
        val_batch_size: int = 16,
        **text: Any,
    ) -> None:
        super().__init__()
        self.settings = TextSettings(**text)
        self.settings.check(windows)
        self.cache_dir, self.seed, self.say = Path(cache_dir), seed, say or (lambda line: None)
        self.name, self.kind = name, windows
        self.batch_size, self.sequence_length, self.val_batch_size = batch_size, sequence_length, val_batch_size
        for key in ("batch_size", "sequence_length", "val_batch_size"):
            if getattr(self, key) < 1:
                raise UserError(f"dataset.{key}={getattr(self, key)}: at least 1")
        self._frozen = vocabulary
        self._text: PreparedText | None = None
        self._train: Windows | None = None
        self._pools: dict[str, Pools] = {}
        self._samples_line: str | None = None

    def prepare(self) -> TextData:
        """Find or make the ids of all splits. Doing it again costs nothing."""
        if self._text is None:
            text = prepare(self.settings, self.cache_dir, self._frozen, self.say)
            if self.kind == "stream":
                check_length(text.splits["train"].tokens, self.batch_size, self.sequence_length)
            self._text = text
        return self

    def prepare_data(self) -> None:
        """What Lightning calls once per machine."""
        self.prepare()

    def setup(self, stage: str | None = None) -> None:
        """What Lightning calls in every process."""
        self.prepare()

    @property
    def text(self) -> PreparedText:
        """The prepared text."""
        assert self._text is not None, "prepare() comes first"
        return self._text

    @property
    def vocabulary(self) -> Vocabulary:
        return self.text.vocabulary

    @property
    def fingerprint(self) -> dict[str, Any]:
        """sha256 of the text, the settings, the vocabulary and each stream."""
        return self.text.fingerprint

    @property
    def splits(self) -> dict[str, SplitInfo]:
        """What each split holds."""
        return self.text.splits

    @property
    def report(self) -> list[str]:
        """The short report on the text, line by line."""
        if self.kind == "samples" and self._samples_line is None:
            train = self.train_windows()
            assert isinstance(train, SampleWindows)
            long = f"{train.long_samples:,} longer than sequence_length take several windows"
            self._samples_line = f"samples: {train.samples:,} in train, padding {train.padding:.1%}, {long}"
        return self.text.report + ([self._samples_line] if self._samples_line else [])

    def stream(self, split: str) -> np.ndarray:
        """The ids of a split with START in front: a read-only memory map, (ids,)."""
        return self.text.stream(split)

    @property
    def given(self) -> int | None:
        """The id that is an input but never a target: START, where the text has more than the first."""
        return None if self.settings.start_end is None else self.vocabulary.start

    def train_windows(self, rank: int = 0, world_size: int = 1) -> Windows:
        """The endless windows of training: the share of one process."""
        batch, length = self.batch_size, self.sequence_length
        if self.kind == "samples":
            return self._sample_windows("train", batch, length, True, True, self.seed, rank, world_size)
        stream = self.stream("train")
        return StreamWindows(stream, batch, length, True, rank, world_size, self.given)

    def train_dataloader(self) -> Windows:
        """The windows of training, the same object each time."""
        if self._train is None:
            rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
            self._train = self.train_windows(rank, world_size)
        return self._train

    def windows(
        self,
        split: str,
        *,
        batch_size: int | None = None,
        sequence_length: int | None = None,
        carried: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ) -> Windows:
        """Windows over a split for evaluation, each token once: with the state carried, or each from a zero state.

        A dataset of samples gives them in order of length, each from a zero state, in both cases.
        """
        batch, length = batch_size or self.val_batch_size, sequence_length or self.sequence_length
        if not self.splits[split].tokens:
            raise UserError(f"the {split} split has no token: give it a share in dataset.split")
        if self.kind == "samples":
            return self._sample_windows(split, batch, length, False, False, 0, rank, world_size)
        stream = self.stream(split)
        if carried:
            return StreamWindows(stream, batch, length, False, rank, world_size, self.given)
        return ZeroStateWindows(stream, batch, length, rank, world_size, self.given)

    def _sample_windows(self, split: str, batch_size: int, sequence_length: int, *rest: Any) -> SampleWindows:
        """Windows over the samples of a split, which are looked for only the first time: a long text takes a while."""
        stream, start = self.stream(split), self.vocabulary.start
        if split not in self._pools:
            self._pools[split] = find_pools(stream, start)
        return SampleWindows(stream, batch_size, sequence_length, start, *rest, pools=self._pools[split])


def check_length(tokens: int, batch_size: int, sequence_length: int) -> None:
    """Refuse a text that does not fill one window, and say what would fit."""
    wanted = batch_size * sequence_length
    if tokens >= wanted:
        return
    length = min(sequence_length, max(tokens // min(batch_size, 8), 1))
    columns = max(min(batch_size, tokens // length), 1)
    raise UserError(
        f"the train split has {tokens} tokens, fewer than one window of dataset.batch_size x dataset.sequence_length = "
        f"{batch_size} x {sequence_length} = {wanted}: give more text, or dataset.batch_size={columns} "
        f"dataset.sequence_length={length} would fit"
    )
