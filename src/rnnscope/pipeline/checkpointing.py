"""The checkpoints of one training: written while it goes on, found and put back where it is resumed."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

from rnnscope.errors import UserError
from rnnscope.format import shell
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
from rnnscope.training.randomness import random_state, restore_random_state


class CheckpointPart:
    """What each process of a training does about checkpoints: it takes its part of one back, and gives it to the next.

    Of several processes, each has the state that its columns carry, and random numbers; the rest is the same in all.
    """

    saved: dict[str, Any] | None = None  # the checkpoint that the training goes on from

    def __init__(self, training: Training) -> None:
        self.training, self.collectives = training, training.task.collectives

    def receive(self, callbacks: TrainingCallbacks) -> None:
        """In all processes but the first: start from where rank 0 does, with the part of this process."""
        assert self.collectives is not None
        sent = self.collectives.broadcast(None)
        self.training.model.load_state_dict(sent["state_dict"])
        if "task" in sent:
            own = sent["others"][self.collectives.rank - 1]
            self.saved = {**sent, "task": {**sent["task"], "carried": own["carried"]}, "random": own["random"]}
            self.put_back(self.saved, callbacks, "checkpoint", lambda line: None)

    def put_back(self, saved: dict[str, Any], callbacks: TrainingCallbacks, source: str, say: Callable[[str], None]) -> None:
        """Make everything as it was when a checkpoint was written."""
        training = self.training
        training.model.load_state_dict(saved["state_dict"])
        training.task.restore(saved["task"])
        callbacks.restore_each(saved["monitors"], source, say)
        if training.task.position:
            training.windows.load_state_dict(training.task.position)
        if training.extensions and "lightning" in saved:
            training.extensions.restore(saved["lightning"])
        restore_random_state(saved["random"])  # `begin` does it again, when nothing draws any more

    def begin(self) -> None:
        """Called right before the first step: leave a checkpoint of it, or put the random numbers back."""
        if self.saved is None:
            self.save(False, None)
        else:
            restore_random_state(self.saved["random"])  # last of all: nothing may draw between here and the step

    def save(self, is_best: bool, kept: int | None) -> None:
        """Give rank 0 this process's part of a checkpoint."""
        self.gather()

    def gather(self) -> list[Any]:
        """Give this process's part; return the parts of all the others in rank 0."""
        if self.collectives is None:
            return []
        return self.collectives.gather({"carried": self.training.task.carried, "random": random_state()})[1:]


class CheckpointManager(CheckpointPart):
    """Writes checkpoints in a thread of its own, and restores the one that the run is resumed from.

    Args:
        saved: the checkpoint to go on from, as `find_start` read it; None starts at the first step.
    """

    def __init__(
        self,
        run: RunFolder,
        record: Record,
        training: Training,
        writers: Writers,
        callbacks: TrainingCallbacks,
        saved: dict[str, Any] | None,
    ) -> None:
        super().__init__(training)
        self.run, self.record, self.writers, self.callbacks, self.saved = run, record, writers, callbacks, saved
        self.checkpoints = Checkpoints(run.checkpoints, record.get("id", str))
        self._disk = ThreadPoolExecutor(1)  # writes a checkpoint while training goes on
        self._written: Future = self._disk.submit(lambda: None)  # the newest checkpoint

    def restore(self, say: Callable[[str], None]) -> None:
        """Make everything as it was when the checkpoint was written, if there is one.

        Raises:
            UserError: when it does not fit the run.
        """
        if self.saved is None:
            return
        try:
            if len(self.saved.get("others", [])) != self.training.hardware.processes.world_size - 1:
                raise ValueError("it was written by a different number of processes")
            self.put_back(self.saved, self.callbacks, str(self.run.checkpoints / LAST), say)
            self.writers.truncate(self.saved["offsets"])
            self.callbacks.owed = self.saved.get("owed")
        except UserError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"{self.run.checkpoints}: the checkpoint does not fit config.yaml ({reason})") from error

    def send(self) -> None:
        """Have all other processes start from where this one does."""
        if self.collectives is not None:
            state = self.training.model.state_dict()  # also of a new run, which may start from the weights of another
            self.collectives.broadcast({**(self.saved or {}), "state_dict": state})

    def begin(self) -> None:
        super().begin()
        if self.saved is None:
            self.wait()
        else:
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
        if BEST not in names:
            return b""
        with self.training.task.evaluated():
            return weights_file(self.training.model)

    def _derive(self, names: list[str], weights: bytes) -> None:
        """Let what hangs on last.ckpt follow it: its other names, and the exported weights."""
        self.checkpoints.keep(names)
        if weights:
            save_weights(weights, self.run.weights)

    def _capture(self, names: list[str]) -> dict[str, Any]:
        task, extensions = self.training.task, self.training.extensions
        return {
            "format": FORMAT,
            "run": self.checkpoints.run,
            "names": names,
            "ended": task.ending and not task.interrupted,
            "state_dict": self.training.model.state_dict(),
            "task": task.capture(),
            "monitors": self.callbacks.state(),
            "random": random_state(),
            "others": self.gather(),  # the parts of the other processes
            "offsets": self.writers.offsets(),
            **({"owed": self.callbacks.owed} if self.callbacks.owed else {}),
            **({"lightning": extensions.state()} if extensions and task.step else {}),
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
        again = shell("rnnscope", "reproduce", f"run={run.path}")
        raise UserError(f"{run.checkpoints} has no checkpoint left; {again} trains it again")
    say("no checkpoint yet: the run was stopped before its first step and starts now")
    for path in (run.metrics, run.timings, run.samples):
        path.unlink(missing_ok=True)
    return "none", None


def has_rows(run: RunFolder) -> bool:
    """Whether the run has logged a step: a checkpoint was written before that, whatever has become of it."""
    return run.metrics.is_file() and len(list(islice(whole_lines(run.metrics), 2))) == 2
