"""The budget of a training in steps, and whether its schedule lasts as long."""

import math

from rnnscope.config.schema import TrainConfig
from rnnscope.format import plural
from rnnscope.training.config import CosineConfig, TrainerConfig


def count_steps(trainer: TrainerConfig, windows_per_epoch: int) -> int | None:
    """Return the optimizer steps that the budgets in steps and epochs allow, or None if only the clock limits them."""
    limits = [trainer.max_steps] if trainer.max_steps is not None else []
    if trainer.max_epochs is not None:
        limits.append(math.ceil(round(trainer.max_epochs * windows_per_epoch, 9)))
    return min(limits) if limits else None


def schedule_line(config: TrainConfig, horizon: int | None, total_steps: int | None, step: int = 0) -> str | None:
    """Return a warning if training ends before the schedule's warm-up or lasts longer than the schedule; None if neither.

    Args:
        horizon: the budget in steps that the schedule was made for.
        step: the step that training continues from.
    """
    if not isinstance(config.schedule, CosineConfig):
        return None
    warmup, lr = config.schedule.warmup_steps, config.optimizer.lr
    if total_steps is not None and total_steps <= warmup:
        return (
            f"schedule     schedule.warmup_steps={warmup} lasts as long as the {plural(total_steps, 'step')} of training:"
            f" the rate only rises, to {lr * total_steps / warmup:.3g} of optimizer.lr={lr:g}"
        )
    end = config.schedule.horizon or horizon
    last = step + 1 if total_steps is None else total_steps
    if end is None or last <= end:
        return None
    rate = lr * config.schedule.final_fraction
    nothing = " and nothing is learned" if rate == 0 else ""
    return (
        f"warning: schedule=cosine ends at step {end}: from there on the rate is {rate:g}{nothing};"
        f" to decay until the end, set schedule.horizon={total_steps or 2 * step}"
    )
