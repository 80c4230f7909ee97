"""What a run generates: the same for whoever asks, and what it makes of a prompt."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import train
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import rnnscope

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
