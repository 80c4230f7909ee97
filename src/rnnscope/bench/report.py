"""How fast this machine trains, encodes and samples.

The pipeline is the real one, composed from conf/ with default callbacks. A bare loop of the same model takes turns with it
in one process, so that other work on the machine slows both.
"""

import math
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from rnnscope.bench.interleaved import Turns, train_case
from rnnscope.bench.limit import DTYPES, product_rate
from rnnscope.bench.text import encoding_lines
from rnnscope.config.schema import BenchConfig
from rnnscope.cores import core_count
from rnnscope.errors import check_choice
from rnnscope.model.cells.registry import CELLS
from rnnscope.model.config import ModelConfig
from rnnscope.model.drawing import SamplingOptions
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.precision import PRECISIONS, autocast, resolve_device, resolve_precision
from rnnscope.model.sampling import generate
from rnnscope.model.scoring import sum_of_nats
from rnnscope.runs.environment import cpu_name, gpu_names

SELDOM = ["trainer.val_every=1000", "trainer.checkpoint_every=1000"]
LOOKS = ["monitor.updates_every=500", "monitor.histograms_every=500", "monitor.activations_every=3000"]
ON_GPU = [*SELDOM, *LOOKS]  # on a GPU, a thousand steps take about a second


@dataclass(frozen=True)
class Case:
    """A model and window shape that is trained; embeddings are as wide as the layers, and `more` are further overrides."""

    layers: int
    hidden: int
    batch: int
    window: int
    more: Sequence[str] = ()

    @property
    def overrides(self) -> list[str]:
        """The overrides of the default experiment."""
        return [
            f"model.num_layers={self.layers}",
            f"model.hidden_size={self.hidden}",
            "model.embedding_size=null",
            f"dataset.batch_size={self.batch}",
            f"dataset.sequence_length={self.window}",
            *self.more,
        ]


CASES = {
    "1x512": Case(1, 512, batch=32, window=64),
    "2x128": Case(2, 128, batch=50, window=50, more=SELDOM),  # char-rnn's shape and validation interval
    "2x512": Case(2, 512, batch=64, window=64),
    "3x512": Case(3, 512, batch=100, window=100),
}
YARDSTICK = "1x512"  # experiments state their budgets relative to the bare loop of this case
PRECISION_TURNS = 10  # per precision; the fastest counts, as other work on the machine only slows
SAMPLE_LENGTH = 2000  # tokens of each timed text


def report(config: BenchConfig) -> Iterator[str]:
    """Yield each line once it is measured, and before each part a line that announces it.

    Raises:
        UserError: for an unknown case.
        KeyboardInterrupt: if a signal asked it to stop.
    """
    for case in config.cases:
        check_choice("cases", case, CASES)
    check_choice("precision", config.precision, PRECISIONS)
    device = resolve_device(config.accelerator, "accelerator")
    yield machine()
    for case in config.cases:
        yield f"training {case} and a bare loop in turns, at least {config.seconds:g} s each ..."
        yield from case_lines(case, config)
    yield "both precisions ..."
    yield from precision_lines(device)
    yield "sampling and encoding ..."
    yield from sampling_lines()
    yield from encoding_lines()


def machine() -> str:
    """Return a line on this machine."""
    gpus = f", {', '.join(gpu_names())}" if gpu_names() else ""
    return f"{cpu_name()}, {core_count()} cores{gpus}; torch {torch.__version__}, Python {platform.python_version()}"


def case_lines(case: str, config: BenchConfig) -> Iterator[str]:
    """Train a case and its bare loop in turns, and yield the lines on it."""
    overrides = [*CASES[case].overrides, f"trainer.accelerator={config.accelerator}", f"trainer.precision={config.precision}"]
    device = resolve_device(config.accelerator)
    turns = train_case([*overrides, *(ON_GPU if device.type == "cuda" else [])], config.seconds)
    bare, precision = turns.bare.speed, turns.precision
    if case == YARDSTICK:
        yield f"yardstick       {bare:>12,.0f} tokens/s   bare loop, 1x512 LSTM, batch 32, window 64, {precision}"
    for name, side in ((f"train {case}", turns.watched), ("  + validation", turns.everything)):
        yield f"{name:<15} {side.speed:>12,.0f} tokens/s   {side.speed / bare:.3f} of the bare loop, {precision}"
    yield limit_line(CASES[case], turns, device)
    yield f"{'  activations':<15} {100 * turns.activations:>11.2f} % of the time, for the charts of activations and gates"
    yield f"{'  deterministic':<15} {turns.deterministic:>12.3f} of the speed with trainer.deterministic=false"


def limit_line(case: Case, turns: Turns, device: torch.device) -> str:
    """Return a line on the speed of training in floating-point operations, relative to a matrix product."""
    rows = case.batch * case.window
    rates = {precision: product_rate(rows, case.hidden, precision, device) for precision in DTYPES}
    share = turns.watched.speed * turns.operations / rates[turns.precision]
    product = f"a product ({rows}, {case.hidden}) x ({case.hidden}, {4 * case.hidden})"
    both = ", ".join(f"{rate / 1e9:,.0f} GFLOP/s in {precision}" for precision, rate in rates.items())
    return f"{'  of the limit':<15} {share:>12.2f} of {product}: {both}"


def precision_lines(device: torch.device) -> Iterator[str]:
    """Yield for each cell the speed of its gradients in bf16 relative to float32, and what `auto` chooses."""
    for cell in CELLS.values():
        for hidden, layers, batch, window in ((512, 1, 32, 64), (128, 2, 50, 50)):
            model = LanguageModel.from_config(ModelConfig(cell.name, hidden, layers), 100).to(device)
            ids = torch.randint(100, (window, batch), device=device)
            best = {"float32": math.inf, "bf16": math.inf}
            for turn in range(2 * PRECISION_TURNS):
                precision = ("float32", "bf16")[turn % 2]
                best[precision] = min(best[precision], gradient_seconds(model, ids, precision))
            auto = resolve_precision("auto", device, cell, hidden)
            name = f"bf16 {layers}x{hidden}"
            yield f"{name:<15} {best['float32'] / best['bf16']:>12.2f} of float32   {cell.name}, precision=auto takes {auto}"


def gradient_seconds(model: LanguageModel, ids: torch.Tensor, precision: str) -> float:
    """Return the time of a forward and backward pass over a window."""
    begin = time.perf_counter()
    with autocast(ids.device.type, precision):
        logits, _ = model.read(ids)
    sum_of_nats(logits, ids).backward()
    if ids.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def sampling_lines() -> Iterator[str]:
    """Yield the speed of generating one text, and sixteen at once."""
    for hidden, layers in ((512, 1), (128, 2)):
        model = LanguageModel.from_config(ModelConfig("lstm", hidden, layers), 100).eval()
        for count in (1, 16):
            begin = time.perf_counter()
            list(generate(model, [0], SAMPLE_LENGTH, [1.0] * count, SamplingOptions(), seed=0))
            speed = SAMPLE_LENGTH * count / (time.perf_counter() - begin)
            texts = "1 text" if count == 1 else f"{count} texts at once"
            yield f"sample {layers}x{hidden:<6} {speed:>12,.0f} tokens/s   LSTM, {texts}"
