"""Learning rate schedules. A schedule only returns a number, so a new rate leaves the moments of the optimizer as they are.

Steps are optimizer steps, counted from 0: `rate(step, epoch)` is the rate of update number `step`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rnnscope.errors import UserError, unknown_part, unknown_value
from rnnscope.training.config import (
    ConstantConfig,
    CosineConfig,
    ExponentialConfig,
    PlateauConfig,
    ScheduleConfig,
    StepMapConfig,
)


@dataclass
class Constant:
    """The same rate throughout."""

    lr: float

    def rate(self, step: int, epoch: int) -> float:
        return self.lr


@dataclass
class Cosine:
    """Linear warm-up, then half a cosine to `final_fraction` of the rate at `horizon` (Loshchilov & Hutter 2016)."""

    lr: float
    horizon: int
    warmup_steps: int = 0
    final_fraction: float = 0.0

    def rate(self, step: int, epoch: int) -> float:
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        share = min(1.0, (step - self.warmup_steps) / max(1, self.horizon - self.warmup_steps))
        return self.lr * (self.final_fraction + (1 - self.final_fraction) * 0.5 * (1 + math.cos(math.pi * share)))


@dataclass
class StepMap:
    """The rate at the largest key that the step has reached."""

    rates: dict[int, float]

    def rate(self, step: int, epoch: int) -> float:
        return self.rates[max(start for start in self.rates if start <= step)]


@dataclass
class Exponential:
    """The rate times `factor` for each epoch begun after the first `after_epochs`; epochs are counted from 0."""

    lr: float
    factor: float
    after_epochs: int = 0

    def rate(self, step: int, epoch: int) -> float:
        return self.lr * self.factor ** max(0, epoch + 1 - max(1, self.after_epochs))


@dataclass
class Plateau:
    """The rate times `factor` whenever the watched loss has not improved in more than `patience` validations."""

    lr: float
    watch: str = "val/loss"
    factor: float = 0.5
    patience: int = 0
    best: float = field(default=math.inf, init=False)
    bad_looks: int = field(default=0, init=False)
    reductions: int = field(default=0, init=False)

    def rate(self, step: int, epoch: int) -> float:
        return self.lr * self.factor**self.reductions

    def observe(self, losses: dict[str, float]) -> None:
        """Take note of the losses at a validation; `train/loss` is the mean since the previous one."""
        loss = losses[self.watch]
        if loss < self.best:
            self.best, self.bad_looks = loss, 0
            return
        self.bad_looks += 1
        if self.bad_looks > self.patience:
            self.reductions, self.bad_looks = self.reductions + 1, 0

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "bad_looks": self.bad_looks, "reductions": self.reductions}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.bad_looks, self.reductions = state["best"], state["bad_looks"], state["reductions"]


Schedule = Constant | Cosine | StepMap | Exponential | Plateau


def make_schedule(name: str, lr: float, total_steps: int | None, **options: Any) -> Schedule:
    """Return the schedule `name`; `total_steps` is the training budget, None if only the clock limits it.

    Raises:
        UserError: for an unknown name or a wrong value, naming the key.
    """
    if name not in SCHEDULES:
        raise UserError(unknown_part("schedule.name", name, SCHEDULES))
    for key in ("factor", "patience", "after_epochs"):
        if options.get(key, 0) < 0:
            raise UserError(f"schedule.{key}={options[key]} must not be negative")
    return SCHEDULES[name].make(lr, total_steps, **options)


def _make_cosine(lr: float, total_steps: int | None, horizon: int | None = None, **options: Any) -> Cosine:
    end = horizon or total_steps
    if end is None:
        raise UserError(
            "schedule=cosine needs an end: set trainer.max_steps, trainer.max_epochs or schedule.horizon"
            " (trainer.max_minutes alone is not enough), or use schedule=constant"
        )
    for key, least in {"horizon": 1, "warmup_steps": 0, "final_fraction": 0}.items():
        value = options.get(key, end)
        if value < least:
            raise UserError(f"schedule.{key}={value} must be at least {least}")
    return Cosine(lr, end, **options)


def _make_step_map(lr: float, total_steps: int | None, rates: dict[int, float] | None = None) -> StepMap:
    if not rates or 0 not in rates:
        raise UserError(f"schedule.rates={rates} has no rate for step 0; start with {{0: ...}}")
    for step, rate in rates.items():
        if step < 0 or not rate > 0:
            raise UserError(f"schedule.rates has {step}: {rate}; steps must not be negative and rates must be above 0")
    return StepMap(rates)


def _make_plateau(lr: float, total_steps: int | None, **options: Any) -> Plateau:
    if options.get("watch", "val/loss") not in ("val/loss", "train/loss"):
        raise UserError(unknown_value("schedule.watch", options["watch"], ("val/loss", "train/loss")))
    return Plateau(lr, **options)


@dataclass(frozen=True)
class ScheduleKind:
    """A schedule: the dataclass of its keys, and the function that makes it from `lr`, the budget in steps and these keys."""

    config: type[ScheduleConfig]
    make: Callable[..., Schedule]


SCHEDULES = {  # name in the config -> kind
    "constant": ScheduleKind(ConstantConfig, lambda lr, total_steps: Constant(lr)),
    "cosine": ScheduleKind(CosineConfig, _make_cosine),
    "step_map": ScheduleKind(StepMapConfig, _make_step_map),
    "exponential": ScheduleKind(ExponentialConfig, lambda lr, total_steps, **options: Exponential(lr, **options)),
    "plateau": ScheduleKind(PlateauConfig, _make_plateau),
}
