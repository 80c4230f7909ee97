"""One optimizer step: the state that is carried, what clipping does, what a change of rate leaves alone, what is repeatable."""

import itertools

import numpy as np
import pytest
import torch
from conftest import train
from messages import user_error

from rnnscope.data.batches import StreamWindows
from rnnscope.model import precision
from rnnscope.model.cells.registry import CELLS
from rnnscope.model.config import ModelConfig
from rnnscope.model.language_model import LanguageModel, parts
from rnnscope.model.scoring import sum_of_nats
from rnnscope.training.optimizer_step import OptimizerStep
from rnnscope.training.optimizers import OPTIMIZERS, make_optimizer
from rnnscope.training.running_sums import RunningSums
from rnnscope.training.schedules import Constant, make_schedule
from rnnscope.training.state_resets import AHEAD, StateResets
from rnnscope.training.trainer_task import TrainerTask

V = 11


def make_task(
    cell: str = "lstm", optimizer: str = "sgd", lr: float = 0.5, schedule=None, resets=None, **clipping
) -> TrainerTask:
    torch.manual_seed(0)
    model = LanguageModel.from_config(ModelConfig(cell, 6, 2), V)
    take = OptimizerStep(model, make_optimizer(model, optimizer, lr), **clipping)
    return TrainerTask(take, schedule or Constant(lr), resets)


def windows(batch: int = 3, length: int = 5, tokens: int = 60) -> StreamWindows:
    stream = np.random.default_rng(1).integers(0, V, tokens + 1)
    return StreamWindows(stream, batch, length)


def gradients(task: TrainerTask) -> dict[str, np.ndarray]:
    return {name: value.grad.numpy().copy() for name, value in task.model.named_parameters()}


def weights(task: TrainerTask) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy().copy() for name, value in task.model.named_parameters()}


def losses_of(task: TrainerTask, source) -> list[float]:
    """Return the sum of nats of each window that the task trains on."""
    found = []
    for window in source:
        task.take_step(window)
        found.append(task.sums.nats)
        task.sums.clear()
    return found


@pytest.mark.parametrize("cell", CELLS)
def test_windows_with_carried_state_lose_what_one_long_sequence_loses(cell):
    task = make_task(cell, lr=1e-30)  # weights that stay
    pieces = losses_of(task, windows(length=5))
    (whole,) = losses_of(make_task(cell, lr=1e-30), windows(length=20))
    assert sum(pieces) == pytest.approx(whole, rel=1e-5)
    assert task.carried is not None
    without = make_task(cell, lr=1e-30, resets=StateResets(1.0, seed=0))
    assert sum(losses_of(without, windows(length=5))) != pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_stop_at_the_border_of_a_window(cell):
    first, second = itertools.islice(windows(), 2)
    task = make_task(cell, lr=1e-30)
    task.take_step(first)
    task.take_step(second)
    model = make_task(cell).model
    with torch.no_grad():
        _, state = model(first.inputs)
    logits, _ = model(second.inputs, state)
    (sum_of_nats(logits, second.targets) / second.count).backward()
    for name, value in model.named_parameters():
        np.testing.assert_allclose(gradients(task)[name], value.grad.numpy(), rtol=1e-4, atol=1e-7, err_msg=name)


def test_each_epoch_starts_from_a_zero_state():
    source = windows()
    task = make_task(lr=1e-30)
    assert losses_of(task, source) == losses_of(task, source)


def norm_of(found: dict[str, np.ndarray]) -> float:
    return float(np.sqrt(sum(np.square(value.astype(np.float64)).sum() for value in found.values())))


@pytest.mark.parametrize("share", [0.5, 0.99, 2.0])
def test_clipping_by_norm_by_hand(share):
    window = next(iter(windows()))
    free = make_task()
    free.look = True
    free.take_step(window)
    raw, norm = gradients(free), norm_of(gradients(free))
    assert free.gradient_norm is not None
    assert float(free.gradient_norm) == pytest.approx(norm, rel=1e-5)
    assert not free.clips
    task, limit = make_task(clip_norm=share * norm), share * norm
    before = weights(task)
    task.take_step(window)
    scale = min(1.0, limit / norm)
    for name, value in gradients(task).items():
        np.testing.assert_allclose(value, raw[name] * scale, rtol=1e-4, atol=1e-8)
        np.testing.assert_allclose(weights(task)[name], before[name] - 0.5 * raw[name] * scale, rtol=1e-4, atol=1e-7)
    assert task.sums.clipped == (share < 1)
    assert float(task.gradient_norm) == pytest.approx(norm, rel=1e-5)  # before clipping


def test_clipping_by_value_by_hand():
    window = next(iter(windows()))
    free = make_task()
    free.take_step(window)
    raw = gradients(free)
    limit = float(np.quantile(np.abs(np.concatenate([value.ravel() for value in raw.values()])), 0.7))
    task = make_task(clip_value=limit)
    task.look = True
    task.take_step(window)
    for name, value in gradients(task).items():
        np.testing.assert_array_equal(value, np.clip(raw[name], -np.float32(limit), np.float32(limit)))
    everything = np.abs(np.concatenate([value.ravel() for value in raw.values()]))
    assert task.sums.clipped == pytest.approx(np.mean(everything > np.float32(limit)))
    assert task.sums.clipped == pytest.approx(0.3, abs=0.01)
    assert float(task.gradient_norm) == pytest.approx(norm_of(raw), rel=1e-5)


def adam_by_hand(gradient: list[np.ndarray], weight: np.ndarray, rates: list[float]) -> np.ndarray:
    """Kingma & Ba 2014, algorithm 1, with a rate for each step."""
    weight, m, v = weight.astype(np.float64), 0.0, 0.0
    for step, (g, rate) in enumerate(zip(gradient, rates, strict=True), 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * np.square(g.astype(np.float64))
        weight = weight - rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return weight


def test_moments_survive_a_change_of_rate():
    rates = [0.01, 0.01, 0.002, 0.002, 0.05]
    schedule = make_schedule("step_map", 9.9, None, rates={0: 0.01, 2: 0.002, 4: 0.05})
    task = make_task(optimizer="adam", schedule=schedule)
    before, seen = weights(task), []
    for window in itertools.islice(itertools.cycle(windows()), len(rates)):
        task.take_step(window)
        assert task.learning_rate == rates[task.step - 1]
        seen.append(gradients(task))
    for name, value in weights(task).items():
        expected = adam_by_hand([found[name] for found in seen], before[name], rates)
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", ["rmsprop", "sgd"])
def test_momentum_may_begin_on_the_way(name):
    """From zero, as at the first step."""
    before = make_task(optimizer=name, lr=0.01)
    for window in windows():
        before.take_step(window)
    model = LanguageModel.from_config(ModelConfig("lstm", 6, 2), V)
    after = TrainerTask(OptimizerStep(model, make_optimizer(model, name, 0.01, momentum=0.9)), Constant(0.01))
    model.load_state_dict(before.model.state_dict())
    after.restore(before.capture())
    after.take_step(next(iter(windows())))
    buffers = [state["momentum_buffer"] for state in after.plain_step.optimizer.state.values()]
    assert len(buffers) == len(list(after.model.parameters()))
    assert all(buffer.isfinite().all() for buffer in buffers)


def test_a_parameter_and_a_buffer_of_a_task_are_registered():
    task = make_task()
    task.scale = torch.nn.Parameter(torch.ones(2))
    task.register_buffer("mean", torch.zeros(2))
    task.mean = torch.ones(2)
    state = task.state_dict()
    assert state["scale"].tolist() == state["mean"].tolist() == [1, 1]
    assert "scale" in dict(task.named_parameters())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(name):
    task = make_task(optimizer=name, lr={"sgd": 5.0, "adagrad": 0.1}.get(name, 0.02))
    source = windows(tokens=30)
    first, *_, last = (sum(losses_of(task, source)) for _ in range(40))
    assert last < 0.9 * first


def test_running_sums_give_a_mean_over_tokens():
    sums = RunningSums()
    sums.add(torch.tensor(6.0), 2)
    sums.add(torch.tensor(1.0), 5)
    assert sums.take() == 1.0
    assert np.isnan(sums.take())


def test_running_sums_of_many_steps_are_those_of_each():
    draw = np.random.default_rng(3)
    losses, norms = (draw.uniform(*span, 130).astype(np.float32) for span in ((0, 9000), (0, 2)))
    sums = RunningSums(clip_norm=1.0)
    for index, (loss, norm) in enumerate(zip(losses, norms, strict=True)):
        sums.add(torch.tensor(loss), 3, torch.tensor(norm))
        if index == 70:  # a look, and a checkpoint
            assert sums.clipped == (norms[:71] > 1).sum()
            sums.restore(sums.state())
    assert sums.nats == sum(map(float, losses))  # to the last bit
    assert (sums.clipped, sums.tokens, sums.steps) == ((norms > 1).sum(), 3 * len(losses), len(losses))


@pytest.mark.parametrize("cell", CELLS)
def test_a_state_reset_takes_whole_columns(cell):
    task = make_task(cell, resets=StateResets(0.3, seed=5))
    source = iter(windows(batch=200, length=2, tokens=1600))
    task.take_step(next(source))
    assert task.carried is not None
    whole = torch.stack(parts(task.carried))
    read, started = task.model.run_layers, []
    task.model.run_layers = lambda tokens, state: (started.append(torch.stack(parts(state))), read(tokens, state))[1]
    task.take_step(next(source))
    zero = (started[0] == 0).all(-1)[:, 0]  # (parts, columns)
    assert torch.equal(zero, zero[:1].expand_as(zero))
    assert torch.equal(started[0][:, :, ~zero[0]], whole[:, :, ~zero[0]])
    assert 30 < int(zero[0].sum()) < 90


def kept(resets: StateResets, step: int, columns: int) -> list[float]:
    return resets.kept(step, torch.zeros(1, columns, 5))[:, 0].tolist()


def test_state_resets_hang_on_the_step_and_the_seed_alone():
    """Whether a run came to a step through all steps before it, or was resumed there; and shared out among processes."""
    resets, shared = StateResets(0.3, seed=5), [StateResets(0.3, 5, rank, 3) for rank in range(3)]
    drawn = [kept(resets, step, 12) for step in range(2 * AHEAD)]
    assert sum(map(sum, drawn)) == pytest.approx(0.7 * 24 * AHEAD, rel=0.05)
    assert len(set(map(tuple, drawn))) > AHEAD
    for step in (3, AHEAD + 7, 0):
        assert kept(StateResets(0.3, seed=5), step, 12) == drawn[step]
        assert list(itertools.chain(*(kept(part, step, 4) for part in shared))) == drawn[step]
        assert kept(StateResets(0.3, seed=6), step, 12) != drawn[step]


def test_a_state_reset_takes_no_random_number_from_dropout():
    task = make_task(resets=StateResets(0.5, seed=0))
    before = torch.get_rng_state()
    losses_of(task, windows())
    assert torch.equal(torch.get_rng_state(), before)


AMX = [("lstm", 16, "bf16"), ("lstm", 512, "bf16"), ("gru", 128, "float32"), ("gru", 512, "bf16"), ("rnn", 128, "float32")]


@pytest.mark.parametrize(("cell", "hidden", "found"), AMX)
def test_precision_on_a_cpu_with_matrix_units(monkeypatch, cell, hidden, found):
    cpu = torch.device("cpu")
    monkeypatch.setattr(precision, "has_fast_bf16", lambda: True)
    assert precision.resolve_precision("auto", cpu, CELLS[cell], hidden) == found
    assert precision.resolve_precision("float32", cpu, CELLS[cell], hidden) == "float32"
    monkeypatch.setattr(precision, "has_fast_bf16", lambda: False)
    assert precision.resolve_precision("auto", cpu, CELLS[cell], hidden) == "float32"
    assert precision.resolve_precision("bf16", cpu, CELLS[cell], hidden) == "bf16"
    with user_error("trainer.precision", "half", "auto", "float32", "bf16"):
        precision.resolve_precision("half", cpu, CELLS[cell], hidden)


@pytest.mark.parametrize(
    ("hardware", "version", "found"), [(True, 91300, "bf16"), (True, 91200, "float32"), (False, 92000, "float32")]
)
def test_precision_on_a_gpu(monkeypatch, hardware, version, found):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: hardware)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: version)
    assert precision.resolve_precision("auto", torch.device("cuda"), CELLS["lstm"], 512) == found


def test_a_run_in_bf16_has_float32_weights_and_says_so(story, outputs, monkeypatch):
    import json

    monkeypatch.setattr(precision, "has_fast_bf16", lambda: True)
    words = ["dataset=text_files", f"dataset.corpus.path={story}", "trainer.max_steps=5", "trainer.precision=auto"]
    result = train(*words)
    record = json.loads(result.run.record.read_text(encoding="utf-8"))
    assert record["resolved"]["precision"] == "bf16"
    assert record["requested"]["precision"] == "auto"
    saved = torch.load(result.run.checkpoints / "last.ckpt", weights_only=True)
    assert {value.dtype for value in saved["state_dict"].values()} == {torch.float32}
    moments = [value for part in saved["task"]["optimizer"]["state"].values() for value in part.values()]
    assert {value.dtype for value in moments} == {torch.float32}
    other = train(*words, "trainer.precision=float32")
    assert other.weights_hash != result.weights_hash
    assert train(*words).weights_hash == result.weights_hash


def test_the_same_seed_gives_the_same_weights_whatever_came_before(story, outputs):
    words = ["dataset=text_files", f"dataset.corpus.path={story}", "model.dropout=0.4", "trainer.max_steps=10"]
    first = train(*words)
    torch.rand(17)
    np.random.random(3)
    assert train(*words).weights_hash == first.weights_hash
    assert train(*words, "seed=2").weights_hash != first.weights_hash
