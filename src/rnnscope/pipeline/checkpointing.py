"""The checkpoints of one training: written while it goes on, found and put back where it is resumed."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

from rnnscope.errors import UserError
from rnnscope.pipeline.build import Training
from rnnscope.pipeline.callbacks import TrainingCallbacks
from rnnscope.pipeline.writers import Writers
from rnnscope.runs.checkpoints import BEST, LAST, Checkpoints
from rnnscope.runs.files import remove_temporaries
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.journal import whole_lines
from rnnscope.runs.record import Record
from rnnscope.runs.validate_checkpoint import FORMAT, check_whole
from rnnscope.runs.weights import save_weights, weights_file
from rnnscope.training.distributed.synchronization import Leader
from rnnscope.training.randomness import random_state, restore_random_state


class CheckpointManager:
    """Writes checkpoints in a thread of its own, and restores the one that the run is resumed from.

    Args:
        leader: of several processes, to gather the parts of the rest; None where one trains.
        saved: the checkpoint to go on from, as `find_start` read it; None starts at the first step.
    """

    def __init__(
        self,
        run: RunFolder,
        record: Record,
        training: Training,
        writers: Writers,
        callbacks: TrainingCallbacks,
        leader: Leader | None,
        saved: dict[str, Any] | None,
    ) -> None:
        self.run, self.record, self.training = run, record, training
        self.writers, self.callbacks, self.leader, self.saved = writers, callbacks, leader, saved
        self.checkpoints = Checkpoints(run.checkpoints, record.get("id", str))
        self._disk = ThreadPoolExecutor(1)  # writes a checkpoint while training goes on
        self._written: Future = self._disk.submit(lambda: None)  # the newest checkpoint

    def restore(self, say: Callable[[str], None]) -> None:
        """Make everything as it was when the checkpoint was written, if there is one.

        Raises:
            UserError: when it does not fit the run.
        """
        saved, training = self.saved, self.training
        if saved is None:
            return
        try:
            if len(saved.get("others", [])) != training.hardware.processes.world_size - 1:
                raise ValueError("it was written by a different number of processes")
            training.model.load_state_dict(saved["state_dict"])
            training.task.restore(saved["task"])
            self.callbacks.restore_each(saved["monitors"], str(self.run.checkpoints / LAST), say)
            if training.task.position:
                training.windows.load_state_dict(training.task.position)
            restore_random_state(saved["random"])  # `begin` does it again, when nothing draws any more
            self.writers.truncate(saved["offsets"])
        except UserError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"{self.run.checkpoints}: the checkpoint does not fit config.yaml ({reason})") from error

    def begin(self) -> None:
        """Called right before the first step: leave a checkpoint of it, or put the random numbers back."""
        if self.saved is None:
            self.save(False, None)
            self.wait()
        else:
            restore_random_state(self.saved["random"])  # last of all: nothing may draw between here and the step
            self.settle()

    def settle(self) -> None:
        """Let what hangs on the restored checkpoint follow it: a kill may have come before that did."""
        names = self.saved["names"] if self.saved else []
        self._derive(names, self._weights(names))

    def save(self, is_best: bool, kept: int | None) -> None:
        """Have a checkpoint of this very moment written, under every name that it deserves, while training goes on."""
        names = [*([BEST] if is_best else []), *([f"step_{kept}.ckpt"] if kept is not None else [])]
        self.wait()  # one at a time; where one failed the run ends
        self.checkpoints.hold(self._capture(names))
        progress = self.callbacks.progress()
        self._written = self._disk.submit(self._write, names, self._weights(names), progress)

    def wait(self) -> None:
        """Wait for the newest checkpoint to be on disk, and raise what went wrong with it."""
        self._written.result()

    def close(self) -> BaseException | None:
        """Wait for the newest checkpoint, and return what went wrong with it."""
        self._disk.shutdown()
        return self._written.exception()

    def _write(self, names: list[str], weights: bytes, progress: dict[str, Any]) -> None:
        """Write the checkpoint that is held, after all that it counts on and before all that hangs on it."""
        self.writers.sync()
        self.checkpoints.write()
        self._derive(names, weights)
        self.record.update(progress=progress)

    def _weights(self, names: list[str]) -> bytes:
        """Return the weights that the best checkpoint exports, empty for any that is not the best."""
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
            "task": task.capture(),
            "monitors": self.callbacks.state(),
            "random": random_state(),
            "others": self.leader.gather() if self.leader else [],  # the parts of the other processes
            "offsets": self.writers.offsets(),
        }


def find_start(run: RunFolder, record: Record, say: Callable[[str], None]) -> tuple[str, dict[str, Any] | None]:
    """Return the checkpoint to go on from and its file's name; none where the run was killed before its first step.

    Raises:
        UserError: when there should be one.
    """
    remove_temporaries(run.path)
    checkpoints = Checkpoints(run.checkpoints, record.get("id", str))
    found = checkpoints.newest(say)
    if found is not None:
        name, saved = found
        checkpoints.adopt(name)
        check_whole(saved, str(run.checkpoints / name))
        if name != LAST and not checkpoints.is_whole(BEST):
            # the weights that were exported as the best may be of later steps, which the run has lost
            say(f"best.ckpt is lost as well; until a better one is found, it is the checkpoint of step {saved['task']['step']}")
            saved["names"] = [*saved["names"], BEST]  # which follow when training begins
        return found
    if record.get("progress.step", int, 0) > 0 or has_rows(run):
        raise UserError(f"{run.checkpoints} has no checkpoint left; rnnscope reproduce run={run.path} trains it again")
    say("no checkpoint yet: the run was stopped before its first step and starts now")
    for path in (run.metrics, run.timings, run.samples):
        path.unlink(missing_ok=True)
    return "none", None


def has_rows(run: RunFolder) -> bool:
    """Whether the run has logged a step: a checkpoint was written before that, whatever has become of it."""
    return run.metrics.is_file() and len(list(islice(whole_lines(run.metrics), 2))) == 2
