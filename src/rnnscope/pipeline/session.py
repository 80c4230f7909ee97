"""One session of training a run: from its first step, or from a checkpoint, until it ends."""

import traceback
from dataclasses import asdict, dataclass
from typing import Any

from rnnscope.errors import UserError
from rnnscope.pipeline.build import Training
from rnnscope.pipeline.callbacks import TrainingCallbacks
from rnnscope.pipeline.checkpointing import CheckpointManager
from rnnscope.pipeline.claims import judge_run
from rnnscope.pipeline.console import Console
from rnnscope.pipeline.notify import NOTIFIED, notify
from rnnscope.pipeline.summary import explain, summary
from rnnscope.pipeline.trainer import run_trainer
from rnnscope.pipeline.writers import open_writers
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.record import Record, now
from rnnscope.runs.segments import flatten
from rnnscope.runs.weights import hash_weights
from rnnscope.training.callback import Callback


@dataclass
class Result:
    """How a training ended: the run, its status and step, its newest metrics, and the hash of its weights."""

    run: RunFolder
    status: str
    step: int
    metrics: dict[str, float]
    weights_hash: str | None

    @property
    def exit_status(self) -> int:
        """The exit status of the command: 0 for finished, 130 for interrupted, 1 for diverged."""
        return {"finished": 0, "interrupted": 130}.get(self.status, 1)


class Session:
    """One session of training a run, in rank 0, which alone writes to the run folder (see ranks.py).

    Args:
        saved: the checkpoint to continue from, as returned by `find_start`; None starts at the first step.
    """

    def __init__(
        self, run: RunFolder, record: Record, training: Training, console: Console, saved: dict[str, Any] | None = None
    ) -> None:
        self.run, self.record, self.training, self.console = run, record, training, console
        first_step = 0 if saved is None else saved["task"]["step"] + 1
        if training.extensions:
            training.extensions.open(run, record, flatten(asdict(training.config)), first_step, console.say)
        self.writers = open_writers(run, training, first_step, console.say)
        begin, save = lambda: self.checkpoints.begin(), lambda is_best, kept: self.checkpoints.save(is_best, kept)
        self.callbacks = TrainingCallbacks(training, self.writers, console, begin, save)
        self.checkpoints = CheckpointManager(run, record, training, self.writers, self.callbacks, saved)
        try:
            self.checkpoints.restore(console.say)
        except UserError:
            self.writers.close()
            raise

    def train(self, callback: Callback | None = None) -> Result:
        """Train until the end, and record how it ended, even after an error.

        Args:
            callback: called in each step instead of the run's own callbacks, which it calls in turn.
        """
        status, reason = "failed", None
        try:
            self.checkpoints.send()
            run_trainer(self.training, callback or self.callbacks)
            self.checkpoints.wait()
            status, reason = self._status(), self.training.extensions and self.training.extensions.reason
        except (KeyboardInterrupt, SystemExit) as end:  # a second Ctrl-C, from which Lightning makes an exit
            status = "interrupted"
            if isinstance(end, SystemExit) and self.callbacks.budget.signal is None:
                reason = "a callback raised SystemExit"
        except BaseException as error:
            self.console.note("".join(traceback.format_exception(error)))
            reason, advice = explain(error, self.training, self.run)
            if advice is not None:
                raise UserError(advice) from error
            raise
        finally:
            with self.callbacks.budget.closing():
                self._close(status)
                result = self._finish(status, reason)
                self._tell(result)
        return result

    def end(self) -> Result:
        """Record the end of a run that was killed after its last step."""
        self._close("finished")
        self.checkpoints.settle()
        result = self._finish("finished", None)
        self._tell(result)
        return result

    def _close(self, status: str) -> None:
        error = self.checkpoints.close()
        if status == "interrupted" and error:
            self.console.say(f"warning: the last checkpoint could not be written ({error})")
        try:
            if status != "interrupted":  # TensorBoard shows only the first recorded end of a run
                self.writers.board.end(status == "finished")
            self.writers.close()
        except OSError as failure:  # probably a full disk; what the checkpoint relies on was written before
            self.console.say(f"warning: the last lines could not be written ({failure.strerror})")

    def _status(self) -> str:
        task = self.training.task
        return "diverged" if task.diverged else "interrupted" if task.interrupted else "finished"

    def _finish(self, status: str, reason: str | None) -> Result:
        task, latest, validation = self.training.task, dict(self.callbacks.recorder.latest), self.callbacks.validation
        claims = self.claims = judge_run(self.run, self.record, self.training, status)
        digest = hash_weights(self.training.model) if task.ending or status == "finished" else None  # not in mid-step
        values = {
            "status": status,
            "ended": now(),
            "reason": reason or task.diverged or validation.reason or self.callbacks.budget.signal,
            "stopped_early": validation.stopped_early or (status == "finished" and reason is not None),
            "progress": self.callbacks.progress(),
            "best": {
                "step": validation.best_step,
                "loss": latest.get("best/loss"),
                "bits_per_character": latest.get("best/bits_per_character"),
            },
            "last": latest,
            "weights_sha256": digest,
            **({"claims": [claim.as_record() for claim in claims]} if claims else {}),
        }
        try:
            self.record.update(**values)
        except OSError as error:
            self.console.say(f"warning: {self.run.record} could not be updated ({error.strerror})")
        return Result(self.run, status, task.step, latest, digest)

    def _tell(self, result: Result) -> None:
        """Print the last lines, unless an error follows, and inform loggers and the user's command."""
        seconds, best_step = self.callbacks.throughput.seconds, self.callbacks.validation.best_step
        if result.status != "failed":
            best = result.metrics.get("best/loss")
            for line in summary(self.training, self.run, result.status, seconds, best, best_step):
                self.console.say(line)
        for claim in self.claims:
            self.console.say(claim.line())
        if self.training.extensions:
            self.training.extensions.loggers.finish(self.run, result.status, self.console.say)
        command, stop = self.training.options.extensions.notify, self.training.options.stop
        goes_on = stop is not None and not stop.last and result.status == "finished"
        if command and not goes_on and result.status in NOTIFIED and (complaint := notify(command, self.record)):
            self.console.say(f"warning: {complaint}")
