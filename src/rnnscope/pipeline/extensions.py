"""Lightning's callbacks and loggers in a training.

If the command line asks for them, each of Lightning's batches is one window and validation runs in Lightning's loop, so
that every hook is called when Lightning documents it. The weights are bit-identical; a step takes a millisecond longer.
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
from rnnscope.errors import UserError, reason, shown
from rnnscope.format import one_line
from rnnscope.model.scoring import Score
from rnnscope.pipeline.lightning import STOP_ITERATION
from rnnscope.pipeline.loggers import Loggers
from rnnscope.runs.files import sha256_of
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.record import Record
from rnnscope.runs.segments import segments_of
from rnnscope.training.callback import Callback
from rnnscope.training.task import LanguageModelTask
from rnnscope.training.trainer_task import LOGGED, TrainerTask

NEVER = 2**62  # batches until Lightning validates by itself: rnnscope's callback decides instead
NAME = 200  # characters of a recorded name that are printed
STOPPED = "a Lightning callback stopped the training"


class Extensions:
    """The callbacks and loggers of one training, and their part of its checkpoints.

    Args:
        asked: the callbacks and loggers that the command line names.

    Raises:
        UserError: if one of them cannot be created.
    """

    def __init__(self, asked: ExtensionsConfig) -> None:
        self.callbacks: list[pl.Callback] = make_callbacks(asked)
        for kind in (type(callback) for callback in self.callbacks if not isinstance(callback, pl.Callback)):
            raise UserError(f"{kind.__module__}.{kind.__name__} is not a Callback: derive it from pytorch_lightning.Callback")
        self.loggers = Loggers(asked.logger)
        self.trainer: pl.Trainer
        self.reason: str | None = None  # why one of Lightning's callbacks ended training, if one did
        self._saved: dict[str, Any] = {}

    def check(self, device: torch.device) -> None:
        """Check that callbacks have the packages they need, watch values that are logged, and can be saved.

        Raises:
            UserError: naming the package, the values that are logged, or the callback.
        """
        others = [one for one in self.callbacks if not type(one).__module__.startswith("pytorch_lightning.")]
        for callback in self.callbacks:
            if isinstance(callback, DeviceStatsMonitor):
                asked = callback._cpu_stats  # it has no public attribute
                if asked or (asked is None and device.type == "cpu"):
                    import_module("psutil", "DeviceStatsMonitor on a CPU")
            watched = getattr(callback, "monitor", None)
            if watched not in (None, *LOGGED) and not others:  # a callback of the user may log more
                logged = ", ".join(LOGGED)
                raise UserError(f"{type(callback).__name__}: monitor={watched} is not logged; choose from: {logged}")
            try:
                callback.state_dict()
            except Exception as error:
                raise UserError(
                    f"{type(callback).__name__}: its state_dict fails ({type(error).__name__}: {reason(error)})"
                ) from error

    def open(self, run: RunFolder, record: Record, config: dict[str, Any], first_step: int, say: Callable[[str], None]) -> None:
        """Create the loggers of a run; only rank 0 calls this, the other processes log nothing."""
        self.loggers.open(run, record, config, first_step)
        for callback in self.callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(run.path / "lightning_checkpoints")
            if not is_plain(callback.state_dict()):
                say(f"warning: the state of {callback.state_key} is not plain values and tensors: resuming starts it anew")

    def trainer_options(self, scalars_every: int) -> dict[str, Any]:
        """Return the arguments of `pl.Trainer`."""
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
        """Train in Lightning's loop until rnnscope's `callback`, or one of Lightning's, ends training."""
        self.trainer = trainer
        task.callbacks = InLightning(callback, self)
        if self._saved:
            trainer.fit_loop.load_state_dict(self._saved["fit_loop"])
            for one in self.callbacks:
                if one.state_key in self._saved["callbacks"]:
                    one.load_state_dict(self._saved["callbacks"][one.state_key])
        elif task.step:  # so far, the run was trained without extensions
            trainer.fit_loop.load_state_dict(after_steps(trainer.fit_loop.state_dict(), task.step))
        trainer.fit(task, datamodule=data)
        if not task.ending:  # stopped before the first step
            self.reason = STOPPED

    def heed(self, task: LanguageModelTask) -> None:
        """Make this step the last one if one of Lightning's callbacks asked for that."""
        if self.trainer.should_stop:
            task.ending, self.reason = True, STOPPED

    def validate(self, task: LanguageModelTask) -> Score:
        """Run Lightning's validation loop between the hooks of a step, as Lightning does after them."""
        assert isinstance(task, TrainerTask)
        trainer = self.trainer
        connector: Any = trainer._logger_connector  # no public way to say that the batch continues afterwards
        first = connector._first_loop_iter
        trainer.validating = True
        trainer.fit_loop.epoch_loop.val_loop.run()
        trainer.training = True
        connector._first_loop_iter = first
        self.heed(task)
        return task.score

    def state(self) -> dict[str, Any]:
        """Return Lightning's part of a checkpoint: the progress of its loops, and the state of each callback."""
        states = {callback.state_key: callback.state_dict() for callback in self.callbacks}
        kept = {key: state for key, state in states.items() if is_plain(state)}
        return {"fit_loop": self.trainer.fit_loop.state_dict(), "callbacks": kept}

    def restore(self, saved: dict[str, Any]) -> None:
        """Keep what `state` returned, to be loaded when training begins."""
        self._saved = saved


class InLightning(Callback):
    """rnnscope's callbacks in Lightning's loop: when one side ends training, so does the other."""

    name = "InLightning"

    def __init__(self, callbacks: Callback, extensions: Extensions) -> None:
        self.callbacks, self.extensions, self._in_step = callbacks, extensions, False

    def start(self, task: LanguageModelTask) -> None:
        self.callbacks.start(task)
        self._end(task)

    def before_step(self, task: LanguageModelTask) -> None:
        if self._in_step:
            raise RuntimeError(STOP_ITERATION)
        self._in_step = True
        self.callbacks.before_step(task)

    def after_step(self, task: LanguageModelTask) -> None:
        self._in_step = False
        self.extensions.heed(task)
        self.callbacks.after_step(task)
        self._end(task)

    def _end(self, task: LanguageModelTask) -> None:
        if task.ending:  # through max_steps: at `should_stop` Lightning would validate once more
            trainer = self.extensions.trainer
            trainer.should_stop = False
            trainer.fit_loop.epoch_loop.max_steps = trainer.global_step


def after_steps(state: dict[str, Any], steps: int) -> dict[str, Any]:
    """Return the state of Lightning's loop as if it had taken these steps: callbacks log what they measure by its count."""
    state["epoch_loop.state_dict"]["_batches_that_stepped"] = steps
    optimizer = state["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
    for counts in (state["epoch_loop.batch_progress"]["total"], optimizer["total"]):
        counts |= dict.fromkeys(counts, steps)
    return state


def is_plain(value: Any) -> bool:
    """Whether a value can be in a checkpoint that is loaded with `weights_only=True`."""
    if isinstance(value, dict):
        return all(is_plain(key) and is_plain(inner) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return all(is_plain(inner) for inner in value)
    return value is None or type(value) in (bool, int, float, str, bytes, torch.device) or isinstance(value, Tensor)


def extensions_entry(asked: ExtensionsConfig) -> dict[str, Any]:
    """Return the entry on extensions for a segment in run.json: their names, and the SHA-256 of each of the user's files."""
    if replace(asked, notify=None) == ExtensionsConfig():
        return {}
    files = {name: sha256_of(file) if file else None for name, file in module_files(asked).items()}
    return {"extensions": {**named_classes(asked), "plugins": list(asked.plugins), "files": files}}


def extension_changes(record: Record, asked: ExtensionsConfig) -> list[str]:
    """Return a line for each extension that a run was trained with and that is now missing or in a different file."""
    given = extensions_entry(asked).get("extensions", {})
    lines: dict[str, None] = {}  # in order, each once
    for segment in segments_of(record):
        recorded = segment.get("extensions", {})
        for key in EXTENSIONS:
            lost = [one_line(str(name))[:NAME] for name in recorded.get(key, []) if name not in given.get(key, [])]
            if lost:
                lines[f"the run was trained with {key}=[{', '.join(lost)}]: to use the same, give {key}= again"] = None
        for name, digest in recorded.get("files", {}).items():
            if name in given.get("files", {}) and given["files"][name] != digest:
                lines[f"{shown(name)} is not the file that the run was trained with: its SHA-256 differs"] = None
    return list(lines)
