"""A key that was set and changes nothing is named with the reason; any other is not."""

import pytest
from messages import line_with

from rnnscope.config.compose import compose_command
from rnnscope.config.hydra_errors import keys_of
from rnnscope.config.schema import TrainConfig
from rnnscope.config.without_effect import REASONS, lines_without_effect

IDLE = {
    "dataset.corpus.sha256=00": "dataset.corpus.url=null",
    "dataset.corpus.delimiter=;": "dataset.corpus.column=null",
    "dataset.corpus.include=[*.c]": "one file",
    "dataset.words=penn": "dataset.level=char",
    "model.residual=true": "model.num_layers=1",
    "model.init_scale=0.1": "model.init=torch",
    "model.rank=4": "model.cell=lstm",
    "monitor.sample_prompt=a": "monitor.sample_length=0",
}


@pytest.mark.parametrize("word", IDLE)
def test_it_is_said(word, story):
    more = ["monitor.sample_length=0"] if word.startswith("monitor") else []
    composition = compose_command([f"text={story}", *more, word])
    (line,) = lines_without_effect(composition.config, composition.keys)
    line_with(line, word.partition("=")[0], IDLE[word])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["model.forget_bias=2.0", "model.bias=false"], "model.bias=false"),
        (["model.init_scale=0.2", "model.init=fan_in"], "model.init=fan_in"),
        (["trainer.val_tokens=9", "dataset.windows=samples", "dataset.start_end=line"], "dataset.windows=samples"),
        (["dataset.corpus.lines=true", "dataset.corpus.column=x"], "dataset.corpus.column is set"),
        (["dataset.minimum_count=3", "init_from=latest"], "init_from is set"),
    ],
)
def test_another_key_takes_its_effect_away(words, reason, story):
    composition = compose_command([f"text={story}", *words])
    (line,) = lines_without_effect(composition.config, composition.keys)
    line_with(line, words[0].partition("=")[0], reason)


@pytest.mark.parametrize(
    "words",
    [
        ["dataset=wikitext_2", "dataset.minimum_count=3"],
        ["dataset=shakespeare", "dataset.corpus.path=a.csv", "dataset.corpus.column=x", "dataset.corpus.delimiter=|"],
        ["model=lstm", "model.forget_bias=0.5", "model.residual=true", "model.num_layers=2"],
    ],
)
def test_a_key_with_an_effect_is_left_alone(words):
    composition = compose_command(words)
    assert lines_without_effect(composition.config, composition.keys) == []


def test_every_reason_is_for_a_key_that_exists():
    assert set(REASONS) <= set(keys_of(TrainConfig))
    config = compose_command(["text=x"]).config
    assert all(reason(config) is None or isinstance(reason(config), str) for reason in REASONS.values())
