"""What every unit does at every token, for each cell: against the fused kernels, and against equations written out in numpy."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rnnscope.model.cells.registry import CELLS
from rnnscope.model.config import ModelConfig
from rnnscope.model.language_model import LanguageModel, detach
from rnnscope.model.tracing import gradient_through_time, trace

TIME, BATCH, V, UNITS = 9, 3, 7, 6


def model_of(cell: str) -> LanguageModel:
    torch.manual_seed(4)
    config = ModelConfig(cell=cell, hidden_size=UNITS, embedding_size=5, num_layers=2, residual=True, forget_bias=0.0)
    return LanguageModel(config, V).eval()


def tokens_of(time: int = TIME) -> torch.Tensor:
    return torch.randint(V, (time, BATCH), generator=torch.Generator().manual_seed(1))


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def written_out(cell: str, x: np.ndarray, h: np.ndarray, c: np.ndarray, W, b, R, d) -> dict[str, np.ndarray]:
    """Return what a layer does at one token by the textbook's equations, in float64; torch stacks the gates by rows."""
    xs, hs = np.split(x @ W.T + b, len(W) // UNITS, -1), np.split(h @ R.T + d, len(W) // UNITS, -1)
    if cell == "rnn":
        return {"hidden": np.tanh(xs[0] + hs[0])}
    if cell == "gru":
        r, z = sigmoid(xs[0] + hs[0]), sigmoid(xs[1] + hs[1])
        n = np.tanh(xs[2] + r * hs[2])
        return {"hidden": (1 - z) * n + z * h, "reset": r, "update": z, "candidate": n}
    i, f, o = (sigmoid(xs[k] + hs[k]) for k in (0, 1, 3))
    g = np.tanh(xs[2] + hs[2])
    c = f * c + i * g
    return {"hidden": o * np.tanh(c), "cell": c, "input": i, "forget": f, "candidate": g, "output": o}


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_gates_are_those_of_the_equations(cell):
    model, tokens = model_of(cell).double(), tokens_of()
    with torch.no_grad():
        found = trace(model, tokens).stacked()
        read = model.embed(tokens).numpy()
    for index, layer in enumerate(model.cells):
        weights = [getattr(layer, f"{name}_l0").detach().numpy() for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")]
        h = c = np.zeros((BATCH, UNITS))
        written = []
        for t in range(TIME):
            values = written_out(cell, read[t], h, c, *weights)
            assert list(values) == list(found)
            h, c = values["hidden"], values.get("cell", c)
            for name, value in values.items():
                np.testing.assert_allclose(found[name][t, index].numpy(), value, rtol=0, atol=1e-14)
            written.append(h)
        read = np.stack(written) + read if index else np.stack(written)  # residual


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_the_state_is_that_of_the_fused_kernel(cell):
    """In two blocks, of which the first begins in the middle of a text; no random number is drawn."""
    model, tokens, random = model_of(cell), tokens_of(), torch.get_rng_state()
    with torch.no_grad():
        _, start = model.encode(tokens_of(4))
        state, layers = start, []
        for block in tokens.split(5):
            found = trace(model, block, state)
            state = found.state
            layers.append(found.stacked())
        output = found.output
        for t in range(TIME):
            fused_output, start = model.encode(tokens[t : t + 1], start)
            for index, layer in enumerate(start):
                names = zip(("hidden", "cell"), layer if isinstance(layer, tuple) else (layer,), strict=False)
                for name, value in names:
                    ours = layers[t // 5][name][t % 5, index]
                    torch.testing.assert_close(ours, value[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(output[-1], fused_output[0], atol=1e-5, rtol=0)
    assert ("cell" in layers[0]) == (model.cell.state_parts > 1)
    assert torch.equal(random, torch.get_rng_state())


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_what_a_gate_lets_through_is_a_share(cell):
    with torch.no_grad():
        found = trace(model_of(cell), tokens_of()).stacked()
    gates = [value for name, value in found.items() if name not in ("hidden", "cell", "candidate")]
    assert all(((gate > 0) & (gate < 1)).all() for gate in gates)
    assert bool(gates) == (cell != "rnn")


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_gradient_through_time(cell):
    """Against the change of the loss when one hidden state of one layer is pushed a little, by central differences."""
    model, tokens, lag, units = model_of(cell).double(), tokens_of(), 3, range(UNITS)
    targets = tokens.roll(1)
    found = gradient_through_time(model, tokens, targets)
    assert found.shape == (TIME,)

    def loss(layer: int, column: int, unit: int, by: float) -> float:
        """Return the loss at the last token; h of `layer` is pushed once it is there, and read on from there."""
        with torch.no_grad():
            _, state = model.encode(tokens[: TIME - lag - 1])
            hidden, after = model.embed(tokens[TIME - lag - 1 : TIME - lag]), []
            for index, cell in enumerate(model.cells):
                written, part = cell(hidden, state[index])
                if index == layer:  # what the upper layer reads at this token is pushed with it
                    (part[0] if isinstance(part, tuple) else part)[0, column, unit] += by
                    written = (part[0] if isinstance(part, tuple) else part).clone()
                after.append(part)
                hidden = model.join(index, hidden, written)
            logits, _ = model.read(tokens[TIME - lag :], after)
            return float(F.cross_entropy(logits[-1], targets[-1]))

    slopes = [
        (loss(layer, column, unit, 1e-5) - loss(layer, column, unit, -1e-5)) / 2e-5
        for layer in (0, 1)
        for column in range(BATCH)
        for unit in units
    ]
    assert float(found[lag]) == pytest.approx(float(np.linalg.norm(slopes)), rel=1e-6)
    assert all(parameter.grad is None for parameter in model.parameters())
    _, state = model.encode(tokens)
    assert len(gradient_through_time(model, tokens, targets, detach(state))) == TIME
