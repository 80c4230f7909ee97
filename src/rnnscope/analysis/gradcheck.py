"""Checking gradients: every parameter against central differences of the loss, in float64."""

import timeit
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnnscope.config.schema import GradcheckConfig
from rnnscope.errors import UserError, check_least
from rnnscope.format import clock, plain, table_lines
from rnnscope.model.language_model import LanguageModel, State, detach
from rnnscope.runs.load import load
from rnnscope.runs.snapshot import build_model

TOLERANCE = 1e-5  # largest relative error of a correct gradient
SMALLEST = 1e-4  # smaller gradients are judged by their absolute error, of which rounding alone causes 1e-10
STEP = 1e-5  # of the differences: near the cube root of float64's precision, where the error is smallest
TIME, BATCH = 6, 3  # of the window


@dataclass(frozen=True)
class Row:
    """The result for one parameter."""

    name: str
    shape: tuple[int, ...]
    error: float

    @property
    def holds(self) -> bool:
        return self.error <= TOLERANCE


@dataclass
class Check:
    """A model with a window of ids (time + 1, batch), and the nonzero state from which it is read."""

    model: LanguageModel
    ids: Tensor
    state: State

    @classmethod
    def of(cls, model: LanguageModel, seed: int) -> "Check":
        """Return the check of a model on random ids; dropout, which is random in each call, is turned off."""
        model = model.double().train()
        model.turn_off_dropout()
        draw = torch.Generator().manual_seed(seed)
        before, ids = torch.randint(model.vocabulary_size, (2, TIME + 1, BATCH), generator=draw)
        with torch.no_grad():
            return cls(model, ids, detach(model.read(before)[1]))

    def loss(self) -> Tensor:
        """Return the mean loss on the window's targets in nats, a float64 scalar."""
        logits, _ = self.model.read(self.ids[:-1], self.state)
        return F.cross_entropy(logits.flatten(0, 1), self.ids[1:].flatten())

    def seconds(self) -> float:
        """Return an estimate of how long `rows` takes: two losses for each value, timed on a few."""
        with torch.no_grad():
            return 2 * self.model.parameter_count() * min(timeit.repeat(self.loss, number=1, repeat=5))

    def rows(self) -> list[Row]:
        """Compare the gradient of each parameter with central differences."""
        named = self.model.trained()
        found = torch.autograd.grad(self.loss(), list(named.values()), allow_unused=True)
        rows = []
        for (name, parameter), gradient in zip(named.items(), found, strict=True):
            gradient = torch.zeros_like(parameter) if gradient is None else gradient
            rows.append(Row(name, tuple(parameter.shape), relative_error(gradient, self.differences(parameter))))
        return rows

    @torch.no_grad()
    def differences(self, parameter: nn.Parameter) -> Tensor:
        """Return (loss(x + h) - loss(x - h)) / 2h for each value x of a parameter, in the parameter's shape."""
        flat, found = parameter.view(-1), torch.empty(parameter.numel(), dtype=parameter.dtype)
        for index, value in enumerate(flat.tolist()):
            flat[index] = value + STEP
            above = self.loss()
            flat[index] = value - STEP
            found[index] = (above - self.loss()) / (2 * STEP)
            flat[index] = value
        return found.view(parameter.shape)


def relative_error(gradient: Tensor, expected: Tensor) -> float:
    """Return the largest |gradient - expected| / |expected|, with a denominator of at least `SMALLEST`."""
    size = torch.maximum(gradient.abs(), expected.abs()).clamp_(min=SMALLEST)
    return float(((gradient - expected).abs() / size).max())


def check_gradients(config: GradcheckConfig) -> list[Row]:
    """Check the model that `config` describes: a new one, or that of a run.

    Raises:
        UserError: if it would take longer than `config.max_minutes`, with the estimated time.
    """
    check_least("vocabulary_size", config.vocabulary_size, 2)
    torch.manual_seed(config.seed)
    model = build_model(config.model, config.vocabulary_size) if config.run is None else load(config.run).model
    check = Check.of(model, config.seed)
    seconds = check.seconds()
    if seconds > 60 * config.max_minutes:
        smaller = "a smaller model.hidden_size, or " if config.run is None else ""
        raise UserError(
            f"{model.parameter_count():,} parameters take {clock(seconds)} to check, more than"
            f" max_minutes={plain(config.max_minutes)}: set {smaller}a larger max_minutes"
        )
    return check.rows()


def table(rows: list[Row]) -> list[str]:
    """Return the rows as lines."""
    cells = [(row.name, " x ".join(map(str, row.shape)), f"{row.error:.1e}", "" if row.holds else "WRONG") for row in rows]
    return table_lines([("parameter", "shape", "largest relative error", ""), *cells])
