"""Training without a val split: the newest weights are the best, and what needs a validation is refused before training."""

from pathlib import Path

import pytest
from conftest import TINY, train
from messages import user_error
from safetensors.torch import load_file

from rnnscope.analysis.evaluate import evaluate_run
from rnnscope.config.compose import compose_command
from rnnscope.config.schema import EvaluateConfig
from rnnscope.pipeline.fit import fit
from rnnscope.pipeline.options import RunOptions
from rnnscope.pipeline.reproduce import reproduce
from rnnscope.pipeline.resume import resume_run
from rnnscope.runs.load import load

pytestmark = pytest.mark.usefixtures("outputs")


def words(story: Path) -> list[str]:
    return ["dataset=text_files", f"dataset.corpus.path={story}", "dataset.split.val=0", "dataset.split.train=1"]


@pytest.mark.parametrize("schedule", [["schedule=cosine"], ["schedule=plateau", "schedule.watch=train/loss"]])
def test_it_trains_resumes_and_reproduces(story, schedule):
    plain = train(*words(story), *schedule)
    assert plain.status == "finished"
    assert "val/loss" not in plain.metrics
    weights = load_file(plain.run.weights)
    assert all((weights[name] == value).all() for name, value in load(str(plain.run.path)).model.state_dict().items())
    assert load(str(plain.run.path), "last").sample(length=5, seed=1) == load(str(plain.run.path)).sample(length=5, seed=1)
    assert reproduce(plain.run)[1].kind == "bit-identical"
    resumed = resume_run(plain.run, {"trainer.max_steps": 37})
    assert resumed.step == 37
    scores = evaluate_run(EvaluateConfig(run=str(plain.run.path), split="train"))[1].scores
    assert all(score.loss > 0 for score in scores.values())


def test_in_lightnings_loop(story):
    composition = compose_command([*TINY, *words(story), "callbacks=[learning_rate_monitor]"])
    watched = fit(composition.config, options=RunOptions(extensions=composition.extensions))
    assert watched.weights_hash == train(*words(story)).weights_hash


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("trainer.patience=2", ["trainer.patience", 2, "dataset.split.val"]),
        ("schedule=plateau", ["schedule.watch", "train/loss", "dataset.split.val"]),
    ],
)
def test_what_needs_a_validation(story, outputs, key, parts):
    with user_error(*parts):
        train(*words(story), key)
    assert not list(outputs.glob("runs/*/*"))


def test_what_there_is_to_score(story):
    run = train(*words(story)).run
    with user_error("split=val", "split=train"):
        evaluate_run(EvaluateConfig(run=str(run.path)))
