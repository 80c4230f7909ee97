"""Layers whose backward is written by hand, against autograd through the cell's pure step, and against torch's kernels."""

import pytest
import torch
from torch import Tensor, nn

from rnnscope.model.cells.cell import StepWeights
from rnnscope.model.cells.registry import find_cell
from rnnscope.model.config import ModelConfig
from rnnscope.model.language_model import LanguageModel

CELLS = ("rnn", "gru", "peephole_lstm", "mogrifier_lstm")
TIME, BATCH, FEATURES, HIDDEN = 7, 3, 4, 5
Found = list[Tensor]


def make(
    name: str, bias: bool = True, dtype: torch.dtype = torch.float64, **keys: int
) -> tuple[nn.Module, Tensor, tuple[Tensor, ...]]:
    """Return a layer, a window and a state, all with gradients."""
    torch.manual_seed(0)
    cell = find_cell(name)
    layer = cell.layer(FEATURES, HIDDEN, bias=bias, **keys).to(dtype)
    inputs, *state = (
        torch.randn(n, BATCH, size, dtype=dtype) for n, size in [(TIME, FEATURES)] + [(1, HIDDEN)] * cell.state_parts
    )
    return layer, inputs.requires_grad_(), tuple(part.requires_grad_() for part in state)


def by_hand(layer: nn.Module, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    written, after = layer(inputs, state if len(state) > 1 else state[0])
    return written, after if len(state) > 1 else (after,)


def plain(name: str, layer: nn.Module, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The same from the pure step, one token after the other."""
    cell, weights, written = find_cell(name), StepWeights(layer, find_cell(name)), []
    parts = tuple(part[0] for part in state)
    for read in weights.read_many(inputs):
        _, parts = cell.step(read, parts, weights)
        written.append(parts[0])
    return torch.stack(written), tuple(part.unsqueeze(0) for part in parts)


def with_gradients(found: tuple[Tensor, tuple[Tensor, ...]], *of: Tensor) -> Found:
    """Return what a layer gave, and the gradients of a loss that looks at all of it."""
    generator = torch.Generator().manual_seed(1)
    given = [found[0], *found[1]]
    loss = torch.stack([(part.double() * torch.randn(part.shape, generator=generator)).sum() for part in given]).sum()
    return [*given, *torch.autograd.grad(loss, of)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_values_and_gradients_are_those_of_the_plain_step(name, bias, dtype, tolerance):
    layer, inputs, state = make(name, bias, dtype)
    of = inputs, *state, *layer.parameters()
    expected = with_gradients(plain(name, layer, inputs, state), *of)
    torch.testing.assert_close(with_gradients(by_hand(layer, inputs, state), *of), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("keys", [{"rounds": 1}, {"rounds": 2, "rank": 2}, {"rounds": 6, "rank": 3}])
def test_rounds_of_a_low_rank(keys):
    layer, inputs, state = make("mogrifier_lstm", **keys)
    of = inputs, *state, *layer.parameters()
    assert len(list(layer.rounds.parameters())) == keys["rounds"] * (2 if "rank" in keys else 1)
    expected = with_gradients(plain("mogrifier_lstm", layer, inputs, state), *of)
    torch.testing.assert_close(with_gradients(by_hand(layer, inputs, state), *of), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CELLS)
def test_gradients_are_those_of_small_changes(name):
    layer, inputs, state = make(name)
    names = [name for name, _ in layer.named_parameters()]

    def run(inputs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        state, weights = rest[: len(rest) - len(names)], rest[len(rest) - len(names) :]
        arguments = inputs, state if len(state) > 1 else state[0]
        written, after = torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), arguments)
        return written, *(after if len(state) > 1 else (after,))

    assert torch.autograd.gradcheck(run, (inputs, *state, *layer.parameters()), fast_mode=True)


@pytest.mark.parametrize("name", CELLS)
def test_under_autocast_only_products_are_rounded(name):
    layer, inputs, state = make(name, dtype=torch.float32)
    of = inputs, *state, *layer.parameters()
    expected = with_gradients(by_hand(layer, inputs, state), *of)
    with torch.autocast("cpu", torch.bfloat16):
        found = by_hand(layer, inputs, state)
    assert (found[0].dtype, {part.dtype for part in found[1]}) == (torch.bfloat16, {torch.float32})
    for exact, rounded in zip(expected, with_gradients(found, *of), strict=True):
        assert 0 < (rounded.float() - exact).norm() / exact.norm() < 0.02


@pytest.mark.parametrize(("name", "kernels"), [("rnn", nn.RNN), ("gru", nn.GRU)])
def test_torch_kernels_are_those_of_torch_to_the_bit(name, kernels):
    torch.manual_seed(0)
    model = LanguageModel.from_config(ModelConfig(name, HIDDEN, num_layers=2), 7)
    plain = kernels(HIDDEN, HIDDEN)
    plain.load_state_dict(model.cells[0].state_dict())
    hidden = model.embed(torch.randint(7, (40, BATCH)))
    assert not torch.equal(model.cells[0](hidden)[0], plain(hidden)[0])
    model.use_torch_kernels()
    assert torch.equal(model.cells[0](hidden)[0], plain(hidden)[0])


def test_a_peephole_lstm_has_the_size_of_dl4js():
    model = LanguageModel.from_config(ModelConfig("peephole_lstm", 200, num_layers=2, input="one_hot"), 77)
    assert model.parameter_count() == 223_000 + 321_400 + 15_477
