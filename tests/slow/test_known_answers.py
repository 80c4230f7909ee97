"""What looking inside finds in networks trained on texts whose answer is known."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import train

from rnnscope.analysis.causal import clamping_effects
from rnnscope.analysis.inside import interpretable
from rnnscope.analysis.memory import loss_by_context
from rnnscope.analysis.reading import Reading, untrained_twin
from rnnscope.runs.load import load

QUOTED, PLAIN = "abbb", "aaab"  # the same letters, in different shares
KEYS = ["model.num_layers=1", "model.hidden_size=32", "dataset.batch_size=16", "optimizer.lr=0.01", "trainer.val_every=500"]


def quoting(draw: random.Random, stretches: int) -> str:
    """Return a text of letters whose shares depend on whether they stand inside quotes."""
    pieces = []
    for _ in range(stretches):
        pieces += ["".join(draw.choices(PLAIN, k=draw.randint(4, 12))), '"', *draw.choices(QUOTED, k=draw.randint(4, 12)), '"']
    return "".join(pieces)


@pytest.fixture
def trained(outputs: Path, tmp_path: Path) -> Any:
    """Return a function that trains on a text and opens the run."""

    def run(text: str, *keys: str) -> Any:
        path = tmp_path / "text.txt"
        path.write_text(text)
        return load(str(train("dataset=text_files", f"dataset.corpus.path={path}", *KEYS, *keys).run.path))

    return run


def test_a_unit_knows_whether_it_is_inside_quotes_and_is_needed_there(trained):
    draw = random.Random(1)
    run = trained(quoting(draw, 3000), "dataset.sequence_length=32", "trainer.max_steps=600")
    reading = Reading(run, quoting(draw, 150))
    ranking = reading.ranking
    place = ranking.detectors.index("inside quotes")
    assert ranking.best_scores[place] > 0.95
    effects = clamping_effects(run.model, reading.ids, reading.states, ranking.order(), reading.detectors)
    row = effects.detectors.index("inside quotes")
    knowing = np.flatnonzero(ranking.scores[place][effects.units] > 0.95)
    assert effects.on[row, knowing].max() > 0.01
    untrained = untrained_twin(run)
    twin = Reading(untrained, reading.text).ranking
    assert interpretable(ranking, twin).units > 0


def test_an_untrained_network_has_no_interpretable_units(trained, shared_data):
    text = (shared_data / "war_and_peace.txt").read_text(encoding="utf-8")[20_000:25_000]
    run = trained(text * 2, "dataset.sequence_length=32", "trainer.max_steps=1", "model.hidden_size=256")
    twin = Reading(untrained_twin(run), text).ranking
    untrained = Reading(run, text).ranking
    assert interpretable(untrained, twin).units <= 0.01 * 256


def test_the_horizon_of_copying_learnt_is_its_lag(trained):
    draw, lag = random.Random(2), 5
    marks = draw.choices("ab", k=60_000)
    for at in range(lag, len(marks)):
        if draw.random() < 0.95:
            marks[at] = marks[at - lag]
    keys = ["dataset.sequence_length=40", "trainer.max_steps=1500", "model.hidden_size=64", "optimizer.weight_decay=0"]
    run = trained("".join(marks), *keys)
    found = loss_by_context(run.model, run.ids("".join(marks[-3000:])).astype(np.int64))
    assert found is not None
    assert found.truncated[128] < 0.2  # ln 2 is 0.69
    assert found.horizon == pytest.approx(lag, rel=0.1)
