"""A run says what became of the claims of its experiment, records it, and `compare` shows it."""

import importlib
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import TINY
from messages import assert_says, line_with
from recorded_names import NAMES, changes, listed, names_of

from rnnscope.cli import main
from rnnscope.config.compose import compose_train
from rnnscope.pipeline.claims import changed_on_the_way
from rnnscope.pipeline.run import Run, train
from rnnscope.runs.load import load
from rnnscope.runs.record import Record

SMALL = ["experiment=hello", "trainer.threads=1", "monitor.sample_length=0", "monitor.updates_every=1000"]


@pytest.fixture(scope="module")
def hello(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNSCOPE_OUTPUTS", str(tmp_path_factory.mktemp("outputs")))
        return train(SMALL)


def test_the_experiment_holds_and_says_so(hello, capsys, monkeypatch):
    (claim,) = hello.record["claims"]
    assert (claim["verdict"], claim["ours"], hello.record["overridden"]) == ("held", 1.0, [])
    assert hello.load().sample("h", 4, temperature=0) == "hello"
    assert_says(hello.folder.log.read_text(encoding="utf-8").splitlines()[-1], "claim held", "sample/recalled", "1")
    assert changes(names_of(hello.record), listed("run.json", NAMES["run.json"]["expect adds"])) == []
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(hello.path.parents[2]))
    assert main(["evaluate", f"run={hello.path}", "split=train"]) == 0
    line_with(capsys.readouterr().out, "6-gram of the training split")  # of START and five letters
    assert main(["compare"]) == 0
    assert_says(line_with(capsys.readouterr().out, hello.path.name, "finished"), "held")


def test_the_table_of_the_claims_does_not_train_again_what_is_there(hello, tmp_path, monkeypatch):
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(hello.path.parents[2]))
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples"))
    claims = importlib.import_module("claims")
    monkeypatch.setattr(claims.subprocess, "run", lambda *words, **how: pytest.fail("it trained"))
    monkeypatch.setattr(claims, "PAGE", tmp_path / "page.md")
    claims.PAGE.write_text(f"before\n{claims.BEGIN}old\n{claims.END}after\n", encoding="utf-8")
    claims.write(claims.rows("hello"))
    before, *rows, after = claims.PAGE.read_text(encoding="utf-8").splitlines()
    assert (before, after) == ("before", "after")
    (row,) = [row for row in rows if row.startswith("| `")]
    assert_says(row, "sample/recalled", "1: held", "rnnscope train experiment=hello")
    assert claims.finished("hello", replace(compose_train(SMALL), seed=2)) is None


def test_nothing_is_judged_where_a_key_was_set(outputs, capsys):
    run = train([*SMALL, "trainer.max_steps=3", "optimizer.lr=0.2"])
    assert_says(line_with(capsys.readouterr().out, "claim not judged"), "optimizer.lr, trainer.max_steps")
    assert run.record["claims"][0]["verdict"] == "not judged"
    run.resume("trainer.max_steps=4")
    assert_says(line_with(capsys.readouterr().out, "claim not judged"), "optimizer.lr, trainer.max_steps")
    assert main(["train", f"from={run.path}", "seed=2"]) == 0
    assert_says(line_with(capsys.readouterr().out, "claim not judged"), "optimizer.lr, trainer.max_steps")


def test_neither_a_command_nor_the_new_place_of_a_text_keeps_a_claim_from_being_judged(story, outputs, tmp_path, capsys):
    sizes = {"model": {"hidden_size": 16, "embedding_size": 8}, "dataset": {"corpus": {"path": str(story)}}}
    steps = {"trainer": {"max_steps": 2, "val_every": 2, "threads": 1}, "monitor": {"sample_length": 0}}
    claim = {"metric": "val/loss", "value": 99, "direction": "at_most", "source": "me"}
    (tmp_path / "conf/experiment").mkdir(parents=True)
    mine = yaml.safe_dump({"defaults": [{"override /dataset": "text_files"}], **sizes, **steps, "expect": [claim]})
    (tmp_path / "conf/experiment/mine.yaml").write_text(f"# @package _global_\n{mine}")
    (tmp_path / "moved.txt").write_bytes(story.read_bytes())
    data, first = f"data={tmp_path / 'moved.txt'}", ["train", f"--config-dir={tmp_path / 'conf'}", "experiment=mine", "name=it"]
    for words, held in (
        ([*first, "notify=true"], True),
        (["train", "from=it", data, "seed=2", "name=again"], True),
        (["train", "from=again", f"text={story}"], False),
    ):
        assert main(words) == 0
        line_with(capsys.readouterr().out, "claim held" if held else "claim not judged")
    moved = {"dataset.corpus.path": ["a", "b"], "dataset.corpus.url": ["c", None], "trainer.patience": [None, 3]}
    resumed = Record(tmp_path, {"segments": [{"from_step": 0}, {"from_step": 1, "changed": moved}]})
    assert changed_on_the_way(resumed) == ["trainer.patience"]


def test_claims_of_a_command_line(story, outputs, capsys):
    claims = [
        "{metric: train/loss, step: 2, value: 9, direction: at_most, source: me}",
        "{metric: parameters, value: 1, source: me}",
    ]
    run = train([*TINY, f"dataset.corpus.path={story}", f"expect=[{','.join(claims)}]"])
    loss = dict(zip(*run.curve("train/loss"), strict=True))[2]
    assert [(claim["verdict"], claim["ours"]) for claim in run.record["claims"]] == [
        ("held", loss),
        ("not held", sum(weights.numel() for weights in load(str(run.path)).model.parameters())),
    ]


def test_a_claim_that_nobody_could_judge_is_refused_before_the_first_step(story, outputs, capsys):
    words = [*TINY, f"text={story}", "expect=[{metric: val/los, value: 1, source: me}]"]
    assert main(["train", *words]) == 1
    assert_says(capsys.readouterr().err.splitlines()[-1], "metric=val/los", "val/loss", "parameters")
    assert not list(outputs.glob("runs/*/*"))


def test_a_run_that_diverged_before_any_checkpoint_has_no_speed(story, outputs):
    expect = "expect=[{metric: seconds_per_step, value: 9, direction: at_most, source: me}]"
    words = ["optimizer=sgd", "optimizer.lr=1e38", "trainer.clip_norm=null", "monitor.scalars_every=1"]
    run = train([*TINY, f"text={story}", *words, expect])
    assert (run.record["status"], run.record["claims"][0]["verdict"]) == ("diverged", "not judged")


def test_nothing_is_judged_of_a_config_that_was_changed(hello, outputs, capsys):
    assert main(["train", f"from={hello.folder.config}", "optimizer.lr=0.3", "trainer.max_steps=2", "name=x"]) == 0
    assert_says(line_with(capsys.readouterr().out, "claim not judged"), "optimizer.lr")


def test_the_loss_of_a_window_as_min_char_rnn_smooths_it(outputs, tmp_path):
    """Against its own rule, step by step."""
    words = ["experiment=hello", "trainer.threads=1", "trainer.max_steps=20", "monitor.sample_length=0"]
    expect = "expect=[{metric: train/smoothed_window_loss, value: 0, source: me}]"
    run = train([*words, "monitor.scalars_every=1", expect])
    smooth = math.log(7) * 5
    for loss in run.curve("train/loss")[1]:
        smooth = smooth * 0.999 + loss * 5 * 0.001
    assert run.record["claims"][0]["ours"] == pytest.approx(smooth, rel=1e-9)


def test_novel_texts_are_those_that_training_lacks(outputs, tmp_path: Path):
    (tmp_path / "names.txt").write_text("ab\nba\n" * 50, encoding="utf-8")
    words = [*TINY, f"dataset.corpus.path={tmp_path / 'names.txt'}", "dataset.corpus.lines=true", "dataset.windows=samples"]
    words += ["dataset.start_end=document", "trainer.max_steps=60", "optimizer.lr=0.02", "schedule=constant"]
    run = train([*words, "expect=[{metric: sample/novel, value: 0, source: me}]"])
    pieces = run.load().stream(length=200, temperature=1.0, seed=1, count=1000)
    texts = ["".join(parts).rstrip("\n") for parts in zip(*pieces, strict=True)]
    share = sum(text not in ("ab", "ba", "") for text in texts) / 1000
    assert json.loads(run.folder.record.read_text())["claims"][0]["ours"] == share
    assert 0 < share < 0.9


def test_the_loss_on_the_test_split_is_what_evaluate_prints(story, outputs, capsys):
    words = [*TINY, f"text={story}", "dataset.split={train: 0.8, val: 0.1, test: 0.1}"]
    claims = [f"{{metric: {metric}, value: 9, source: me}}" for metric in ("test/loss", "seconds_per_step")]
    run = train([*words, f"expect=[{','.join(claims)}]"])
    loss, seconds = (claim["ours"] for claim in run.record["claims"])
    capsys.readouterr()
    assert main(["evaluate", f"run={run.path}", "split=test", "json=true"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert loss == pytest.approx(scores["state carried over all of it"]["loss"], rel=1e-6)
    assert 0 < seconds < 60
