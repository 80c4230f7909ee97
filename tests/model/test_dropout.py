"""What training drops: how often, how scaled, the same for all time steps where it should be, and nothing outside training."""

import pytest
import torch
from torch import Tensor

from rnnscope.model.cells.registry import CELLS
from rnnscope.model.config import ModelConfig
from rnnscope.model.dropout import SHARES, drop, drop_locked, drop_tokens, drop_weights
from rnnscope.model.language_model import LanguageModel, detach
from rnnscope.model.stepping import Stepper

TOKENS = torch.randint(0, 7, (6, 3), generator=torch.Generator().manual_seed(1))  # (time, batch)


def make(cell: str = "lstm", **options) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel.from_config(ModelConfig(cell, **{"hidden_size": 5, "num_layers": 2} | options), 7)


@pytest.mark.parametrize("key", SHARES)
def test_nothing_is_dropped_outside_training(key):
    model, plain = make(**{key: 0.5}), make()
    assert not torch.equal(model.read(TOKENS)[0], model.read(TOKENS)[0])
    assert torch.equal(model.eval().read(TOKENS)[0], plain.eval().read(TOKENS)[0])
    model.train().turn_off_dropout()
    assert torch.equal(model.read(TOKENS)[0], plain.read(TOKENS)[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_keeps_the_mean_and_draws_each_element_alone(dtype):
    torch.manual_seed(0)
    hidden = torch.ones(101, 7, 333, dtype=dtype, requires_grad=True)
    dropped = drop(hidden, 0.3)
    zero = (dropped == 0).float()
    assert zero.mean().item() == pytest.approx(0.3, abs=0.005)
    assert dropped[dropped != 0].float().unique().tolist() == [pytest.approx(1 / 0.7, rel=0.01)]
    for axis in range(3):  # neighbours fall together no more often than chance
        both = zero.narrow(axis, 1, zero.shape[axis] - 1) * zero.narrow(axis, 0, zero.shape[axis] - 1)
        assert both.mean().item() == pytest.approx(0.09, abs=0.005)
    dropped.sum().backward()
    assert torch.equal(hidden.grad, dropped.detach())


def test_a_locked_mask_is_the_same_at_all_time_steps():
    torch.manual_seed(0)
    dropped = drop_locked(torch.ones(5, 40, 500), 0.3)
    assert torch.equal(dropped, dropped[:1].expand_as(dropped))
    zero = (dropped[0] == 0).float()
    assert zero.mean().item() == pytest.approx(0.3, abs=0.01)
    assert dropped[dropped != 0].unique().item() == pytest.approx(1 / 0.7, rel=1e-4)
    assert (zero[1:] * zero[:-1]).mean().item() == pytest.approx(0.09, abs=0.01)  # each column has a mask of its own


@pytest.mark.parametrize("locked", [False, True])
def test_the_head_reads_one_mask_or_a_new_one_at_each_step(locked):
    model = make(hidden_size=200, dropout=0.5, locked_dropout=locked)
    gone = model.encode(TOKENS)[0] == 0
    assert torch.equal(gone, gone[:1].expand_as(gone)) == locked
    assert not torch.equal(model.encode(TOKENS)[0] == 0, gone)  # the next window draws anew


def test_tokens_are_dropped_wherever_they_occur():
    torch.manual_seed(0)
    tokens = torch.randint(0, 500, (40, 50))
    factors = drop_tokens(torch.ones(40, 50, 3), tokens, 500, 0.2)
    by_token = torch.full((500, 3), -1.0).index_put_((tokens.flatten(),), factors.flatten(0, 1))
    assert torch.equal(by_token[tokens], factors)
    seen = by_token[by_token[:, 0] >= 0]
    assert (seen == 0).float().mean().item() == pytest.approx(0.2, abs=0.05)
    assert seen[seen != 0].unique().item() == pytest.approx(1.25, rel=1e-4)


def test_dropped_tokens_are_rows_of_the_matrix_set_to_zero():
    """Also where the head shares the matrix: what it scores with stays whole."""
    model, plain = make(tied_weights=True, embedding_dropout=0.4), make(tied_weights=True).eval()
    torch.manual_seed(3)
    found = model.read(TOKENS)[0]
    torch.manual_seed(3)
    kept = drop(torch.ones(7), 0.4)
    assert 0 < kept.count_nonzero() < 7
    plain.embed = lambda tokens: (plain.embedding.weight * kept.unsqueeze(1))[tokens]
    torch.testing.assert_close(found, plain.read(TOKENS)[0])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernels", ["ours", "torch"])
@pytest.mark.parametrize("cell", CELLS)
def test_dropped_weights_are_those_of_a_plain_loop(cell, kernels, bias, recwarn):
    """The same mask in a loop over the cell's own steps: outputs, states and the gradient of every parameter."""
    model, plain = make(cell, weight_drop=0.4, bias=bias), make(cell, bias=bias)
    if kernels == "torch":
        model.use_torch_kernels()
    first = detach(model.eval().read(TOKENS)[1])
    torch.manual_seed(3)
    logits, after = model.train().read(TOKENS, first)
    logits.square().sum().backward()

    torch.manual_seed(3)
    masks = [drop_weights(layer, plain.cell, 0.4) / layer.weight_hh_l0 for layer in plain.cells]
    stepper = Stepper(plain, first, 3)
    for weights, mask in zip(stepper._weights, masks, strict=True):
        weights.recurrent = weights.recurrent * mask.t().detach()
    wanted_logits = torch.stack([stepper.step(tokens) for tokens in TOKENS])
    wanted_logits.square().sum().backward()

    torch.testing.assert_close(logits, wanted_logits)
    for found, wanted in zip(after, stepper.state, strict=True):
        torch.testing.assert_close(found if isinstance(found, tuple) else (found,), tuple(part[None] for part in wanted))
    gradients = dict(plain.named_parameters())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name].grad, rtol=1e-4, atol=1e-5, msg=name)
    assert not recwarn.list


def test_weights_are_dropped_as_often_as_asked_but_peepholes_never():
    torch.manual_seed(0)
    model = make("peephole_lstm", hidden_size=200)
    weight = model.cells[0].weight_hh_l0
    factors: Tensor = drop_weights(model.cells[0], model.cell, 0.3) / weight
    assert torch.equal(factors[-3:], torch.ones(3, 200))
    assert (factors[:-3] == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert factors[:-3].max().item() == pytest.approx(1 / 0.7, rel=1e-4)


def test_a_model_that_dropped_weights_is_whole_again():
    model, plain = make(weight_drop=0.5), make()
    model.read(TOKENS)
    torch.testing.assert_close(model.eval().read(TOKENS)[0], plain.read(TOKENS)[0])
    assert model.state_dict().keys() == plain.state_dict().keys()
