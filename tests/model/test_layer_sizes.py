"""Layers of different sizes: one long loop of their equations, and everything that reads a run copes with them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import train
from messages import user_error

from rnnscope.analysis.gradcheck import Check
from rnnscope.analysis.reading import Reading, find_unit
from rnnscope.cli import main
from rnnscope.config.compose import compose_train
from rnnscope.model.cells.registry import CELLS
from rnnscope.model.config import ModelConfig
from rnnscope.model.language_model import LanguageModel, parts
from rnnscope.model.stepping import Stepper
from rnnscope.model.tracing import gradient_through_time, trace
from rnnscope.pipeline.resume import resume_run
from rnnscope.runs.load import load

SIZES = [4, 6, 3]
IDS = torch.randint(0, 7, (5, 2), generator=torch.Generator().manual_seed(1))  # (time, batch)


def make(cell: str = "lstm", hidden_size: object = SIZES, **options) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel.from_config(ModelConfig(cell, **{"hidden_size": hidden_size, "num_layers": 3} | options), 7)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", [{"tied_weights": True}, {"embedding_size": 5, "bias": False}, {"input": "one_hot"}])
def test_gradients_are_those_of_the_loss(cell, options):
    assert all(row.holds for row in Check.of(make(cell, **options), 1).rows())


@pytest.mark.parametrize("cell", CELLS)
def test_steps_and_traces_are_the_window(cell):
    model = make(cell).eval()
    with torch.no_grad():
        logits, after = model.read(IDS)
        stepper = Stepper(model, None, 2)
        torch.testing.assert_close(torch.stack([stepper.step(ids) for ids in IDS]), logits)
        found = trace(model, IDS)
    torch.testing.assert_close(model.head(found.output), logits)
    assert [part.shape for part in parts(after)] == [(1, 2, size) for size in SIZES for _ in range(model.cell.state_parts)]
    hidden = found.stacked()["hidden"]  # (time, layer, batch, units)
    assert [int((~layer[0, 0].isnan()).sum()) for layer in hidden.unbind(1)] == SIZES
    assert gradient_through_time(model, IDS, IDS).shape == (5,)


def test_parameters_by_hand():
    """As AWD-LSTM: the last layer is as large as the embedding, whose matrix the head shares."""
    lstm = sum(4 * size * (below + size + 2) for below, size in [(3, 4), (4, 6), (6, 3)])
    assert make(tied_weights=True).parameter_count() == 7 * 3 + lstm + 7


def test_a_list_of_equal_sizes_is_the_same_model():
    for one, other in zip(make(hidden_size=[5, 5, 5]).parameters(), make(hidden_size=5).parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("size", "parts"),
    [
        ([4, 6], ["model.hidden_size", "[4, 6]", 2, "model.num_layers=2"]),
        ([4, 0, 6], ["model.hidden_size", "[4, 0, 6]", 1]),
        ([4, "a", 6], ["model.hidden_size", "whole number", "[256,128]"]),
        ([], ["model.hidden_size", "whole number"]),
        ([4, 1.5, 6], ["model.hidden_size", 1.5, "whole number"]),
    ],
)
def test_what_is_no_size_is_refused(size, parts):
    with user_error(*parts):
        make(hidden_size=size)


def test_what_needs_equal_sizes_is_refused():
    with user_error("model.residual", "model.hidden_size", SIZES):
        make(residual=True)
    with user_error("model.embedding_size", 4, "model.hidden_size", 3):
        make(tied_weights=True, embedding_size=4)


def test_the_command_line_takes_a_list_and_numbers_of_any_spelling():
    words = ["model.num_layers=2", "model.hidden_size=[16,8]"]
    assert compose_train(words).model.hidden_size == [16, 8]
    assert compose_train(["model.hidden_size=1e2"]).model.hidden_size == 100
    with user_error("model.hidden_size", 10**20, 65536):
        compose_train(["model.num_layers=2", f"model.hidden_size=[8,{10**20}]"])


def test_units_are_named_by_layer():
    assert [find_unit(name, SIZES) for name in ("0:3", "1:0", "2:2")] == [3, 4, 12]
    with user_error("unit=2:3", "2:2"):
        find_unit("2:3", SIZES)


@pytest.fixture(scope="module")
def run(story: Path, tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNSCOPE_OUTPUTS", str(tmp_path_factory.mktemp("outputs")))
        words = ["model.num_layers=3", "model.hidden_size=[8,12,4]", "model.embedding_size=null", "model.tied_weights=true"]
        run = train("dataset=text_files", f"dataset.corpus.path={story}", *words).run
        assert resume_run(run, {"trainer.max_steps": 34}).step == 34
        yield run


def test_states_of_a_run_are_padded(run):
    states = load(str(run.path)).states("a text of many words")["cell"]
    assert (~np.isnan(states[0])).sum(1).tolist() == [8, 12, 4]
    reading = Reading(load(str(run.path)), "a text of many words")
    assert reading.signal.shape == (20, 24)
    assert reading.signal[:, 8].tolist() == np.tanh(states[:, 1, 0]).tolist()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "ngram=null"], ["nats"]),
        (["sample", "length=20", "seed=1"], [""]),
        (["visualize", "unit=1:10", "output=inside.html"], ["inside.html", "interpretable"]),
        (["export", "format=card", "output=card"], ["card"]),
        (["gradcheck", "max_minutes=30"], ["cells.2.weight_hh_l0"]),
    ],
    ids=lambda words: words[0],
)
def test_commands_take_the_run(run, words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([words[0], f"run={run.path}", *words[1:]]) == 0
    found = capsys.readouterr().out
    assert all(part in found for part in said)
    if words[0] == "export":
        assert "8-12-4 lstm" in (tmp_path / "card" / "README.md").read_text(encoding="utf-8")


def test_the_table_shows_the_sizes(run, capsys):
    assert main(["compare", f"folder={run.path.parents[1]}", "columns=model.hidden_size", "json=true"]) == 0
    assert "[8, 12, 4]" in json.dumps(json.loads(capsys.readouterr().out))
