"""The data of a run, as a Lightning data module."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytorch_lightning as pl
import torch

from rnnscope.data import report
from rnnscope.data.batches import StreamWindows, Window, Windows
from rnnscope.data.config import DatasetConfig
from rnnscope.data.many_to_one import ManyToOneWindows, target_ids
from rnnscope.data.pipes import keep_piped
from rnnscope.data.prepare import PreparedText, check_dataset, prepare
from rnnscope.data.sample_windows import Pools, SampleWindows, find_pools
from rnnscope.data.stream import SplitInfo
from rnnscope.data.vocabulary import Vocabulary
from rnnscope.errors import UserError


class TextData(pl.LightningDataModule):
    """A text as windows of ids: call `prepare()`, then `train_windows()` and `windows(split)`. A `pl.Trainer` uses the loaders.

    `vocabulary`: used unchanged instead of a new one. `say`: called with lines to show to the user. `val_tokens`: may be set
    to limit how many tokens are validated.
    """

    def __init__(
        self, config: DatasetConfig, cache_dir: Path, seed: int, vocabulary: Vocabulary | None, say: Callable[[str], None]
    ) -> None:
        super().__init__()
        self.config, self.cache_dir, self.seed, self.say = config, cache_dir, seed, say
        self._frozen = vocabulary
        self._text: PreparedText | None = None
        self.val_tokens: int | None = None
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
        """Return the data that `config` describes. Raises `UserError`: here for its keys, in `prepare()` for the text."""
        check_dataset(config)
        return cls(config, cache_dir, seed, vocabulary, say)

    def prepare(self) -> Self:
        """Find or make the ids of all splits. A second call does nothing.

        A text from a pipe is copied to the cache, and the config then has the path of the copy.
        """
        if self._text is None:
            keep_piped(self.config.corpus, self.cache_dir, self.say)
            text = prepare(self.config, self.cache_dir, self._frozen, self.say)
            if self.config.windows == "many_to_one":
                for split in [name for name, info in text.splits.items() if info.tokens]:
                    self._many_to_one(text.stream(split), 1, None)  # raises UserError for a split without a target
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
        """SHA-256 of the text, the settings, the vocabulary and each stream."""
        return self.text.fingerprint

    @property
    def splits(self) -> dict[str, SplitInfo]:
        """The size of each split."""
        return self.text.splits

    @property
    def report(self) -> list[str]:
        """The report on the text, line by line."""
        if self.config.windows == "stream":
            return self.text.report
        train = self.train_windows()
        if isinstance(train, SampleWindows):
            return [*self.text.report, report.samples_line(train.samples, train.padding, train.long_samples)]
        return [*self.text.report, report.many_to_one_line(train.tokens_per_epoch, self.config.sequence_length, self.step)]

    def stream(self, split: str) -> np.ndarray:
        """Return the ids of a split with START in front: a read-only memory map, (ids,)."""
        return self.text.stream(split)

    def targets(self, split: str) -> np.ndarray:
        """Return the ids that are targets in the windows of a split, and any START between them: a view of its stream."""
        stream, config = self.stream(split), self.config
        return target_ids(stream, config.sequence_length, self.step) if config.windows == "many_to_one" else stream[1:]

    @property
    def step(self) -> int:
        """The tokens from the beginning of a window with one target to the beginning of the next."""
        return self.config.window_step or self.config.sequence_length + 1

    @property
    def given(self) -> int | None:
        """The id that is an input but never a target: START, if there is one inside the text; else None."""
        return None if self.config.start_end is None else self.vocabulary.start

    def train_windows(self, rank: int = 0, world_size: int = 1, endless: bool = True) -> Windows:
        """Return the windows of training: the share of one process. Unless `endless`, each iteration yields one epoch.

        Raises:
            UserError: for a stream that does not fill one window.
        """
        if self.config.windows == "stream":
            check_length(self.splits["train"].tokens, self.config.batch_size, self.config.sequence_length)
        share = {"endless": endless, "rank": rank, "world_size": world_size}
        return self._windows("train", self.stream("train"), self.config.batch_size, self.seed, **share)

    def train_dataloader(self) -> Windows:
        """Return the windows of training, one epoch per iteration, from where the task's checkpoint, if any, was saved."""
        windows = self.train_windows(*self._ranks, endless=False)
        position = self.trainer and getattr(self.trainer.lightning_module, "position", None)
        if position:
            windows.load_state_dict(position)
        return windows

    @property
    def _ranks(self) -> tuple[int, int]:
        """The rank of this process, and the number of processes, in a `pl.Trainer`."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def val_dataloader(self) -> Windows | list[Any]:
        """Return the windows of the val split, or of its first `val_tokens`; none if it is empty."""
        return self.windows("val", self.val_tokens, *self._ranks) if self.splits["val"].tokens else []

    def test_dataloader(self) -> Windows | list[Any]:
        """Return the windows of the test split; none if it is empty."""
        return self.windows("test", None, *self._ranks) if self.splits["test"].tokens else []

    def transfer_batch_to_device(self, batch: Window, device: torch.device, dataloader_idx: int) -> Window:
        return replace(batch, inputs=batch.inputs.to(device), targets=batch.targets.to(device))

    def windows(self, split: str, tokens: int | None = None, rank: int = 0, world_size: int = 1) -> Windows:
        """Return the windows of a split for evaluation, each token once, with the state carried: the share of one process.

        Samples come in order of length, each from a zero state. `tokens`: how many of a stream to read; None for all.
        """
        if not self.splits[split].tokens:
            raise UserError(f"the {split} split has no token: give it a share in dataset.split")
        stream = self.stream(split) if tokens is None else self.stream(split)[: tokens + 1]
        return self._windows(split, stream, self.config.val_batch_size, None, rank=rank, world_size=world_size)

    def _windows(self, split: str, stream: np.ndarray, batch_size: int, seed: int | None, **share: Any) -> Windows:
        """Return windows over `stream`, or over the samples of a split, which are searched once: a long text takes a while."""
        length, start = self.config.sequence_length, self.vocabulary.start
        if self.config.windows == "stream":
            return StreamWindows(stream, batch_size, length, given=self.given, **share)
        if self.config.windows == "many_to_one":
            return self._many_to_one(stream, batch_size, seed, **share)
        whole = self.stream(split)
        if split not in self._pools:
            self._pools[split] = find_pools(whole, start)
        return SampleWindows(whole, batch_size, length, start, seed, self._pools[split], **share)

    def _many_to_one(self, stream: np.ndarray, batch_size: int, seed: int | None, **share: Any) -> ManyToOneWindows:
        return ManyToOneWindows(stream, batch_size, self.config.sequence_length, self.step, seed, **share)


def check_length(tokens: int, batch_size: int, sequence_length: int) -> None:
    """Raise `UserError` for a text that does not fill one window, and suggest sizes that fit."""
    wanted = batch_size * sequence_length
    if tokens >= wanted:
        return
    length = min(sequence_length, max(tokens // min(batch_size, 8), 1))
    columns = max(min(batch_size, tokens // length), 1)
    raise UserError(
        f"the train split has {tokens:,} tokens, fewer than one window of dataset.batch_size x dataset.sequence_length = "
        f"{batch_size} x {sequence_length} = {wanted:,}: give more text, or set dataset.batch_size={columns} and "
        f"dataset.sequence_length={length}, which would fit"
    )
