"""The last lines of a training: how it ended, where everything is, and the exact next commands."""

import math
from collections.abc import Iterator

import torch

from rnnscope.errors import NO_SPACE
from rnnscope.format import clock
from rnnscope.paths import outputs_folder
from rnnscope.pipeline.build import Training
from rnnscope.runs.folder import RunFolder
from rnnscope.training.distributed.collectives import ProcessLost


def summary(
    training: Training, run: RunFolder, status: str, seconds: float, best: float | None, best_step: int
) -> Iterator[str]:
    """Yield the last lines of a training.

    Args:
        seconds: trained, all sessions of the run together.
        best: the lowest validation loss, in nats per token, at `best_step`; None where nothing was validated.
    """
    step, stop = training.task.step, training.options.stop
    repeated = stop is not None and step == stop.step  # up to here: the verdict comes next
    how = "stopped" if repeated and status == "interrupted" else status
    yield f"\n{how} at step {step} after {clock(seconds)}{_best(training, best, best_step)}"
    if repeated:
        return
    if status == "diverged":
        yield what_to_try(training)
    name, has_checkpoint = typed_name(run), any(run.checkpoints.glob("*.ckpt"))
    yield f"  run folder   {run.path}"
    yield f"  watch        tensorboard --logdir {outputs_folder()} --samples_per_plugin text=1000,scalars=10000"
    if has_checkpoint:
        yield f"  sample       rnnscope sample run={name}"
        yield f"  score        rnnscope evaluate run={name}"
    if has_checkpoint and status != "diverged":
        yield f"  continue     rnnscope resume run={name}{f' trainer.max_steps={2 * step}' if status == 'finished' else ''}"


def _best(training: Training, best: float | None, step: int) -> str:
    if best is None:
        return ""
    bits = best / math.log(2) * training.tokens_per_character("val")
    return f"; best val/loss {best:.4f} ({bits:.4f} bits per character) at step {step}"


def typed_name(run: RunFolder) -> str:
    """Return the run as `run=` takes it."""
    runs = outputs_folder() / "runs"
    return str(run.path.relative_to(runs)) if run.path.is_relative_to(runs) else str(run.path)


def what_to_try(training: Training) -> str:
    """Return what may keep such a run from diverging."""
    config = training.config
    tries = [f"a lower optimizer.lr (now {config.optimizer.lr:g})"]
    if config.trainer.clip_norm is None:
        tries.append("trainer.clip_norm=1")
    if training.hardware.precision == "bf16":
        tries.append("trainer.precision=float32")
    return f"{training.task.diverged}: try {', or '.join(tries)}"


def explain(error: BaseException, training: Training, run: RunFolder) -> tuple[str, str | None]:
    """Return why a training failed, for its record, and what to tell the user; None where only a traceback helps."""
    step, resume = training.task.step, f"continue from the last checkpoint with: rnnscope resume run={typed_name(run)}"
    if isinstance(error, ProcessLost):
        ended = f"one of the {training.hardware.processes.world_size} processes ended (killed, or for the reason it gave above)"
        return f"another process is gone ({error})", f"at step {step} {ended}; {resume}"
    if isinstance(error, torch.OutOfMemoryError):
        reason = str(error).splitlines()[0]
        return reason, f"out of GPU memory at step {step + 1} ({reason}); lower one of {sizes(training)}"
    if isinstance(error, OSError):
        reason = f"{error.strerror}: {error.filename or run.path}"
        advice = f"no space at step {step} ({reason}); make room, then {resume}"
        return reason, advice if error.errno in NO_SPACE else None
    return f"{type(error).__name__}: {error}", None


def sizes(training: Training) -> str:
    """Return the keys that decide how much memory a step takes, and their values."""
    dataset, model = training.config.dataset, training.config.model
    keys = {"dataset.batch_size": dataset.batch_size, "dataset.sequence_length": dataset.sequence_length}
    keys["model.hidden_size"] = model.hidden_size
    return ", ".join(f"{key} ({value})" for key, value in keys.items())
