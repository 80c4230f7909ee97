"""How far a model remembers, on networks whose memory is known because they were built by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from rnnscope.analysis.memory import COLUMNS, LAGS, gradient_by_lag, horizon, loss_by_context, refine, time_constants
from rnnscope.model.config import ModelConfig
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.tracing import gradient_through_time, trace

V = 3


def copying(lag: int) -> LanguageModel:
    """Return a simple recurrence that is a shift register: it expects the token of `lag` tokens before the next one."""
    model = LanguageModel(ModelConfig(cell="rnn", input="one_hot", num_layers=1, hidden_size=lag * V), V)
    state = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    layer = "cells.0."
    state[f"{layer}weight_ih_l0"][:V] = 20 * torch.eye(V)
    state[f"{layer}bias_ih_l0"][:V] = -10
    state[f"{layer}weight_hh_l0"][V:, :-V] = 10 * torch.eye((lag - 1) * V)  # tanh(+-10) is +-1: nothing fades
    state["head.weight"][:, -V:] = 2 * torch.eye(V)
    model.load_state_dict(state)
    return model.eval()


@pytest.mark.parametrize("lag", [5, 23])
def test_the_horizon_of_copying_is_its_lag(lag):
    draw = np.random.default_rng(2)
    ids = draw.integers(V, size=420)
    for at in range(lag, len(ids)):
        if draw.random() < 0.8:  # else the text would repeat, and any of its periods would do
            ids[at] = ids[at - lag]
    found = loss_by_context(copying(lag), ids)
    assert found is not None
    assert found.horizon == pytest.approx(lag, rel=0.1)
    assert found.longest == 128
    below, above = (max(k for k in found.shuffled if k < lag), min(k for k in found.shuffled if k >= lag))
    for losses in (found.truncated, found.shuffled, found.replaced):
        assert losses[below] > losses[above] + 0.3
        assert losses[above] == pytest.approx(found.truncated[128])


def test_the_token_that_is_given_is_no_target():
    ids = np.where(np.arange(500) % 2, 2, np.random.default_rng(3).integers(2, size=500))
    losses = [found.truncated[128] for given in (None, 2) if (found := loss_by_context(copying(2), ids, given))]
    assert losses[1] == pytest.approx(losses[0] * 2, rel=0.3)  # half of the targets were 2, which it knows


def test_a_text_too_short_for_contexts():
    assert loss_by_context(copying(5), np.zeros(40, dtype=np.int64)) is None


def test_the_horizon_is_where_all_longer_contexts_gain_no_more():
    assert horizon({1: 3.0, 2: 2.0, 4: 1.0, 8: 1.5, 16: 1.0}, gain=2.0) == 16
    assert horizon({1: 3.0, 2: 1.08, 4: 1.0}, gain=2.0) == 2
    assert horizon({1: 1.0, 2: 1.0}, gain=0.0) == 1
    found = refine({1: 3.0, 64: 3.0, 128: 1.0}, 2.0, lambda k: 1.0 if k >= 90 else 3.0)
    assert 90 <= horizon(found, 2.0) <= 94


def test_the_time_constant_of_a_constant_forget_gate():
    model = LanguageModel(ModelConfig(cell="lstm", input="one_hot", num_layers=1, hidden_size=4), V)
    shares = torch.tensor([0.5, 0.9, 0.99, 0.999])
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    dict(model.cells[0].named_parameters())["bias_ih_l0"].data[4:8] = torch.logit(shares)
    gates = trace(model, torch.zeros(50, 1, dtype=torch.long)).stacked()
    found = time_constants(gates["forget"][:, :, 0].detach().numpy())
    assert found[0] == pytest.approx(-1 / np.log(shares.numpy()), rel=1e-3)


def test_gradients_fade_as_the_recurrence_does():
    model = LanguageModel(ModelConfig(cell="rnn", input="one_hot", num_layers=1, hidden_size=2), V)
    torch.nn.init.zeros_(model.cells[0].weight_ih_l0)
    for name, value in model.cells[0].named_parameters():
        value.data.zero_()
        if name == "weight_hh_l0":
            value.data.copy_(0.5 * torch.eye(2))
    norms = gradient_by_lag(model, np.arange(60) % V)
    assert len(norms) == 59
    assert norms[1:20] / norms[:19] == pytest.approx(0.5, rel=1e-4)


def test_the_gradient_is_that_of_one_stretch_whatever_their_number():
    torch.manual_seed(1)
    model, ids = (
        LanguageModel(ModelConfig(cell="gru", num_layers=2, hidden_size=5), V),
        np.random.default_rng(1).integers(V, size=500),
    )
    starts = np.linspace(0, 500 - 1 - LAGS, COLUMNS).astype(int)
    windows = [torch.from_numpy(ids[start : start + LAGS + 1, None]) for start in starts]
    alone = [gradient_through_time(model, window[:-1], window[1:]).numpy() for window in windows]
    assert gradient_by_lag(model, ids) == pytest.approx(np.sqrt(np.mean(np.square(alone), axis=0)), rel=1e-4)
