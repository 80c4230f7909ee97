"""One go at training a run: from its first step, or from a checkpoint, to wherever it ends."""

import errno
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch

from rnnscope.errors import UserError
from rnnscope.monitor.recorder import TIMING_COLUMNS, metric_columns
from rnnscope.monitor.tensorboard import Board
from rnnscope.pipeline.build import Training
from rnnscope.pipeline.callbacks import Watch, Writers, make_monitors, meetings
from rnnscope.pipeline.console import Screen
from rnnscope.pipeline.opening import opening
from rnnscope.pipeline.summary import farewell, lost_process, no_space, out_of_memory
from rnnscope.pipeline.trainer import run_trainer
from rnnscope.runs.checkpoints import BEST, LAST, Checkpoints
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.journal import CsvJournal, JsonJournal
from rnnscope.runs.record import Record, now
from rnnscope.runs.segments import flatten
from rnnscope.runs.validate_checkpoint import FORMAT
from rnnscope.runs.weights import hash_weights, save_weights, weights_file
from rnnscope.training.distributed.collectives import Exchange, Lost
from rnnscope.training.distributed.synchronization import Leader
from rnnscope.training.randomness import random_state, restore_random_state

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
HPARAMS = {  # what the HParams tab lists: the same keys in every run, or TensorBoard loses columns
    "dataset": ("name", "level", "batch_size", "sequence_length"),
    "model": ("cell", "hidden_size", "num_layers", "dropout", "input", "tied_weights", "init"),
    "optimizer": ("name", "lr", "weight_decay"),
    "schedule": ("name",),
    "trainer": ("clip_norm", "max_steps", "max_epochs"),
}


@dataclass
class Result:
    """How a training ended: the run, its status, and its newest metrics."""

    run: RunFolder
    status: str
    step: int
    metrics: dict[str, float]
    weights_hash: str | None


class Session:
    """One go at training a run; of several processes that train it together, only the first has one.

    Args:
        checkpoint: where to go on, as `Checkpoints.newest` read it; None starts at the first step.
    """

    def __init__(
        self, run: RunFolder, record: Record, training: Training, screen: Screen, checkpoint: dict[str, Any] | None = None
    ) -> None:
        self.run, self.record, self.training, self.screen = run, record, training, screen
        self.checkpoint = checkpoint
        self.checkpoints = Checkpoints(run.checkpoints, record.get("id", str))
        self._disk = ThreadPoolExecutor(1)  # writes a checkpoint while training goes on
        self._written: Future = self._disk.submit(lambda: None)  # the newest checkpoint
        self.writers = self._open_writers(0 if checkpoint is None else checkpoint["task"]["step"] + 1)
        for journal in (self.writers.metrics, self.writers.timings):
            if journal.left_out:
                listed = ", ".join(journal.left_out)
                screen.say(f"{journal.path} has no columns for what this version of rnnscope also measures: {listed}")
        self.watch: Watch = make_monitors(training, self.writers, screen, self.begin, self.save)
        self.leader = self._lead(training.task.exchange) if training.task.exchange else None
        if checkpoint is not None:
            try:
                self._restore(checkpoint)
            except UserError:
                self.writers.close()
                raise

    def _open_writers(self, first_step: int) -> Writers:
        parameters = [name for name, _ in self.training.model.named_parameters()]
        metrics = CsvJournal(self.run.metrics, metric_columns(parameters, self.training.words))
        timings = CsvJournal(self.run.timings, TIMING_COLUMNS)
        board = Board(self.run.path, first_step)  # after what may be refused: it makes a file
        if not first_step:
            job = self.training.terms.job
            listed = hparams_of(self.training.config, job.swept if job else ())
            board.hparams(listed, ["best/loss", "best/bits_per_character"])
        return Writers(metrics, timings, JsonJournal(self.run.samples), board)

    def _lead(self, exchange: Exchange) -> Leader:
        """Return what lets the other processes follow the monitors of this one."""
        others = self.checkpoint.get("others", []) if self.checkpoint else []
        return Leader(exchange, meetings(self.training), self.watch.monitors, lambda: opening(self.training, others))

    def _restore(self, saved: dict[str, Any]) -> None:
        """Make everything as it was when `saved` was written.

        Raises:
            UserError: when that does not fit the run.
        """
        try:
            if len(saved.get("others", [])) != self.training.processes.world_size - 1:
                raise ValueError("it is of another number of processes")
            self.training.model.load_state_dict(saved["state_dict"])
            self.training.task.restore(saved["task"])
            self.watch.monitors.restore(saved["monitors"], str(self.run.checkpoints / LAST), self.screen.say)
            if self.training.task.position:
                self.training.windows.load_state_dict(self.training.task.position)
            restore_random_state(saved["random"])  # `begin` does it again, when nothing draws any more
            self.writers.truncate(saved["offsets"])
        except UserError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"{self.run.checkpoints}: the checkpoint does not fit config.yaml ({reason})") from error

    def begin(self) -> None:
        """Called right before the first step: leave a checkpoint of it, or put the random numbers back."""
        if self.checkpoint is None:
            self.save(False, None)
            self._written.result()
        else:
            restore_random_state(self.checkpoint["random"])  # last of all: nothing may draw between here and the step
            names = self.checkpoint["names"]
            self._derive(names, self._weights(names))  # the kill may have come before these followed last.ckpt

    def train(self) -> Result:
        """Train to the end and record how it went, whatever way it went."""
        status, error = "failed", None
        try:
            run_trainer(self.training, self.leader or self.watch.monitors)
            self._written.result()
            status = self._status()
        except (KeyboardInterrupt, SystemExit):  # a second Ctrl-C: Lightning makes an exit of it
            status = "interrupted"
        except Lost as exception:
            error = f"another process is gone ({exception})"
            raise UserError(lost_process(self.training, self.run)) from exception
        except torch.OutOfMemoryError as exception:
            error = str(exception).splitlines()[0]
            raise UserError(out_of_memory(self.training, error)) from exception
        except OSError as exception:
            error = f"{exception.strerror}: {exception.filename or self.run.path}"
            if exception.errno not in NO_SPACE:
                raise
            raise UserError(no_space(self.training, self.run, error)) from exception
        except BaseException as exception:
            error = f"{type(exception).__name__}: {exception}"
            raise
        finally:
            self.watch.budget.restore_handlers()
            self._close_writers(status)
            result = self._finish(status, error)
        self._say_farewell(result)
        if self.leader:
            self.leader.dismiss({"run": str(self.run.path), "status": result.status, "step": result.step})
        return result

    def end(self) -> Result:
        """Record the end of a run that had trained all it should when its process was killed."""
        self._close_writers("finished")
        names = self.checkpoint["names"] if self.checkpoint else []
        self._derive(names, self._weights(names))
        result = self._finish("finished", None)
        self._say_farewell(result)
        return result

    def _close_writers(self, status: str) -> None:
        self._disk.shutdown()
        if status == "interrupted" and (error := self._written.exception()):
            self.screen.say(f"warning: the last checkpoint could not be written ({error})")
        try:
            if status != "interrupted":  # TensorBoard believes the first end of a run that it is told
                self.writers.board.end(status == "finished")
            self.writers.close()
        except OSError as error:  # a full disk, most likely: what the checkpoint counts on was written before it
            self.screen.say(f"warning: the last lines could not be written ({error.strerror})")

    def save(self, is_best: bool, kept: int | None) -> None:
        """Have a checkpoint of this very moment written, under every name that it deserves, while training goes on."""
        names = [*([BEST] if is_best else []), *([f"step_{kept}.ckpt"] if kept is not None else [])]
        self._written.result()  # one at a time; where one failed the run ends
        self.checkpoints.hold(self._capture(names))
        self._written = self._disk.submit(self._write, names, self._weights(names), self._progress())

    def _write(self, names: list[str], weights: bytes, progress: dict[str, Any]) -> None:
        """Write the checkpoint that is held, after all that it counts on and before all that hangs on it."""
        self.writers.sync()
        self.checkpoints.write()
        self._derive(names, weights)
        self.record.update(progress=progress)

    def _weights(self, names: list[str]) -> bytes:
        """Return the weights that the best checkpoint exports, nothing for another one."""
        return weights_file(self.training.model) if BEST in names else b""

    def _derive(self, names: list[str], weights: bytes) -> None:
        """Let what hangs on last.ckpt follow it: its other names, and the exported weights."""
        self.checkpoints.keep(names)
        if weights:
            save_weights(weights, self.run.weights)

    def _capture(self, names: list[str]) -> dict[str, Any]:
        task = self.training.task
        return {
            "format": FORMAT,
            "run": self.checkpoints.run,
            "names": names,
            "ended": task.ending and not task.interrupted,
            "state_dict": self.training.model.state_dict(),
            "task": self.training.task.capture(),
            "monitors": self.watch.monitors.state(),
            "random": random_state(),
            "others": self.leader.gather() if self.leader else [],  # the parts of the other processes
            "offsets": self.writers.offsets(),
        }

    def _progress(self) -> dict[str, Any]:
        task, latest = self.training.task, self.watch.recorder.latest
        seconds = round(self.watch.throughput.seconds, 3)
        losses = {key: latest.get(key) for key in ("train/loss", "val/loss")}
        return {"step": task.step, "total": self.training.resolved["total_steps"], "seconds": seconds, **losses}

    def _status(self) -> str:
        task = self.training.task
        return "diverged" if task.diverged else "interrupted" if task.interrupted else "finished"

    def _finish(self, status: str, error: str | None) -> Result:
        task, latest = self.training.task, dict(self.watch.recorder.latest)
        digest = hash_weights(self.training.model) if task.ending or status == "finished" else None  # not in mid-step
        validation = self.watch.validation
        self._update_record(
            status=status,
            ended=now(),
            reason=error or task.diverged or validation.reason or self.watch.budget.signal,
            stopped_early=validation.stopped_early,
            progress=self._progress(),
            best={
                "step": validation.best_step,
                "loss": latest.get("best/loss"),
                "bits_per_character": latest.get("best/bits_per_character"),
            },
            last=latest,
            weights_sha256=digest,
        )
        return Result(self.run, status, task.step, latest, digest)

    def _update_record(self, **values: Any) -> None:
        try:
            self.record.update(**values)
        except OSError as error:
            self.screen.say(f"warning: {self.run.record} could not be brought up to date ({error.strerror})")

    def _say_farewell(self, result: Result) -> None:
        seconds, best_step = self.watch.throughput.seconds, self.watch.validation.best_step
        for line in farewell(self.training, self.run, result.status, seconds, result.metrics.get("best/loss"), best_step):
            self.screen.say(line)


def hparams_of(config: dict[str, Any], swept: Iterable[str] = ()) -> dict[str, bool | str | float | int]:
    """Return the few flat keys that the HParams tab lists, and those of a sweep's keys that are no groups; None as text."""
    listed = ["seed", *(f"{group}.{key}" for group, keys in HPARAMS.items() for key in keys)]
    listed += [key for key in swept if key not in listed and "." in key]
    flat = flatten(config)
    values = {key: "none" if flat.get(key) is None else flat[key] for key in listed}
    return {key: value if isinstance(value, (bool, int, float)) else str(value) for key, value in values.items()}
