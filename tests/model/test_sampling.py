"""Sampling: what is drawn, how often, and that nothing depends on more than model, prompt and seed."""

import pytest
import torch
from messages import user_error

from rnnscope.model import stepping
from rnnscope.model.cells.registry import CELLS
from rnnscope.model.config import ModelConfig
from rnnscope.model.drawing import SamplingOptions, check_temperature, draw, keep_top
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.sampling import generate
from rnnscope.model.stepping import Stepper


@pytest.fixture
def model() -> LanguageModel:
    torch.manual_seed(3)
    return LanguageModel.from_config(ModelConfig("lstm", 16), 11)


def draws(logits: list[float], temperature: float, options: SamplingOptions | None = None, count: int = 20_000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    rows, options = torch.tensor([logits] * count), options or SamplingOptions()
    uniform = torch.rand(count, 1, generator=generator, dtype=torch.float64)
    ids = draw(rows + options.forbidden(0, rows), torch.full((count, 1), temperature), options, uniform)
    return torch.bincount(ids, minlength=len(logits)) / count


def test_frequencies_are_the_softmax_at_the_temperature():
    logits = [2.0, 1.0, 0.0, -1.0]
    for temperature in (0.5, 1.0, 2.0):
        expected = (torch.tensor(logits) / temperature).softmax(-1)
        torch.testing.assert_close(draws(logits, temperature), expected, atol=0.015, rtol=0)


def test_temperature_zero_and_nearly_zero_take_the_likeliest():
    for temperature in (0.0, 1e-12, 1e-38):
        assert draws([0.0, 100.0, 99.0], temperature, count=50)[1] == 1


def test_what_is_never_drawn_is_never_drawn():
    frequencies = draws([50.0, 50.0, 0.0, 0.0], 1.0, SamplingOptions(never=(0, 1)))
    assert frequencies[:2].sum() == 0
    assert frequencies[2].item() == pytest.approx(0.5, abs=0.02)


def test_the_end_waits_for_the_minimum_length(model):
    with torch.no_grad():
        model.head.bias[2] += 100  # END is all but certain wherever it may be drawn
    rows = list(generate(model, [1], 10, [1.0], SamplingOptions(end=2, minimum_length=3), seed=0))
    assert len(rows) == 4
    assert [row[0] is None for row in rows] == [False, False, False, True]


def test_top_k_and_top_p_keep_the_likeliest():
    logits = torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log()
    assert keep_top(logits, 2, None).isfinite().tolist() == [[True, True, False, False]]
    assert keep_top(logits, None, 0.5).isfinite().tolist() == [[True, False, False, False]]
    assert keep_top(logits, None, 0.6).isfinite().tolist() == [[True, True, False, False]]
    assert keep_top(logits, None, 1e-9).isfinite().tolist() == [[True, False, False, False]]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"input": "one_hot"}, {"residual": True}])
@pytest.mark.parametrize("table", [True, False])
def test_stepping_equals_the_fused_kernels(cell, options, table, monkeypatch):
    monkeypatch.setattr(stepping, "SMALL", 11 if table else 10)
    torch.manual_seed(1)
    model = LanguageModel.from_config(ModelConfig(cell, 16, 2, **options), 11).eval()
    tokens = torch.randint(0, 11, (3, 9))
    with torch.no_grad():
        whole, _ = model(tokens)
        _, state = model(tokens[:, :4])
        for stepper, first in ((Stepper(model, None, 3), 0), (Stepper(model, state, 3), 4)):
            for time in range(first, 9):
                torch.testing.assert_close(stepper.step(tokens[:, time]), whole[:, time], rtol=1e-4, atol=1e-5)


def test_generating_carries_the_state(model):
    """The same tokens, one forward pass over the whole text so far for each: what carrying the state must equal."""
    generator, text = torch.Generator().manual_seed(5), [1, 4, 2]
    model.eval()
    with torch.no_grad():
        for _ in range(30):
            logits = model(torch.tensor([text]))[0][:, -1]
            uniform = torch.rand(1, 1, generator=generator, dtype=torch.float64)
            text.append(int(draw(logits, torch.ones(1, 1), SamplingOptions(), uniform)))
    assert [row[0] for row in generate(model, [1, 4, 2], 30, [1.0], SamplingOptions(), seed=5)] == text[3:]


def test_a_prompt_as_long_as_a_book_is_read_once_and_in_parts(model):
    prompt, seen = torch.randint(0, 11, (5000,)), []
    model.eval()
    with torch.no_grad():
        whole = model(prompt[None])[0][0, -1]
    model.cells[0].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape))
    model.head.register_forward_hook(lambda _, inputs, logits: seen.append(logits.shape))
    (row,) = generate(model, prompt, 1, [0.0] * 3, SamplingOptions(), seed=1)
    assert row == [int(whole.argmax())] * 3
    logits = seen.pop()
    assert logits == (3, 11), "the head scores the last token only"
    assert sum(shape[0] * shape[1] for shape in seen) == 4999
    assert max(shape[0] * shape[1] for shape in seen) <= 1024


def test_texts_that_begin_again_know_nothing_of_the_one_before(model):
    """Each token of each text from one forward pass over that text alone."""
    generator, prompt = torch.Generator().manual_seed(5), [1, 4]
    rows = list(generate(model, prompt, 60, [1.0, 0.7], SamplingOptions(end=2, again=True), seed=5))
    model.eval()
    for column in range(2):
        assert 2 in [row[column] for row in rows[:-1]], "a text ended and the next began"
    texts = [prompt, prompt]
    for row in rows:
        uniform = torch.rand(2, 1, generator=generator, dtype=torch.float64)
        for column, heat in enumerate((1.0, 0.7)):
            with torch.no_grad():
                logits = model(torch.tensor([texts[column]]))[0][:, -1]
            id = int(draw(logits, torch.tensor([[heat]]), SamplingOptions(), uniform[column : column + 1]))
            assert row[column] == id
            texts[column] = prompt if id == 2 else [*texts[column], id]


def test_generating_leaves_training_and_its_random_numbers_alone(model):
    model.train()
    before = torch.get_rng_state()
    list(generate(model, [1, 2], 20, [0.8], SamplingOptions(), seed=1))
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.is_grad_enabled()


def test_a_caller_between_two_tokens_is_not_in_inference_mode(model):
    next(generate(model, [1], 5, [1.0], SamplingOptions(), seed=1))
    assert not torch.is_inference_mode_enabled()


def test_seeds_repeat_and_texts_of_one_call_differ(model):
    once = list(generate(model, [1], 20, [1.0] * 3, SamplingOptions(), seed=7))
    assert once == list(generate(model, [1], 20, [1.0] * 3, SamplingOptions(), seed=7))
    assert once != list(generate(model, [1], 20, [1.0] * 3, SamplingOptions(), seed=8))
    columns = list(zip(*once, strict=True))
    assert len(set(columns)) == 3


def test_a_text_that_ended_stays_ended(model):
    rows = list(generate(model, [1], 200, [1.0] * 4, SamplingOptions(end=2), seed=1))
    for text in zip(*rows, strict=True):
        ended = [id is None for id in text]
        assert ended == sorted(ended)
        assert 2 not in text
    assert rows[-1].count(None) == 4, "generating goes on until all texts ended"


@pytest.mark.parametrize("wrong", [{"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_values_outside_their_range_are_refused(wrong):
    ((key, value),) = wrong.items()
    with user_error(key, value):
        SamplingOptions(**wrong)
    with user_error("temperature", -1):
        check_temperature(-1)
