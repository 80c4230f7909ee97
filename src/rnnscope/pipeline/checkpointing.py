"""The checkpoints of a training: written during training, and restored on resume."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

from rnnscope.errors import UserError
from rnnscope.format import shell
from rnnscope.pipeline.build import Training
from rnnscope.pipeline.callbacks import TrainingCallbacks
from rnnscope.pipeline.writers import Writers
from rnnscope.runs.checkpoints import BEST, LAST, Checkpoints, evaluated_weights
from rnnscope.runs.files import remove_temporaries
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.journal import whole_lines
from rnnscope.runs.record import Record
from rnnscope.runs.validate_checkpoint import FORMAT, check_whole
from rnnscope.runs.weights import save_weights, weights_file
from rnnscope.training.randomness import random_state, restore_random_state


class CheckpointPart:
    """The part of a process in the checkpoints of a training.

    With several processes, each has its own carried state and random state; everything else is the same in all.
    """

    saved: dict[str, Any] | None = None  # the checkpoint that training continues from

    def __init__(self, training: Training) -> None:
        self.training, self.collectives = training, training.task.collectives

    def receive(self, callbacks: TrainingCallbacks) -> None:
        """In every process except rank 0: start from the state of rank 0, with this process's part of it."""
        assert self.collectives is not None
        sent = self.collectives.broadcast(None)
        self.training.model.load_state_dict(sent["state_dict"])
        if "task" in sent:
            own = sent["others"][self.collectives.rank - 1]
            self.saved = {**sent, "task": {**sent["task"], "carried": own["carried"]}, "random": own["random"]}
            self.put_back(self.saved, callbacks, "checkpoint", lambda line: None)

    def put_back(self, saved: dict[str, Any], callbacks: TrainingCallbacks, source: str, say: Callable[[str], None]) -> None:
        """Restore the state in `saved`."""
        training = self.training
        training.model.load_state_dict(saved["state_dict"])
        training.task.restore(saved["task"])
        callbacks.restore_each(saved["monitors"], source, say)
        if training.task.position:
            training.windows.load_state_dict(training.task.position)
        if training.extensions and "lightning" in saved:
            training.extensions.restore(saved["lightning"])
        restore_random_state(saved["random"])  # `begin` repeats this right before the first step

    def begin(self) -> None:
        """Called right before the first step: write a checkpoint of it, or restore the random state."""
        if self.saved is None:
            self.save(False, None)
        else:
            restore_random_state(self.saved["random"])  # nothing may draw between here and the step

    def save(self, is_best: bool, kept: int | None) -> None:
        """Send this process's part of a checkpoint to rank 0."""
        self.gather()

    def gather(self) -> list[Any]:
        """Send this process's part; rank 0 returns the parts of all other processes."""
        if self.collectives is None:
            return []
        return self.collectives.gather({"carried": self.training.task.carried, "random": random_state()})[1:]


class CheckpointManager(CheckpointPart):
    """Writes checkpoints in a separate thread, and restores the one that the run is resumed from.

    Args:
        saved: the checkpoint to continue from, as returned by `find_start`; None starts at the first step.
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
        self._disk = ThreadPoolExecutor(1)  # writes a checkpoint while training continues
        self._written: Future = self._disk.submit(lambda: None)  # the newest checkpoint

    def restore(self, say: Callable[[str], None]) -> None:
        """Restore the checkpoint, if there is one.

        Raises:
            UserError: if it does not fit the run.
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
        """Have all other processes start from the same state."""
        if self.collectives is not None:
            state = self.training.model.state_dict()  # of a new run as well, which may start from the weights of a run
            self.collectives.broadcast({**(self.saved or {}), "state_dict": state})

    def begin(self) -> None:
        super().begin()
        if self.saved is None:
            self.wait()
        else:
            self.settle()

    def settle(self) -> None:
        """Write what depends on the restored checkpoint: a kill may have prevented that."""
        if self.saved:  # its own weights: the average that training keeps may be of a different kind by now
            names = self.saved["names"]
            self._derive(names, self._weights_file(evaluated_weights(self.saved)) if BEST in names else b"")

    def save(self, is_best: bool, kept: int | None) -> None:
        """Capture a checkpoint now, to be written under all its names while training continues."""
        names = [*([BEST] if is_best else []), *([f"step_{kept}.ckpt"] if kept is not None else [])]
        self.wait()  # one at a time; if one failed, this raises and the run ends
        self.checkpoints.hold(self._capture(names))
        progress = self.callbacks.progress()
        self._written = self._disk.submit(self._write, names, self._weights(names), progress)

    def wait(self) -> None:
        """Wait until the newest checkpoint is on disk; raise the error if writing it failed."""
        self._written.result()

    def close(self) -> BaseException | None:
        """Wait for the newest checkpoint, and return the error if writing it failed."""
        self._disk.shutdown()
        return self._written.exception()

    def _write(self, names: list[str], weights: bytes, progress: dict[str, Any]) -> None:
        """Write the captured checkpoint, after everything that it relies on and before everything that depends on it."""
        self.writers.sync()
        self.checkpoints.write()
        self._derive(names, weights)
        self.record.update(progress=progress)

    def _weights(self, names: list[str]) -> bytes:
        """Return the contents of the weights file of the best checkpoint; empty for any other checkpoint."""
        if BEST not in names:
            return b""
        with self.training.task.evaluated():
            return self._weights_file(self.training.model.state_dict())

    def _weights_file(self, state: dict[str, Any]) -> bytes:
        parameters = {name: state[name] for name, _ in self.training.model.named_parameters()}
        return weights_file(parameters, self.training.data.fingerprint["vocabulary"])

    def _derive(self, names: list[str], weights: bytes) -> None:
        """Write what depends on last.ckpt: its other names, and the exported weights."""
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
    """Return the name and contents of the checkpoint to continue from; None if the run was killed before its first step.

    Raises:
        UserError: if it is missing although steps were trained.
    """
    remove_temporaries(run.path)
    checkpoints = Checkpoints(run.checkpoints, record.get("id", str))
    found = checkpoints.newest(say)
    if found is not None:
        name, saved = found
        checkpoints.adopt(name)
        check_whole(saved, str(run.checkpoints / name))
        step = saved["task"]["step"]
        best = step if name == LAST else checkpoints.step(BEST)
        if best is None or best > step:  # the exported weights may be of later steps, which are lost
            lost = "is lost as well" if best is None else f"is of step {best}, which is lost"
            say(f"best.ckpt {lost}: the checkpoint of step {step} takes its place until a better one is found")
            saved["names"] = [*saved["names"], BEST]  # the weights are exported when training begins
        return found
    if record.get("progress.step", int, 0) > 0 or has_rows(run):
        again = shell("rnnscope", "reproduce", f"run={run.path}")
        raise UserError(f"{run.checkpoints} has no checkpoint left; {again} trains it again")
    say("no checkpoint yet: the run was stopped before its first step and starts now")
    for path in (run.metrics, run.timings, run.samples):
        path.unlink(missing_ok=True)
    return "none", None


def has_rows(run: RunFolder) -> bool:
    """Whether the run has logged a step, before which a checkpoint must have been written."""
    return run.metrics.is_file() and len(list(islice(whole_lines(run.metrics), 2))) == 2
