"""Sampling: what is drawn, how often, and that nothing depends on more than model, prompt and seed."""

import pytest
import torch

from rnnscope.errors import UserError
from rnnscope.model.language_model import LanguageModel
from rnnscope.model.sampling import Choice, choose, generate, keep_top


@pytest.fixture
def model() -> LanguageModel:
    torch.manual_seed(3)
    return LanguageModel(11, cell="lstm", hidden_size=16)


def draws(logits: list[float], choice: Choice, count: int = 20_000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    ids = choose(torch.tensor([logits] * count), choice, generator)
    return torch.bincount(ids, minlength=len(logits)) / count


def test_frequencies_are_the_softmax_at_the_temperature():
    logits = [2.0, 1.0, 0.0, -1.0]
    for temperature in (0.5, 1.0, 2.0):
        expected = (torch.tensor(logits) / temperature).softmax(-1)
        torch.testing.assert_close(draws(logits, Choice(temperature)), expected, atol=0.015, rtol=0)


def test_temperature_zero_and_nearly_zero_take_the_likeliest():
    for temperature in (0.0, 1e-12, 1e-38):
        assert draws([0.0, 100.0, 99.0], Choice(temperature), 50)[1] == 1


def test_what_is_never_drawn_is_never_drawn():
    frequencies = draws([50.0, 50.0, 0.0, 0.0], Choice(1.0, never=(0, 1)))
    assert frequencies[:2].sum() == 0
    assert frequencies[2].item() == pytest.approx(0.5, abs=0.02)


def test_the_end_waits_for_the_minimum_length():
    choice = Choice(1.0, end=0, minimum_length=3)
    logits = torch.tensor([[100.0, 0.0]])
    generator = torch.Generator().manual_seed(0)
    assert [choose(logits.clone(), choice, generator, drawn).item() for drawn in range(5)] == [1, 1, 1, 0, 0]


def test_top_k_and_top_p_keep_the_likeliest():
    logits = torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log()
    assert keep_top(logits, 2, None).isfinite().tolist() == [[True, True, False, False]]
    assert keep_top(logits, None, 0.5).isfinite().tolist() == [[True, False, False, False]]
    assert keep_top(logits, None, 0.6).isfinite().tolist() == [[True, True, False, False]]
    assert keep_top(logits, None, 1e-9).isfinite().tolist() == [[True, False, False, False]]


def test_generating_carries_the_state(model):
    """The same tokens, one forward pass over the whole text so far for each: what carrying the state must equal."""
    choice, generator = Choice(1.0), torch.Generator().manual_seed(5)
    text = [1, 4, 2]
    model.eval()
    with torch.no_grad():
        for _ in range(30):
            text.append(int(choose(model(torch.tensor([text]))[0][:, -1], choice, generator)))
    assert [row[0] for row in generate(model, [1, 4, 2], 30, choice, seed=5)] == text[3:]


def test_generating_leaves_training_and_its_random_numbers_alone(model):
    model.train()
    before = torch.get_rng_state()
    list(generate(model, [1], 20, Choice(0.8), seed=1))
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.is_grad_enabled()


def test_a_caller_between_two_tokens_is_not_in_inference_mode(model):
    next(generate(model, [1], 5, Choice(1.0), seed=1))
    assert not torch.is_inference_mode_enabled()


def test_seeds_repeat_and_texts_of_one_call_differ(model):
    once = list(generate(model, [1], 20, Choice(1.0), seed=7, count=3))
    assert once == list(generate(model, [1], 20, Choice(1.0), seed=7, count=3))
    assert once != list(generate(model, [1], 20, Choice(1.0), seed=8, count=3))
    columns = list(zip(*once, strict=True))
    assert len(set(columns)) == 3


def test_a_text_that_ended_stays_ended(model):
    rows = list(generate(model, [1], 200, Choice(1.0, end=2), seed=1, count=4))
    for text in zip(*rows, strict=True):
        ended = [id is None for id in text]
        assert ended == sorted(ended)
        assert 2 not in text
    assert rows[-1].count(None) == 4, "generating goes on until all texts ended"


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_values_outside_their_range_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        Choice(**wrong)
