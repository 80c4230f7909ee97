"""What clamping a unit costs, against a model in which it is clamped by hand."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rnnscope.analysis.causal import clamped_losses, clamping_effects
from rnnscope.model.config import ModelConfig
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.tracing import trace

IDS = np.random.default_rng(1).integers(5, size=90)


@pytest.fixture(params=["rnn", "gru", "lstm", "peephole_lstm", "mogrifier_lstm", "smaller above", "larger above"])
def model(request) -> LanguageModel:
    torch.manual_seed(1)
    size = {"smaller above": [7, 5], "larger above": [5, 7]}.get(request.param, 6)
    cell = "lstm" if isinstance(size, list) else request.param
    return LanguageModel(ModelConfig(cell=cell, num_layers=2, hidden_size=size, residual=size == 6), 5).eval()


def states_of(model: LanguageModel) -> dict[str, np.ndarray]:
    with torch.no_grad():
        found = trace(model, torch.from_numpy(IDS)[:, None]).stacked()
    return {name: values[:, :, 0].numpy() for name, values in found.items()}


def test_a_clamped_unit_is_at_its_mean_at_every_token(model):
    states = states_of(model)
    found = clamped_losses(model, IDS, states, np.array([2, model.sizes[0] + 4]))
    for column, (layer, unit) in enumerate([(0, 2), (1, 4)]):
        state, losses = None, []
        for token, target in pairwise(IDS):  # by the fused kernels, token by token
            with torch.no_grad():
                hidden, after = model.embed(torch.tensor([[token]])), []
                for index, cell in enumerate(model.cells):
                    _, part = cell(hidden, None if state is None else state[index])
                    if index == layer:
                        for value, name in zip(part if isinstance(part, tuple) else (part,), ("hidden", "cell"), strict=False):
                            value[..., unit] = float(states[name][:, layer, unit].mean())
                    after.append(part)
                    hidden = model.join(index, hidden, part[0] if isinstance(part, tuple) else part)
                state = after
                losses.append(float(F.cross_entropy(model.head(hidden)[0], torch.tensor([target]))))
        with torch.no_grad():
            logits = model(torch.from_numpy(IDS[None, :-1]))[0][0]
        usual = F.cross_entropy(logits, torch.from_numpy(IDS[1:]), reduction="none").numpy()
        assert found[:, column] == pytest.approx(np.array(losses) - usual, abs=1e-5)


def test_effects_are_means_where_a_detector_is_on_and_off(model):
    states, on = states_of(model), (np.arange(90) % 3 == 0).astype(np.float32)
    changes = clamped_losses(model, IDS, states, np.arange(12))
    found = clamping_effects(model, IDS, states, np.arange(12), {"tag": on, "indentation": on, "URL": np.zeros(90)})
    assert found.detectors == ["tag"]
    assert found.overall == pytest.approx(changes.mean(0))
    assert found.on[0] == pytest.approx(changes[on[:-1] == 1].mean(0), abs=1e-6)
    assert found.off[0] == pytest.approx(changes[on[:-1] == 0].mean(0), abs=1e-6)
    scored = IDS[1:] != 3
    found = clamping_effects(model, IDS, states, np.arange(12), {"tag": on}, given=3)
    assert found.tokens == scored.sum() < 89
    assert found.overall == pytest.approx(changes[scored].mean(0))
    assert found.on[0] == pytest.approx(changes[scored & (on[:-1] == 1)].mean(0), abs=1e-6)
