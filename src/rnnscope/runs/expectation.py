"""Claims about a run: a number that a source gives for its settings, and whether the run bears it out.

Standard library only, since the config schema imports it.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rnnscope.errors import UserError, check_least
from rnnscope.format import number

SIGNS = {"at_most": "<=", "at_least": ">=", "near": "="}  # by direction
VERDICTS = HELD, NOT_HELD, NOT_JUDGED = "held", "not held", "not judged"
HARDWARE = ("accelerator", "precision", "threads", "deterministic", "cuda_graph", "strategy", "devices")
SAVING = ("checkpoint_every", "checkpoint_minutes", "keep_every")
OTHERS = ("experiment", "seed", "name", "trainer", "callbacks", "logger", "callback_classes", "plugins", "notify")
FREE = {*OTHERS, *(f"trainer.{key}" for key in (*HARDWARE, *SAVING))}  # keys that no claim depends on


@dataclass
class Expectation:
    """A claim about a run, as under `expect` in conf/train.yaml.

    Args:
        metric: a metric of the run, at `step`, or the newest value if `step` is None.
        direction: `at_most`, `at_least` or `near` the `value`, within the `tolerance`.
        source: who claims it, and where.
        comparable: if False, the claim is not judged; `reason` says what differs from the source.
    """

    metric: str = ""
    value: float = math.nan
    source: str = ""
    direction: str = "near"
    tolerance: float = 0.0
    step: int | None = None
    comparable: bool = True
    reason: str | None = None

    @property
    def measured(self) -> str:
        """What is measured, for messages: `val/loss`, or `val/loss at step 100`."""
        return self.metric if self.step is None else f"{self.metric} at step {self.step:,}"

    def gap(self, ours: float) -> float:
        """Return by how much `ours` misses the claim; 0 or less if it holds."""
        away = {"at_most": ours - self.value, "at_least": self.value - ours, "near": abs(ours - self.value)}[self.direction]
        return away - self.tolerance

    def check(self, known: set[str]) -> None:
        """Check that the claim can be judged; `known` are the metrics of the run.

        Raises:
            UserError: if it cannot, naming the key.
        """
        if self.metric not in known:
            raise UserError(f"expect: metric={self.metric} is not a metric of this run; use one of {', '.join(sorted(known))}")
        if self.direction not in SIGNS:
            raise UserError(f"expect: {self.metric}: direction={self.direction}: use {', '.join(SIGNS)}")
        if not (math.isfinite(self.value) and 0 <= self.tolerance < math.inf):
            raise UserError(f"expect: {self.metric}: value={self.value} and tolerance={self.tolerance} must be finite numbers")
        if not self.source:
            raise UserError(f"expect: {self.metric} has no source: say who claims it, and where")
        if not self.comparable and not self.reason:
            raise UserError(f"expect: {self.metric}: comparable=false needs a reason: say what differs from the source")
        check_least(f"expect: {self.metric}: step", self.step, 1, "null for the newest")


@dataclass(frozen=True)
class Claim:
    """An expectation with the run's own number, or None if it has none; `why` says why nothing was judged."""

    expectation: Expectation
    ours: float | None
    verdict: str
    why: str | None = None

    @classmethod
    def judge(cls, expectation: Expectation, ours: float | None, why: str | None = None) -> "Claim":
        """Return the verdict on `ours`; the claim is not judged if there is a reason `why` not to."""
        why = why or (None if expectation.comparable else expectation.reason)
        if why is None and (ours is None or not math.isfinite(ours)):
            why = f"the run has no {expectation.measured}"
        if why is not None or ours is None:
            return cls(expectation, ours, NOT_JUDGED, why)
        return cls(expectation, ours, HELD if expectation.gap(ours) <= 0 else NOT_HELD)

    def line(self) -> str:
        """Return the claim in one line: `claim held: best/loss 1.3871 <= 1.3939 (char-rnn, pull request 151)`."""
        wanted = self.expectation
        ours = "nothing" if self.ours is None else number(self.ours)
        source = f"({wanted.source})"
        if self.verdict == NOT_JUDGED:
            beside = f"{wanted.measured} {ours} beside {number(wanted.value)} {source}"
            return f"claim not judged: {beside}: {self.why}"
        assert self.ours is not None
        if self.verdict == HELD:
            sign = f"within {number(wanted.tolerance)} of" if wanted.tolerance and wanted.direction == "near" else None
            return f"claim held: {wanted.measured} {ours} {sign or SIGNS[wanted.direction]} {number(wanted.value)} {source}"
        off = f"{number(abs(self.ours - wanted.value))} {'above' if self.ours > wanted.value else 'below'}"
        return f"claim not held: {wanted.measured} {ours}, {off} {number(wanted.value)} {source}"

    def as_record(self) -> dict[str, Any]:
        """Return the claim as plain values for run.json."""
        return {**asdict(self.expectation), "ours": self.ours, "verdict": self.verdict, "why": self.why}


def deciding(keys: Iterable[str]) -> list[str]:
    """Return those of the changed keys for which an experiment's claims no longer hold.

    Seed, hardware and monitoring do not count. If `expect` was changed, too, no key does: the claims are then the user's own.
    """
    found = {key for key in keys if key not in FREE and not key.startswith(("monitor.", "hydra"))}
    return [] if "expect" in keys else sorted(found)
