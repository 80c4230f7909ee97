"""What TensorBoard says of activations, gates and gradients, against the fused kernels and a plain count."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import train
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnnscope.model.cells.registry import CELLS
from rnnscope.model.config import ModelConfig
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.tracing import gradient_through_time
from rnnscope.monitor.activations import Activations

V, TIME, BATCH, LAYERS = 7, 6, 10, 2


class Board:
    """Keeps what it is told."""

    def scalars(self, step, values):
        self.values = values

    def histograms(self, step, tensors):
        self.tensors = tensors


def looked_at(model, window, carried=None, resets=None) -> Board:
    """Return what is found after a step from `carried`, which the step then changes in place as a CUDA graph does."""
    board = Board()
    task = SimpleNamespace(model=model, carried=carried, window=window, step=3, device=torch.device("cpu"), resets=resets)
    callback = Activations(board, every=4)
    callback.before_step(task)
    for layer in carried or []:
        for part in layer if isinstance(layer, tuple) else (layer,):
            part.fill_(9.0)
    task.step = 4
    callback.after_step(task)
    return board


def window_of(padding: int = 0, fresh: bool = False):
    ids = torch.randint(V, (BATCH, TIME + 1), generator=torch.Generator().manual_seed(2))
    targets = ids[:, 1:].clone()
    targets[0, TIME - padding :] = targets[3, TIME - padding :] = -100
    return SimpleNamespace(inputs=ids[:, :-1], targets=targets, fresh=fresh)


def model_of(cell: str) -> LanguageModel:
    torch.manual_seed(1)
    return LanguageModel(ModelConfig(cell=cell, hidden_size=5, embedding_size=4, num_layers=LAYERS, forget_bias=0.0), V)


def copied(state):
    return [tuple(part.clone() for part in layer) if isinstance(layer, tuple) else layer.clone() for layer in state]


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_layers_are_those_of_the_fused_kernel(cell):
    """Of the eight columns with the most text, without their padding, from the state that the step began with."""
    model, window = model_of(cell), window_of(padding=2)
    with torch.no_grad():
        _, start = model.read(window.inputs.t().flip(0))
    board = looked_at(model, window, copied(start))
    columns, states, hidden = [1, 2, 4, 5, 6, 7, 8, 9], [[], []], [[], []]
    with torch.no_grad():
        for tokens in window.inputs.t():
            _, start = model.read(tokens.unsqueeze(0), start)
            for index, layer in enumerate(start):
                parts = layer if isinstance(layer, tuple) else (layer,)
                hidden[index].append(parts[0][0, columns])
                states[index].append(torch.stack([part[0, columns] for part in parts]))
    for index in range(LAYERS):
        values, state = torch.stack(hidden[index]).numpy(), torch.stack(states[index]).numpy()
        expected = {"mean": values.mean(), "spread": values.std(), "state_size": np.sqrt((state**2).mean())}
        for name, value in expected.items():
            assert board.values[f"activations/cells.{index}/{name}"] == pytest.approx(float(value), abs=1e-6)
        shown = board.tensors[f"activations/cells.{index}"].detach()
        np.testing.assert_allclose(shown.numpy(), values.reshape(-1, 5), atol=1e-6)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_padding_counts_nowhere():
    """A column that is looked at for want of others counts with its real tokens alone."""
    window = window_of(padding=2)
    window = SimpleNamespace(inputs=window.inputs[:4], targets=window.targets[:4], fresh=True)
    model = model_of("gru")
    window.targets[1, :-1] = -100  # one target at the end: all that leads to it counts
    board = looked_at(model, window)
    with torch.no_grad():
        written, _ = model.cells[0](model.embed(window.inputs.t()))
    written = written.transpose(0, 1)
    real = torch.cat([written[0, :-2], written[1], written[2], written[3, :-2]])
    assert board.values["activations/cells.0/spread"] == pytest.approx(float(real.std(correction=0)), abs=1e-6)


def test_saturated_gates_are_counted():
    """A bias of 3 opens the forget gates (0.95), one of 1 leaves them at 0.73."""
    shares = {}
    for bias in (1.0, 3.0):
        model = LanguageModel(ModelConfig(cell="lstm", hidden_size=5, embedding_size=4, forget_bias=0.0), V)
        for name, parameter in model.cells[0].named_parameters():
            torch.nn.init.zeros_(parameter)
            if name == "bias_ih_l0":
                parameter.data[5:10] = bias
        values = looked_at(model, window_of(fresh=True)).values
        assert values["gates/cells.0/forget_mean"] == pytest.approx(1 / (1 + np.exp(-bias)), abs=1e-6)
        assert values["gates/cells.0/input_saturated"] == 0
        shares[bias] = values["gates/cells.0/forget_saturated"]
    assert shares == {1.0: 0, 3.0: 1}


def test_gradients_are_ratios_of_the_last():
    model, window = model_of("lstm"), window_of(fresh=True)
    norms = gradient_through_time(model, window.inputs[:8].t(), window.targets[:8].t())
    found = looked_at(model, window).values
    for lag in (1, 2, 4):
        assert 10 ** found[f"gradient_through_time/lag_{lag}"] == pytest.approx(float(norms[lag] / norms[0]), rel=1e-5)
    assert "gradient_through_time/lag_8" not in found


def test_columns_that_were_reset_start_from_zero():
    model, window = model_of("lstm"), window_of()
    with torch.no_grad():
        _, start = model.read(window.inputs.t().flip(0))
    resets = SimpleNamespace(kept=lambda step, part: torch.zeros(part.shape[1], 1))
    assert looked_at(model, window, copied(start), resets).values == looked_at(model, window_of(fresh=True)).values
    assert looked_at(model, window, copied(start)).values != looked_at(model, window_of(fresh=True)).values


def test_what_is_not_a_number_is_shown_as_that():
    model = model_of("lstm")
    model.cells[1].weight_hh_l0.data[0, 0] = float("nan")
    values = looked_at(model, window_of(fresh=True)).values
    lost = {tag for tag, value in values.items() if np.isnan(value)}
    assert lost >= {"activations/cells.1/mean", "gates/cells.1/input_saturated", "gates/cells.1/input_mean"}
    assert not any("cells.0" in tag for tag in lost)


@pytest.mark.parametrize(
    "words", [["model=gru", "dataset.windows=samples", "dataset.start_end=line"], ["model=rnn", "trainer.state_reset=0.5"]]
)
def test_every_training_has_its_charts(outputs, story, words):
    result = train("dataset=text_files", f"dataset.corpus.path={story}", *words, "trainer.max_steps=10")
    board = EventAccumulator(str(result.run.path), {"tensors": 0, "histograms": 0}).Reload()
    gates = {tag for tag in board.Tags()["tensors"] if tag.startswith("gates/")}
    assert gates == (
        {f"gates/cells.0/{g}_{w}" for g in ("reset", "update") for w in ("mean", "saturated")}
        if "model=gru" in words
        else set()
    )
    for tag in board.Tags()["tensors"]:
        if tag.startswith(("activations/", "gradient_through_time/")):
            (event,) = board.Tensors(tag)
            assert event.step == 10
            assert np.isfinite(event.tensor_proto.float_val[0])
    assert "activations/cells.0" in board.Tags()["histograms"]
