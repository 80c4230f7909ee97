"""The data of a run, as a Lightning data module."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytorch_lightning as pl

from rnnscope.data import report
from rnnscope.data.batches import StreamWindows, Windows
from rnnscope.data.config import DatasetConfig
from rnnscope.data.pipes import keep_piped
from rnnscope.data.prepare import PreparedText, check_dataset, prepare
from rnnscope.data.sample_windows import Pools, SampleWindows, find_pools
from rnnscope.data.stream import SplitInfo
from rnnscope.data.vocabulary import Vocabulary
from rnnscope.errors import UserError


class TextData(pl.LightningDataModule):
    """A text as windows of ids: `prepare()`, then `train_dataloader()` and `windows(split)`.

    `vocabulary`: one to use unchanged. `say` receives lines for the person who waits.
    """

    def __init__(
        self, config: DatasetConfig, cache_dir: Path, seed: int, vocabulary: Vocabulary | None, say: Callable[[str], None]
    ) -> None:
        super().__init__()
        self.config, self.cache_dir, self.seed, self.say = config, cache_dir, seed, say
        self._frozen = vocabulary
        self._text: PreparedText | None = None
        self._train: Windows | None = None
        self._pools: dict[str, Pools] = {}

    @classmethod
    def from_config(
        cls,
        config: DatasetConfig,
        *,
        cache_dir: Path,
        seed: int = 0,
        vocabulary: Vocabulary | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> Self:
        """The data that `config` describes. Errors: `UserError`, here for its keys, in `prepare()` for the text."""
        check_dataset(config)
        return cls(config, cache_dir, seed, vocabulary, say)

    def prepare(self) -> Self:
        """Find or make the ids of all splits. A second call costs nothing.

        What comes through a pipe is kept in the cache, and the config then has the path of the copy.
        """
        if self._text is None:
            keep_piped(self.config.corpus, self.cache_dir, self.say)
            text = prepare(self.config, self.cache_dir, self._frozen, self.say)
            if self.config.windows == "stream":
                check_length(text.splits["train"].tokens, self.config.batch_size, self.config.sequence_length)
            self._text = text
        return self

    def setup(self, stage: str | None = None) -> None:
        """Called by Lightning in every process."""
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
        if self.config.windows == "stream":
            return self.text.report
        train = self.train_windows()
        assert isinstance(train, SampleWindows)
        return [*self.text.report, report.samples_line(train.samples, train.padding, train.long_samples)]

    def stream(self, split: str) -> np.ndarray:
        """The ids of a split with START in front: a read-only memory map, (ids,)."""
        return self.text.stream(split)

    @property
    def given(self) -> int | None:
        """The id that is an input but never a target: START, where the text has more than the first."""
        return None if self.config.start_end is None else self.vocabulary.start

    def train_windows(self, rank: int = 0, world_size: int = 1) -> Windows:
        """The endless windows of training: the share of one process."""
        sizes = (self.config.batch_size, self.config.sequence_length)
        if self.config.windows == "samples":
            return self._sample_windows("train", *sizes, endless=True, seed=self.seed, rank=rank, world_size=world_size)
        return StreamWindows(self.stream("train"), *sizes, endless=True, given=self.given, rank=rank, world_size=world_size)

    def train_dataloader(self) -> Windows:
        """The windows of training: the same object at each call."""
        if self._train is None:
            rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
            self._train = self.train_windows(rank, world_size)
        return self._train

    def windows(self, split: str) -> Windows:
        """Windows over a split for evaluation, each token once, with the state carried.

        Samples come in order of length, each from a zero state.
        """
        if not self.splits[split].tokens:
            raise UserError(f"the {split} split has no token: give it a share in dataset.split")
        sizes = (self.config.val_batch_size, self.config.sequence_length)
        if self.config.windows == "samples":
            return self._sample_windows(split, *sizes, seed=None)
        return StreamWindows(self.stream(split), *sizes, given=self.given)

    def _sample_windows(self, split: str, batch_size: int, sequence_length: int, **options: Any) -> SampleWindows:
        """Windows over the samples of a split. They are found only once: a long text takes a while."""
        stream, start = self.stream(split), self.vocabulary.start
        if split not in self._pools:
            self._pools[split] = find_pools(stream, start)
        return SampleWindows(stream, batch_size, sequence_length, start, pools=self._pools[split], **options)


def check_length(tokens: int, batch_size: int, sequence_length: int) -> None:
    """Refuse a text that does not fill one window, and name sizes that would fit."""
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
