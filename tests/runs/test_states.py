"""Looking inside a run from Python: each call against another one that computes the same."""

import math

import numpy as np
import pytest
import torch
from conftest import train
from messages import user_error

import rnnscope

TEXT = "The cat, the dog.\nAnd more of them.\n" * 3


@pytest.fixture(scope="module")
def run(trained_run):
    return rnnscope.load(str(trained_run.path))


def test_probabilities_are_those_that_score_sums(run):
    rows, ids = run.probabilities(TEXT), run.ids(TEXT)
    assert rows.shape == (len(TEXT), len(run.vocabulary))
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-5)
    first, _ = run.step(None, run.vocabulary.start)
    nats = -math.log(first[ids[0]]) - np.log(rows[np.arange(len(ids) - 1), ids[1:]]).sum()
    assert nats == pytest.approx(run.score(TEXT).nats, rel=1e-5)


def test_steps_are_the_rows_of_probabilities_and_states(run):
    rows, states = run.probabilities(TEXT[:20]), run.states(TEXT[:20])
    _, state = run.step(None, run.vocabulary.start)
    for time, id in enumerate(run.ids(TEXT[:20])):
        expected, state = run.step(state, int(id))
        np.testing.assert_allclose(rows[time], expected, atol=1e-6)
        for layer, (hidden, cell) in enumerate(state):
            np.testing.assert_allclose(states["hidden"][time, layer], hidden[0, 0], atol=1e-5)
            np.testing.assert_allclose(states["cell"][time, layer], cell[0, 0], atol=1e-5)


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_blocks_are_the_whole_in_pieces(run, block):
    """And the sampling that follows draws what it would have drawn."""
    before = torch.get_rng_state()
    blocks = list(run.state_blocks(TEXT, block))
    assert max(len(some["hidden"]) for some in blocks) <= block
    for name, values in run.states(TEXT).items():
        assert values.shape == (len(TEXT), run.model.num_layers, run.model.sizes[0])
        assert values.dtype == np.float32
        np.testing.assert_allclose(np.concatenate([some[name] for some in blocks]), values, atol=1e-6)
    assert torch.equal(before, torch.get_rng_state())


def test_a_long_text_is_read_as_it_is_asked_for(run):
    """Only blocks that were asked for are computed."""
    blocks = run.state_blocks(TEXT * 20_000, 8)
    assert len(next(blocks)["forget"]) == 7  # START has no row
    assert len(next(blocks)["forget"]) == 8


@pytest.mark.parametrize("between", [["dataset.start_end=line"], ["dataset.start_end=document", "dataset.corpus.lines=true"]])
def test_samples_each_begin_from_zero(outputs, tmp_path, between):
    (tmp_path / "names.txt").write_text("anna\nbob\ncarla\ndora\n" * 60)
    words = [f"dataset.corpus.path={tmp_path / 'names.txt'}", "dataset.windows=samples", *between]
    run = rnnscope.load(str(train("dataset=text_files", "model=gru", *words, "trainer.max_steps=2").run.path))
    together, alone = run.states("anna\nbob\n"), run.states("bob\n")
    start, end = run.vocabulary.start, run.vocabulary.end
    assert run.ids("anna\nbob\n").tolist() == [*run.vocabulary.encode("anna"), end, start, *run.vocabulary.encode("bob")]
    assert set(together) == {"hidden", "reset", "update", "candidate"}
    for name, values in alone.items():
        np.testing.assert_allclose(together[name][-3:], values, atol=1e-6)
    np.testing.assert_allclose(run.probabilities("anna\nbob\n")[-3:], run.probabilities("bob\n"), atol=1e-6)


def test_what_cannot_be_looked_at(run):
    for look in (run.states, run.probabilities, run.ids):
        with user_error("text", "empty"):
            look("")
    with user_error(f"id={len(run.vocabulary)}", "0 to"):
        run.step(None, len(run.vocabulary))
    with user_error("block=0", "at least 1"):
        next(run.state_blocks(TEXT, 0))
