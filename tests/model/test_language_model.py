"""The model against finite differences, a plain loop of its own equations, and the loss an untrained model must have."""

import math
from itertools import pairwise

import pytest
import torch
from messages import user_error
from torch import Tensor

from rnnscope.model.config import ModelConfig
from rnnscope.model.language_model import LanguageModel, detach
from rnnscope.model.scoring import IGNORE, sum_of_nats

CELLS = ("rnn", "lstm", "gru", "peephole_lstm", "mogrifier_lstm")
VARIANTS = [
    {},
    {"input": "one_hot"},
    {"tied_weights": True},
    {"bias": False},
    {"num_layers": 2, "embedding_size": 3},
    {"num_layers": 3, "residual": True},
    {"forget_bias": 1.0, "init": "xavier"},
    {"init": "uniform"},
    {"init": "normal", "init_scale": 0.05},
]


def make(cell: str, vocabulary_size: int = 7, hidden_size: int = 5, **options) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel.from_config(ModelConfig(cell, hidden_size, **options), vocabulary_size)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", VARIANTS[:5])
def test_gradients_match_finite_differences(cell, options):
    model = make(cell, **options).double()
    tokens = torch.randint(0, 7, (2, 4))
    targets = torch.randint(0, 7, (2, 4))
    targets[1, 3] = IGNORE

    def loss() -> Tensor:
        return sum_of_nats_double(model(tokens)[0], targets)

    loss().backward()
    for name, parameter in model.named_parameters():
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        for index in range(0, flat.numel(), max(1, flat.numel() // 5)):
            kept = flat[index].item()
            flat[index] = kept + 1e-5
            above = loss().item()
            flat[index] = kept - 1e-5
            below = loss().item()
            flat[index] = kept
            assert gradient[index].item() == pytest.approx((above - below) / 2e-5, rel=1e-5, abs=1e-7), name


def sum_of_nats_double(logits: Tensor, targets: Tensor) -> Tensor:
    """The loss by its definition, in the precision of the logits: the float32 of training would hide a wrong gradient."""
    chosen = logits.log_softmax(-1).gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return -(chosen * (targets != IGNORE)).sum()


def test_the_loss_is_the_definition():
    logits = torch.randn(3, 5, 7).transpose(0, 1).contiguous().transpose(0, 1)
    targets = torch.randint(0, 7, (3, 5))
    targets[0, 4] = targets[2, 3] = IGNORE
    assert sum_of_nats(logits, targets).item() == pytest.approx(sum_of_nats_double(logits, targets).item(), rel=1e-6)


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("cell", CELLS)
def test_an_untrained_model_loses_ln_of_the_vocabulary_size(cell, options):
    options = {"embedding_size": 256} | options if "embedding_size" in options else options
    model = make(cell, vocabulary_size=68, hidden_size=256, **options).eval()
    tokens = torch.randint(0, 68, (8, 65))
    loss = sum_of_nats(model(tokens[:, :-1])[0], tokens[:, 1:]).item() / (8 * 64)
    assert loss == pytest.approx(math.log(68), rel=0.02)


def plain_step(cell: str, layer, x: Tensor, state):
    """One step of each recurrence, written out as its equations; x (batch, features)."""
    if cell == "peephole_lstm":
        return plain_peephole_step(layer, x, *state)
    if cell == "mogrifier_lstm":
        return plain_mogrifier_step(layer, x, *state)
    w, r, b, c = (getattr(layer, f"{name}_l0") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    if cell == "rnn":
        return torch.tanh(x @ w.T + b + state @ r.T + c)
    if cell == "lstm":
        h, memory = state
        i, f, g, o = (x @ w.T + b + h @ r.T + c).chunk(4, -1)
        memory = f.sigmoid() * memory + i.sigmoid() * g.tanh()
        return o.sigmoid() * memory.tanh(), memory
    (xr, xz, xn), (hr, hz, hn) = (x @ w.T + b).chunk(3, -1), (state @ r.T + c).chunk(3, -1)
    reset, update = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return (1 - update) * (xn + reset * hn).tanh() + update * state


def plain_peephole_step(layer, x: Tensor, h: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    *r, peepholes = layer.weight_hh_l0.split([5, 5, 5, 5, 3])
    i, f, g, o = (
        (x @ w.T + h @ u.T + b) for w, u, b in zip(layer.weight_ih_l0.chunk(4), r, layer.bias_ih_l0.chunk(4), strict=True)
    )
    i, f = (i + memory * peepholes[0]).sigmoid(), (f + memory * peepholes[1]).sigmoid()
    memory = f * memory + i * g.tanh()
    return (o + memory * peepholes[2]).sigmoid() * memory.tanh(), memory


def plain_mogrifier_step(layer, x: Tensor, h: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    q1, r2, q3, r4, q5 = (matrix for (matrix,) in (part.parameters() for part in layer.rounds))
    x = 2 * (h @ q1.T).sigmoid() * x
    h = 2 * (x @ r2.T).sigmoid() * h
    x = 2 * (h @ q3.T).sigmoid() * x
    h = 2 * (x @ r4.T).sigmoid() * h
    x = 2 * (h @ q5.T).sigmoid() * x
    i, f, g, o = (x @ layer.weight_ih_l0.T + h @ layer.weight_hh_l0.T + layer.bias_ih_l0).chunk(4, -1)
    memory = f.sigmoid() * memory + i.sigmoid() * g.tanh()
    return o.sigmoid() * memory.tanh(), memory


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_the_layers_are_the_equations(cell, residual):
    model = make(cell, num_layers=2, residual=residual).eval()
    tokens = torch.randint(0, 7, (3, 6))
    zero = torch.zeros(3, 5)
    states = [(zero, zero) if "lstm" in cell else zero for _ in range(2)]
    logits = []
    for time in range(6):
        x = model.embedding.weight[tokens[:, time]]
        for index, layer in enumerate(model.cells):
            states[index] = plain_step(cell, layer, x, states[index])
            written = states[index][0] if "lstm" in cell else states[index]
            x = x + written if residual and index == 1 else written
        logits.append(x @ model.head.weight.T + model.head.bias)
    torch.testing.assert_close(model(tokens)[0], torch.stack(logits, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_a_carried_state_equals_one_long_sequence(cell):
    model = make(cell, num_layers=2).eval()
    tokens = torch.randint(0, 7, (2, 12))
    whole, after = model(tokens)
    parts, state = [], None
    for piece in tokens.split([5, 1, 6], dim=1):
        logits, state = model(piece, state)
        state = detach(state)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    torch.testing.assert_close(state, after)


def test_the_forget_bias_is_added_once():
    plain, biased = make("lstm"), make("lstm", forget_bias=1.0)
    added = [getattr(biased.cells[0], name) - getattr(plain.cells[0], name) for name in ("bias_ih_l0", "bias_hh_l0")]
    assert torch.allclose(added[0] + added[1], torch.tensor([0.0, 1, 0, 0]).repeat_interleave(5))


def test_parameters_are_counted_by_hand():
    assert make("lstm", 7, 5).parameter_count() == 7 * 5 + 4 * (5 * 5 + 5 * 5 + 5 + 5) + 7 * 5 + 7
    assert make("gru", 7, 5, tied_weights=True).parameter_count() == 7 * 5 + 3 * (5 * 5 + 5 * 5 + 5 + 5) + 7
    assert make("rnn", 7, 5, input="one_hot", bias=False).parameter_count() == (7 * 5 + 5 * 5) + 7 * 5


def test_inits_have_the_spread_they_promise():
    weights = {
        init: make("lstm", 30, 200, init=init, init_scale=0.05).cells[0].weight_hh_l0
        for init in ("uniform", "normal", "xavier")
    }
    assert weights["uniform"].abs().max().item() == pytest.approx(0.05, rel=0.01)
    assert weights["normal"].std().item() == pytest.approx(0.05, rel=0.02)
    assert weights["xavier"].abs().max().item() == pytest.approx(math.sqrt(6 / 400), rel=0.01)  # each gate on its own


def test_fan_in_is_one_over_the_root_of_the_inputs():
    """WildML's: of V words for the matrix that a word chooses a row of, of the units for the others."""
    made = [make("rnn", 900, 200, init="fan_in", input=kind, bias=False) for kind in ("one_hot", "embedding")]
    read = [made[0].cells[0].weight_ih_l0, made[1].embedding.weight]
    for inputs, weight in [(900, read[0]), (900, read[1]), (200, made[0].cells[0].weight_hh_l0), (200, made[0].head.weight)]:
        assert weight.abs().max().item() == pytest.approx(inputs**-0.5, rel=0.01)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"cell": "lstn"}, ["model.cell", "lstn", "rnn", "lstm", "gru"]),
        ({"hidden_size": 0}, ["model.hidden_size", 0, 1]),
        ({"cell": "mogrifier_lstm", "rank": 0}, ["model.rank", 0, 1]),
        ({"cell": "mogrifier_lstm", "rounds": 10**20}, ["model.rounds", 10**20, 100]),
        ({"dropout": 1.0}, ["model.dropout", 1.0, "[0, 1)"]),
        (
            {"tied_weights": True, "embedding_size": 4},
            ["model.embedding_size", 4, "model.hidden_size", 5, "model.embedding_size=null"],
        ),
        ({"tied_weights": True, "input": "one_hot"}, ["model.tied_weights", "model.input=embedding"]),
        ({"init": "normal", "init_scale": 0.0}, ["model.init_scale", 0.0, 0]),
    ],
)
def test_models_that_cannot_be_built_name_the_key(options, parts):
    with user_error(*parts):
        LanguageModel.from_config(ModelConfig(**{"cell": "lstm", "hidden_size": 5} | options), 7)


def test_layers_read_the_layer_below():
    model = make("gru", num_layers=3, embedding_size=4)
    sizes = [4] + [layer.hidden_size for layer in model.cells]
    assert [layer.input_size for layer in model.cells] == [below for below, _ in pairwise(sizes)]
