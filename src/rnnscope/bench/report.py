"""`rnnscope bench`: how fast this machine trains, encodes and samples, as ratios within one process.

The pipeline is the real one: a config composed from conf/ with its monitors at their defaults, trained by `fit`. A bare
loop of the same model takes turns with it, inside a monitor, while the pipeline stands still: other work on the machine
then slows both.
"""

import os
import platform
import tempfile
import time
from itertools import chain
from typing import Any

CASES = {  # name: overrides of the default experiment; embeddings as wide as the layers
    "1x512": [
        "model.num_layers=1",
        "model.hidden_size=512",
        "model.embedding_size=null",
        "dataset.batch_size=32",
        "dataset.sequence_length=64",
    ],
    "2x128": [  # char-rnn's shape, and its interval between validations
        "model.num_layers=2",
        "model.hidden_size=128",
        "model.embedding_size=null",
        "dataset.batch_size=50",
        "dataset.sequence_length=50",
        "trainer.val_every=1000",
        "trainer.checkpoint_every=1000",
    ],
    "2x512": [
        "model.num_layers=2",
        "model.hidden_size=512",
        "model.embedding_size=null",
        "dataset.batch_size=64",
        "dataset.sequence_length=64",
    ],
    "3x512": [
        "model.num_layers=3",
        "model.hidden_size=512",
        "model.embedding_size=null",
        "dataset.batch_size=100",
        "dataset.sequence_length=100",
    ],
}
SELDOM = [  # on a GPU, where a thousand steps take a second
    "monitor.updates_every=500",
    "monitor.histograms_every=500",
    "trainer.val_every=1000",
    "trainer.checkpoint_every=1000",
]
YARDSTICK = "1x512"  # its bare loop is what experiments state their budgets in
SAMPLE_LENGTH = 2000  # tokens of each text whose sampling is timed


def run(config: dict[str, Any]) -> None:
    """Measure and print, one line each."""
    from rnnscope.errors import UserError

    unknown = [case for case in config["cases"] if case not in CASES]
    if unknown:
        raise UserError(f"cases={unknown[0]} is unknown: choose among {', '.join(CASES)}")
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("RNNSCOPE_OUTPUTS")
        os.environ["RNNSCOPE_OUTPUTS"] = folder
        try:
            measure(config)
        finally:
            os.environ.pop("RNNSCOPE_OUTPUTS")
            if before is not None:
                os.environ["RNNSCOPE_OUTPUTS"] = before


def machine() -> str:
    """Return one line on what is measured here."""
    import torch

    from rnnscope.cores import core_count
    from rnnscope.runs.environment import cpu_name, gpu_names

    gpus = f", {', '.join(gpu_names())}" if gpu_names() else ""
    return f"{cpu_name()}, {core_count()} cores{gpus}; torch {torch.__version__}, Python {platform.python_version()}"


def measure(config: dict[str, Any]) -> None:
    """Run every case, then sampling and encoding, and print a line of each."""
    from rnnscope.bench.interleaved import train_case
    from rnnscope.bench.text import encoding_lines
    from rnnscope.model.precision import resolve_device

    overrides = [f"trainer.accelerator={config['accelerator']}", f"trainer.precision={config['precision']}"]
    gpu = resolve_device(config["accelerator"]).type == "cuda"
    for case in config["cases"]:
        turns = train_case([*CASES[case], *overrides, *(SELDOM if gpu else [])], config["seconds"])
        bare, precision = turns.bare.speed, turns.precision
        if case == YARDSTICK:
            print(f"yardstick       {bare:>12,.0f} tokens/s   bare loop, 1x512 LSTM, batch 32, window 64, {precision}")
        for name, side in (("train", turns.watched), ("  + validation", turns.everything)):
            print(
                f"{name + ' ' + case if name == 'train' else name:<15} {side.speed:>12,.0f} tokens/s"
                f"   {side.speed / bare:.3f} of the bare loop, {precision}"
            )
        print(f"{'  deterministic':<15} {turns.deterministic:>12.3f} of the speed with trainer.deterministic=false")
    for line in chain(sampling_lines(), encoding_lines()):
        print(line, flush=True)


def sampling_lines() -> list[str]:
    """Return how many characters a second one text, and sixteen at once, come at."""
    from rnnscope.model.language_model import LanguageModel
    from rnnscope.model.sampling import Choice, generate

    lines = []
    for hidden, layers in ((512, 1), (128, 2)):
        model = LanguageModel(100, hidden_size=hidden, num_layers=layers).eval()
        for count in (1, 16):
            begin = time.perf_counter()
            list(generate(model, [0], SAMPLE_LENGTH, [1.0] * count, Choice(), seed=0))
            speed = SAMPLE_LENGTH * count / (time.perf_counter() - begin)
            texts = "1 text" if count == 1 else f"{count} texts at once"
            lines.append(f"sample {layers}x{hidden:<6} {speed:>12,.0f} tokens/s   LSTM, {texts}")
    return lines
