"""What a run generates: the same for whoever asks, and what it makes of a prompt."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, train
from messages import assert_says, error_line, user_error
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import rnnscope
from rnnscope.analysis.own_data import training_lines
from rnnscope.cli import main

HEATS = (0.0, 0.7, 1.5)
PARAGRAPHS = "the dog barks. it runs.\n\na bird sings.\n\nthe bird and the dog run.\n\n"


@pytest.fixture(scope="module")
def verses(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run whose samples are paragraphs, in words."""
    folder = tmp_path_factory.mktemp("verses")
    (folder / "verses.txt").write_text(PARAGRAPHS * 60, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNSCOPE_OUTPUTS", str(folder / "outputs"))
        words = ["dataset.windows=samples", "dataset.start_end=paragraph", "dataset.level=word", "optimizer.lr=0.03"]
        monitor = ["monitor.sample_prompt=the", "monitor.sample_length=150", f"monitor.sample_temperatures={list(HEATS)}"]
        yield train("dataset=text_files", f"dataset.corpus.path={folder / 'verses.txt'}", *words, *monitor)


def samples_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_card_of_samples_has_ten_whole_texts_or_more(verses):
    for sample in samples_of(verses.run.path)[-2:]:
        texts = ("the" + sample["text"]).split("\n")
        assert len(texts) == sample["texts"] >= 10
        assert all(text.startswith("the") for text in texts)
        tokens = sum(len(rnnscope.load(str(verses.run.path)).vocabulary.encode(text[3:])) + 1 for text in texts)
        assert tokens >= 150
        assert max(map(len, texts)) < 150, "a text ends at END"


def test_samples_while_training_are_those_of_the_trained_run(verses):
    """The likeliest text is the same however it is asked for."""
    run = rnnscope.load(str(verses.run.path), "last")
    written = samples_of(verses.run.path)[-3]
    assert (written["step"], written["temperature"], written["texts"]) == (30, 0.0, 1)
    assert run.sample("the", 150, temperature=0.0) == "the" + written["text"]


def test_tensorboard_shows_the_same_card(verses):
    events = EventAccumulator(str(verses.run.path)).Reload().Tensors("samples/temperature_1.5/text_summary")
    card = events[-1].tensor_proto.string_val[0].decode()
    assert [line[4:] for line in card.split("\n")] == ("the" + samples_of(verses.run.path)[-1]["text"]).split("\n")


def test_a_word_known_only_after_a_space_is_read_with_one(verses, capsys, monkeypatch):
    run = rnnscope.load(str(verses.run.path))
    assert "dog" not in run.vocabulary.tokens
    with_space = run.sample(" dog", 20, seed=3)
    assert run.sample("dog", 20, seed=3) == with_space[1:]
    assert run.sample("the", 20, seed=3) != run.sample(" the", 20, seed=3), "known as it is, it is read as it is"
    assert main(["sample", f"run={verses.run.path}", "prompt=dog", "length=20", "seed=3"]) == 0
    said = capsys.readouterr()
    assert said.out == with_space[1:] + "\n"
    assert_says(said.err.strip(), "prompt", "space")
    with user_error(1, "' cat'", "unknown=skip"):
        run.sample("dog cat")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("temperature", 1e39),
        ("temperature", math.nan),
        ("minimum_length", -1),
        ("seed", -1),
        ("seed", 2**63),
        ("count", 10**9),
        ("count", 10**14),
    ],
)
def test_what_cannot_be_drawn_with_is_refused(verses, key, value):
    with user_error(f"{key}={value}"):
        rnnscope.load(str(verses.run.path)).sample(**{key: value})


@pytest.mark.parametrize("how", [{"temperature": 3.4e38}, {"temperature": 1e-46}, {"top_p": 5e-324}, {"seed": 2**63 - 1}])
def test_the_ends_of_the_ranges_draw(verses, how):
    run = rnnscope.load(str(verses.run.path))
    text = run.sample("the", 8, **{"seed": 1, "minimum_length": 8, **how})
    assert len(run.vocabulary.encode(text[3:])) >= 7
    if how.get("temperature", 1) < 1 or "top_p" in how:  # which leave the likeliest alone
        assert text == run.sample("the", 8, temperature=0, minimum_length=8)


def test_weights_that_are_lost_are_said(verses, tmp_path, capsys):
    folder = tmp_path / "lost"
    shutil.copytree(verses.run.path, folder)
    weights = load_file(folder / "model.safetensors")
    save_file({name: value * math.nan for name, value in weights.items()}, folder / "model.safetensors")
    assert main(["sample", f"run={folder}", "length=3", "seed=3"]) == 0
    assert_says(capsys.readouterr().err.strip(), "warning", "diverged")


def test_a_top_k_without_effect_is_said(verses, capsys):
    assert main(["sample", f"run={verses.run.path}", "top_k=5000", "length=1", "seed=3"]) == 0
    assert_says(capsys.readouterr().err.strip(), "top_k=5000", len(rnnscope.load(str(verses.run.path)).vocabulary))


def test_no_samples_where_their_length_is_0(story, outputs):
    result = train("dataset=text_files", f"dataset.corpus.path={story}", "monitor.sample_length=0", "trainer.max_steps=10")
    assert samples_of(result.run.path) == []
    assert "sample at step" not in result.run.log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("monitor.sample_length", -2),
        ("monitor.sample_temperatures", "[0.5, 1e39]"),
        ("optimizer.eps", "1e-46"),
        ("model.init_scale", "1e39"),
        ("trainer.clip_value", "1e40"),
    ],
)
def test_numbers_that_training_cannot_use_are_refused_before_it(key, value, story, outputs, capsys):
    words = ["trainer.clip_norm=null", "model.init=uniform", f"{key}={value}"]
    assert main(["train", f"text={story}", *TINY, *words]) == 1
    assert_says(error_line(capsys.readouterr().err), key)
    assert not list(outputs.glob("runs/*"))


@pytest.mark.parametrize("words", ["space", "penn"])
def test_a_space_stands_between_a_prompt_and_the_first_word(words, tmp_path, outputs):
    text = tmp_path / "verses.txt"
    text.write_text("cold winds blow ( hard ) .\n" * 200, encoding="utf-8")
    keys = [
        "dataset.level=word",
        f"dataset.words={words}",
        "dataset.start_end=line",
        "optimizer.lr=0.03",
        "trainer.val_every=30",
    ]
    train("dataset=text_files", f"dataset.corpus.path={text}", *keys, "monitor.sample_prompt=cold winds", "schedule=constant")
    run = rnnscope.load()
    assert run.sample("cold winds", 1, temperature=0.0) == "cold winds blow"
    assert run.sample("cold winds ", 1, temperature=0.0) == "cold winds blow"
    assert run.sample("winds blow (", 1, temperature=0.0) == f"winds blow ({'' if words == 'penn' else ' '}hard"
    assert samples_of(run.folder.path)[0]["text"].startswith(" blow")


def test_unk_is_written_as_a_rare_word(verses):
    """A model that writes nothing but UNK writes the rarest words, and else never UNK."""
    run = rnnscope.load(str(verses.run.path))
    run.model.head.bias.data[run.vocabulary.unk] = 1e4
    assert len(run.vocabulary) < 20, "the rarest tenth is one word"
    assert run.sample(length=40, unknown="rare", seed=1) == 40 * run.vocabulary.tokens[-1]
    assert run.vocabulary.tokens[0] not in run.sample(length=40, seed=1)
    assert run.sample("the unicorn", 5, unknown="rare", seed=1).startswith("the unicorn")


def test_novel_lines_are_those_that_training_lacks(verses, monkeypatch, capsys):
    lines = training_lines(rnnscope.load(str(verses.run.path)))
    assert {line for line in lines if line} == {line for line in PARAGRAPHS.splitlines() if line}
    words = ["sample", f"run={verses.run.path}", "seed=1", "count=12", "length=40"]
    assert main(words) == 0
    drawn = [text for text in capsys.readouterr().out.removesuffix("\n").split("\n---\n") if any(map(str.isalpha, text))]
    monkeypatch.setattr("rnnscope.analysis.own_data.training_lines", lambda run: set(drawn[1::2]))
    assert main([*words, "novel=true"]) == 0
    found = capsys.readouterr().out.removesuffix("\n").split("\n---\n")
    new = [text for text in drawn if text not in drawn[1::2]]
    assert found[: len(new)] == new
    assert len(found) == 12
    assert not set(drawn[1::2]) & set(found)
