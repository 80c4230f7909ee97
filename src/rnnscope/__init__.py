"""rnnscope trains small recurrent language models from composed configs and shows how they learn.

The way through, top to bottom:

    data/corpus.py       what text, split into train | val | test
    data/vocabulary.py   characters, bytes or words <-> ids
    data/stream.py       one id array per split, on disk, memory-mapped back
    data/batches.py      windows of inputs and targets whose state can be carried
    model/               embed -> cells -> head; sampling
    training/            loss, update, learning rate: the Lightning module
    monitor/             one Lightning callback per thing a person watches
    runs/                a run on disk: everything needed to resume, sample, compare, reproduce
    commands/            what `rnnscope <command>` does

In Python: `run = rnnscope.load("latest")`, then `run.sample(prompt="def ")` and `run.score("some text")`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnnscope.runs.load import LoadedRun

__version__ = "0.1.0"
__all__ = ["load"]


def load(run: str = "latest", checkpoint: str = "best") -> "LoadedRun":
    """Open a run for sampling and scoring: a folder, a unique prefix of a run's name, or `latest`.

    Needs config.yaml, vocabulary.json and model.safetensors of the run (and checkpoints/ for another checkpoint).
    """
    from rnnscope.runs.load import load as load_run

    return load_run(run, checkpoint)
