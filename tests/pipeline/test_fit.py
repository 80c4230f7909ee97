"""What a training says of itself where a number would mislead."""

import json
import math
import re

from conftest import train
from messages import lacks, line_with

from rnnscope.pipeline.budgets import count_steps
from rnnscope.training.config import TrainerConfig


def test_many_passes_without_patience_are_said(story, outputs, capsys):
    words = ["dataset=text_files", f"dataset.corpus.path={story}", "dataset.batch_size=80", "dataset.sequence_length=40"]
    train(*words)  # 15 passes
    assert "20 passes" not in capsys.readouterr().out
    words.append("trainer.max_steps=41")
    train(*words)
    line_with(capsys.readouterr().out, "warning", "20 passes", "trainer.patience=5")
    train(*words, "trainer.patience=5")
    assert "20 passes" not in capsys.readouterr().out


def test_words_that_are_unknown_make_perplexity_the_number(story, outputs, capsys):
    words = ["dataset=text_files", f"dataset.corpus.path={story}", "dataset.level=word"]
    run = train(*words, "dataset.vocabulary_size=40").run
    last = line_with(capsys.readouterr().out, "finished", "best val/loss")
    loss = float(re.findall(r"val/loss ([\d.]+)", last)[0])
    val = json.loads(run.record.read_text("utf-8"))["data"]["splits"]["val"]
    unknown = val["unknown"] / val["tokens"]
    assert unknown > 0.1
    line_with(last, f"perplexity {math.exp(loss):.1f}", f"{100 * unknown:.1f} %")
    assert "bits per character" not in last
    train(*words[:2])
    assert not lacks(line_with(capsys.readouterr().out, "finished", "best val/loss"), ("bits per character",))


def test_windows_whose_only_token_is_start_change_nothing_but_are_counted(tmp_path, outputs):
    (tmp_path / "lines.txt").write_text("ab\nba\n" * 60, encoding="utf-8")
    words = ["dataset=text_files", f"dataset.corpus.path={tmp_path / 'lines.txt'}", "dataset.start_end=line"]
    result = train(*words, "dataset.batch_size=1", "dataset.sequence_length=1", "trainer.max_steps=12")
    assert (result.status, result.step) == ("finished", 12)
    assert math.isfinite(result.metrics["train/loss"])


def test_a_share_of_an_epoch_is_not_rounded_up():
    assert count_steps(TrainerConfig(max_epochs=0.07), 100) == 7
    assert count_steps(TrainerConfig(max_epochs=0.071), 100) == 8
