"""examples/hundred_lines.py trains what `rnnscope train` trains, to the last bit, in a hundred lines."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from conftest import TINY

from rnnscope.pipeline.run import train

PATH = Path(__file__).parents[1] / "examples" / "hundred_lines.py"


@pytest.fixture
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hundred_lines", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_same_bits(example, story, outputs):
    words = [*TINY, f"text={story}", "schedule=constant", "trainer.state_reset=0", "monitor.sample_length=0"]
    words += ["dataset.batch_size=24", "trainer.max_steps=30"]  # beyond one pass, with a padded window at its end
    run = train(words).load("last")
    text = story.read_text(encoding="utf-8")
    ours = example.train(text, hidden=16, steps=30, columns=24, time=12)
    names = {"embedding.": "embedding.", "cells.0.": "lstm.", "head.": "head."}
    for name, weights in run.model.named_parameters():
        prefix = next(prefix for prefix in names if name.startswith(prefix))
        assert torch.equal(weights, ours.get_parameter(names[prefix] + name.removeprefix(prefix))), name
    assert int(0.9 * len(text)) < 30 * 24 * 12


def test_a_hundred_lines():
    assert len(PATH.read_text(encoding="utf-8").splitlines()) <= 100
