"""The last lines of a training: how it ended, where its files are, and the next commands."""

import errno
import math
import traceback
from collections.abc import Iterator
from dataclasses import replace

from rnnscope.config.extensions import command_words
from rnnscope.config.schema import ExtensionsConfig
from rnnscope.errors import MORE_FILES, NO_FILES, NO_SPACE, lack_of_memory
from rnnscope.format import clock, plural, shell, watching
from rnnscope.paths import outputs_folder
from rnnscope.pipeline.budgets import count_steps
from rnnscope.pipeline.build import Training
from rnnscope.pipeline.extensions import extensions_entry
from rnnscope.runs.checkpoints import BEST
from rnnscope.runs.find import typed_name
from rnnscope.runs.folder import RunFolder
from rnnscope.training.config import CosineConfig, StepMapConfig
from rnnscope.training.distributed.collectives import ProcessLost

MANY_UNKNOWN = 0.01  # share of unknown words above which bits per character would be misleading


def summary(
    training: Training, run: RunFolder, status: str, seconds: float, best: float | None, best_step: int
) -> Iterator[str]:
    """Yield the last lines of a training.

    Args:
        seconds: of training, in all sessions of the run.
        best: the lowest validation loss, in nats per token, at `best_step`; None if nothing was validated.
    """
    step, stop = training.task.step, training.options.stop
    repeated = stop if stop is not None and step == stop.step else None  # a reproduction: the verdict comes next
    how = "stopped" if repeated and status == "interrupted" else status
    why = f" ({training.extensions.reason})" if training.extensions and training.extensions.reason else ""
    named = f" (until={step})" if repeated and repeated.until else ""
    yield f"\n{how} at step {step}{named} after {clock(seconds)}{why}{_best(training, best, best_step)}"
    if repeated:
        return
    if status == "diverged":
        yield what_to_try(training)
    if status == "finished" and training.task.average and not training.task.average.begun:
        interval = plural(training.config.trainer.asgd_interval, "validation")
        yield f"trainer.average=asgd averaged nothing: no val/loss was above the best from before the last {interval}"
    name, has_checkpoint = typed_name(run), any(run.checkpoints.glob("*.ckpt"))
    yield f"  run folder   {run.path}"
    yield f"  watch        {watching(outputs_folder())}"
    if has_checkpoint:
        which = [] if (run.checkpoints / BEST).exists() else ["checkpoint=last"]  # before the first validation
        yield f"  sample       {shell('rnnscope', 'sample', f'run={name}', *which)}"
        split = [] if training.data.splits["val"].tokens else ["split=train"]
        yield f"  score        {shell('rnnscope', 'evaluate', f'run={name}', *which, *split)}"
    if has_checkpoint and status != "diverged":
        more, extensions = to_go_on(training, step, seconds) if status == "finished" else [], training.options.extensions
        if why:  # the callback that ended this training would end the next one at once
            extensions = replace(extensions, callbacks=ExtensionsConfig().callbacks, callback_classes=[])
        yield f"  continue     {shell('rnnscope', 'resume', f'run={name}', *more, *command_words(extensions))}"


def to_go_on(training: Training, steps: int, seconds: float) -> list[str]:
    """Return the overrides with which a finished training continues: twice the patience that ended it, else a larger budget."""
    trainer, total = training.config.trainer, training.total_steps
    early = (total is None or steps < total) and (trainer.max_minutes is None or seconds < 60 * trainer.max_minutes)
    if early and trainer.patience is not None:
        return [f"trainer.patience={2 * trainer.patience}"]
    return larger_budget(training, steps, seconds)


def larger_budget(training: Training, steps: int, seconds: float) -> list[str]:
    """Return the overrides that double each budget of a training, with a schedule that lasts as long.

    Args:
        steps, seconds: trained so far.
    """
    config, per_epoch = training.config, training.windows.windows_per_epoch
    trained = {"max_steps": steps, "max_epochs": steps / per_epoch, "max_minutes": seconds / 60}
    given = {key: value for key in trained if (value := getattr(config.trainer, key)) is not None}
    keys = {key: 2 * max(value, trained[key]) for key, value in given.items()}
    words = [f"trainer.{key}={value if key == 'max_steps' else f'{value:.4g}'}" for key, value in keys.items()]
    if isinstance(config.schedule, CosineConfig):
        end = config.schedule.horizon or training.horizon or steps
        total = count_steps(replace(config.trainer, **keys), per_epoch) or 2 * max(end, steps)
        words += [f"schedule.horizon={total}"] if total > end else []
    return words


def _best(training: Training, best: float | None, step: int) -> str:
    if best is None:
        return ""
    val = training.data.splits["val"]
    if training.words and val.unknown > MANY_UNKNOWN * val.tokens:
        perplexity = math.exp(best) if best < 700 else math.inf
        unknown = f"with {100 * val.unknown / val.tokens:.1f} % of the words unknown; compares only within one vocabulary"
        return f"; best val/loss {best:.4f} (perplexity {perplexity:.1f}, {unknown}) at step {step}"
    bits = best / math.log(2) * training.tokens_per_character("val")
    return f"; best val/loss {best:.4f} ({bits:.4f} bits per character) at step {step}"


def what_to_try(training: Training) -> str:
    """Return a line on what may keep the run from diverging."""
    config = training.config
    rates = isinstance(config.schedule, StepMapConfig)
    tries = ["lower schedule.rates" if rates else f"a lower optimizer.lr (now {config.optimizer.lr:g})"]
    if config.trainer.clip_norm is None and config.trainer.clip_value is None:
        tries.append("trainer.clip_norm=1")
    if training.hardware.precision == "bf16":
        tries.append("trainer.precision=float32")
    return f"{training.task.diverged}: try {', or '.join(tries)}"


def explain(error: BaseException, training: Training, run: RunFolder) -> tuple[str, str | None]:
    """Return why a training failed, for its record, and a message for the user, or None if only a traceback helps."""
    step, words = training.task.step, (f"run={typed_name(run)}", *command_words(training.options.extensions))
    resume = f"continue from the last checkpoint with: {shell('rnnscope', 'resume', *words)}"
    if isinstance(error, ProcessLost):
        assert training.options.rendezvous is not None
        why = f"one of {training.hardware.processes.world_size} processes is gone: {training.options.rendezvous.why_lost()}"
        return why, f"at step {step} {why}; {resume}"
    if lack := lack_of_memory(error):
        return f"out of {lack}", f"out of {lack} at step {step + 1}; lower one of {sizes(training)}"
    if isinstance(error, OSError):
        reason = f"{error.strerror}: {error.filename or run.path}"
        if error.errno in NO_FILES:
            return reason, f"at step {step}: {reason}; {MORE_FILES}, then {resume}"
        remedy = "raise the limit on the size of a file (ulimit -f)" if error.errno == errno.EFBIG else "make room"
        advice = f"no space at step {step} ({reason}); {remedy}, then {resume}"
        return reason, advice if error.errno in NO_SPACE else None
    reason = f"{type(error).__name__}: {error}"
    if not extensions_entry(training.options.extensions):
        return reason, None
    place = traceback.extract_tb(error.__traceback__)[-1]  # most likely in an extension
    return reason, f"at step {step} {reason} ({place.filename}, line {place.lineno}); traceback in {run.log}; {resume}"


def sizes(training: Training) -> str:
    """Return the keys that decide how much memory a step needs, with their values."""
    dataset, model = training.config.dataset, training.config.model
    keys = {"dataset.batch_size": dataset.batch_size, "dataset.sequence_length": dataset.sequence_length}
    keys["model.hidden_size"] = model.hidden_size
    return ", ".join(f"{key} ({value})" for key, value in keys.items())
