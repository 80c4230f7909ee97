"""The bench of training: two loops that take turns, and that end when a signal comes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import TINY

from rnnscope.bench.interleaved import train_case

CODE = "import sys; from rnnscope.bench.interleaved import train_case; train_case(sys.argv[1:], 600)"


def words_of(story: Path) -> list[str]:
    return ["dataset=text_files", f"dataset.corpus.path={story}", *TINY]


def test_both_sides_train_as_long_and_nothing_is_left(story: Path, outputs: Path) -> None:
    turns = train_case(words_of(story), 0.3)
    sides = turns.bare, turns.watched, turns.everything
    assert min(side.tokens for side in sides) > 0
    assert turns.everything.seconds >= 0.3
    assert turns.bare.seconds == pytest.approx(turns.everything.seconds, rel=0.2)
    assert turns.watched.tokens == turns.everything.tokens
    assert turns.watched.seconds < turns.everything.seconds  # which validated
    assert turns.deterministic > 0
    assert 0 <= turns.activations < 1
    assert not outputs.exists()


def test_a_signal_ends_it(story: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", CODE, *words_of(story)], env=environment, stderr=subprocess.DEVNULL)
    begin = time.monotonic()
    while not any(path.stat().st_size > 1000 for path in tmp_path.glob("*/run/metrics.csv")):  # it trains
        assert process.poll() is None
        assert time.monotonic() - begin < 100
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == -signal.SIGINT  # it is heard as a Ctrl-C is
    assert not list(tmp_path.glob("*/run"))
