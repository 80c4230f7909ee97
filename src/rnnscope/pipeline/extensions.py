"""Lightning's callbacks and loggers in a training of rnnscope's.

Where a command line asks for them, a batch of Lightning's is one window and validation runs in Lightning's loop, so that
every hook is called when Lightning says it is. The weights are the same to the bit; a step takes a millisecond longer.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint, DeviceStatsMonitor, ModelCheckpoint, ProgressBar
from torch import Tensor

from rnnscope.config.extensions import import_module, make_callbacks, module_files, named_classes
from rnnscope.config.overrides import EXTENSIONS
from rnnscope.config.schema import ExtensionsConfig
from rnnscope.data.module import TextData
from rnnscope.errors import shown
from rnnscope.model.scoring import Score
from rnnscope.pipeline.loggers import Loggers
from rnnscope.runs.files import sha256_of
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.record import Record
from rnnscope.runs.segments import segments_of
from rnnscope.training.callback import Callback
from rnnscope.training.task import LanguageModelTask
from rnnscope.training.trainer_task import TrainerTask

NEVER = 2**62  # batches until Lightning validates by itself: rnnscope's own callback says when
STOPPED = "a Lightning callback stopped the training"


class Extensions:
    """The callbacks and loggers of one training, and their part of its checkpoints.

    Args:
        asked: what the command line names.

    Raises:
        UserError: if something of it cannot be made.
    """

    def __init__(self, asked: ExtensionsConfig) -> None:
        self.callbacks: list[pl.Callback] = make_callbacks(asked)
        self.loggers = Loggers(asked.logger)
        self.trainer: pl.Trainer
        self.reason: str | None = None  # why Lightning's side ended the training, where it did
        self._saved: dict[str, Any] = {}

    def check(self, device: torch.device) -> None:
        """Refuse what would fail for want of a package once training begins.

        Raises:
            UserError: naming the package.
        """
        for callback in self.callbacks:
            if isinstance(callback, DeviceStatsMonitor):
                asked = callback._cpu_stats  # no public name has it
                if asked or (asked is None and device.type == "cpu"):
                    import_module("psutil", "DeviceStatsMonitor on a CPU")

    def open(self, run: RunFolder, record: Record, config: dict[str, Any], first_step: int, say: Callable[[str], None]) -> None:
        """Make the loggers of a run; a process that is not the first has no run, and logs nothing."""
        self.loggers.open(run, record, config, first_step)
        for callback in self.callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(run.path / "lightning_checkpoints")
            if not is_plain(callback.state_dict()):
                say(f"warning: {callback.state_key} keeps more than plain values and tensors: it starts anew on resume")

    def trainer_options(self, scalars_every: int) -> dict[str, Any]:
        """Return what `pl.Trainer` is made with."""
        return {
            "callbacks": self.callbacks,
            "logger": self.loggers.loggers,
            "log_every_n_steps": scalars_every,
            "max_epochs": -1,
            "val_check_interval": NEVER,
            "check_val_every_n_epoch": None,
            "num_sanity_val_steps": 0,
            "enable_checkpointing": any(isinstance(callback, Checkpoint) for callback in self.callbacks),
            "enable_progress_bar": any(isinstance(callback, ProgressBar) for callback in self.callbacks),
        }

    def fit(self, trainer: pl.Trainer, task: TrainerTask, data: TextData, callback: Callback) -> None:
        """Train in Lightning's loop until rnnscope's `callback`, or one of Lightning's, ends it."""
        self.trainer = trainer
        task.callbacks = InLightning(callback, self)
        if self._saved:
            trainer.fit_loop.load_state_dict(self._saved["fit_loop"])
            for one in self.callbacks:
                if one.state_key in self._saved["callbacks"]:
                    one.load_state_dict(self._saved["callbacks"][one.state_key])
        trainer.fit(task, datamodule=data)
        if not task.ending:  # before the first step
            self.reason = STOPPED

    def heed(self, task: LanguageModelTask) -> None:
        """Make this step the last where a callback of Lightning's asked for that."""
        if self.trainer.should_stop:
            task.ending, self.reason = True, STOPPED

    def validate(self, task: LanguageModelTask) -> Score:
        """Run Lightning's validation loop in the middle of a step's hooks, as Lightning does after them."""
        assert isinstance(task, TrainerTask)
        trainer = self.trainer
        connector: Any = trainer._logger_connector  # no public name tells it that training goes on in the same batch
        first = connector._first_loop_iter
        trainer.validating = True
        trainer.fit_loop.epoch_loop.val_loop.run()
        trainer.training = True
        connector._first_loop_iter = first
        self.heed(task)
        return task.score

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of Lightning: how far its loops are, and the state of each callback."""
        states = {callback.state_key: callback.state_dict() for callback in self.callbacks}
        kept = {key: state for key, state in states.items() if is_plain(state)}
        return {"fit_loop": self.trainer.fit_loop.state_dict(), "callbacks": kept}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from what `state` returned, once training begins."""
        self._saved = saved


class InLightning(Callback):
    """rnnscope's callbacks where Lightning's loop is at work: it ends when they say so, and they when it does."""

    name = "InLightning"

    def __init__(self, callbacks: Callback, extensions: Extensions) -> None:
        self.callbacks, self.extensions = callbacks, extensions

    def start(self, task: LanguageModelTask) -> None:
        self.callbacks.start(task)
        self._end(task)

    def before_step(self, task: LanguageModelTask) -> None:
        self.callbacks.before_step(task)

    def after_step(self, task: LanguageModelTask) -> None:
        self.extensions.heed(task)
        self.callbacks.after_step(task)
        self._end(task)

    def _end(self, task: LanguageModelTask) -> None:
        if task.ending:  # by the count of steps: at `should_stop` Lightning would validate once more
            trainer = self.extensions.trainer
            trainer.should_stop = False
            trainer.fit_loop.epoch_loop.max_steps = trainer.global_step


def is_plain(value: Any) -> bool:
    """Whether a checkpoint that is opened with `weights_only=True` can hold a value."""
    if isinstance(value, dict):
        return all(is_plain(key) and is_plain(inner) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return all(is_plain(inner) for inner in value)
    return value is None or type(value) in (bool, int, float, str, bytes, torch.device) or isinstance(value, Tensor)


def extensions_entry(asked: ExtensionsConfig) -> dict[str, Any]:
    """Return what a segment in run.json says of extensions: their names, and the SHA-256 of each of the user's files."""
    if replace(asked, notify=None) == ExtensionsConfig():
        return {}
    files = {name: sha256_of(file) if file else None for name, file in module_files(asked).items()}
    return {"extensions": {**named_classes(asked), "plugins": list(asked.plugins), "files": files}}


def extension_changes(record: Record, asked: ExtensionsConfig) -> list[str]:
    """Return a line for all that a run was trained with and is not given now, or is given with a different file."""
    given = extensions_entry(asked).get("extensions", {})
    lines: dict[str, None] = {}  # in order, each once
    for segment in segments_of(record):
        recorded = segment.get("extensions", {})
        for key in EXTENSIONS:
            lost = [shown(name) for name in recorded.get(key, []) if name not in given.get(key, [])]
            if lost:
                lines[f"the run was trained with {key}=[{', '.join(lost)}]: to have the same, give {key}= again"] = None
        for name, digest in recorded.get("files", {}).items():
            if name in given.get("files", {}) and given["files"][name] != digest:
                lines[f"{shown(name)} is not the file that the run was trained with: its SHA-256 differs"] = None
    return list(lines)
