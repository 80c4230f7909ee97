"""A signal while training validates or samples: a checkpoint at once, and what was broken off is done when the run goes on."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import train
from recorded_names import NAMES, changes, names_of
from torture import what_differs

from rnnscope.config.compose import compose_command
from rnnscope.pipeline import callbacks
from rnnscope.pipeline.options import RunOptions
from rnnscope.pipeline.reproduce import reproduce
from rnnscope.pipeline.resume import resume_run
from rnnscope.runs import generation
from rnnscope.runs.journal import read_rows
from rnnscope.runs.record import Record
from rnnscope.runs.samples import read_samples

pytestmark = pytest.mark.usefixtures("outputs")


def raising(looks: Callable[..., Iterator[Any]], at: int) -> Callable[..., Iterator[Any]]:
    """Return `looks`, whose `at`-th call gets a signal in its midst."""
    calls = 0

    def look(*arguments: Any) -> Iterator[Any]:
        nonlocal calls
        calls += 1
        for number, found in enumerate(looks(*arguments)):
            if calls == at and number == 1:
                signal.raise_signal(signal.SIGTERM)
            yield found
            assert calls != at or number < 3, "it goes on for long"

    return look


def words(story: Path) -> list[str]:
    return [
        "dataset=text_files",
        f"dataset.corpus.path={story}",
        "model.dropout=0.2",
        "schedule=plateau",
        "trainer.keep_every=20",
    ]


@pytest.fixture(scope="module")
def whole(story: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNSCOPE_OUTPUTS", str(tmp_path_factory.mktemp("whole")))
        return train(*words(story))


PLACES: dict[str, tuple[Any, str]] = {"Validation": (callbacks, "val_windows"), "Samples": (generation, "generate")}


def broken_off(story: Path, look: str, at: int, *more: str) -> Any:
    """Train until a signal comes in the `at`-th look."""
    module, name = PLACES[look]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, raising(getattr(module, name), at))
        result = train(*words(story), *more)
    assert (result.status, result.step) == ("interrupted", 10 * at)
    return result


@pytest.mark.parametrize("at", [2, 3], ids=["on the way", "in the last step"])
@pytest.mark.parametrize("look", PLACES)
def test_it_leaves_at_once_and_goes_on_exactly(look, at, story, whole):
    run = broken_off(story, look, at).run
    saved = torch.load(run.checkpoints / "last.ckpt", weights_only=True)
    assert saved["owed"] == look
    more = NAMES["checkpoint"]["interrupted while it validated or sampled adds"]
    assert changes(names_of({"owed": saved["owed"]}), {"owed": more["owed"]}) == []
    assert resume_run(run).status == "finished"
    assert what_differs(whole.run.path, run.path) == []


CHANGED = {
    "trainer.val_tokens": 40,
    "trainer.val_every": 7,
    "monitor.sample_length": 5,
    "trainer.average": "ema",
    "trainer.max_steps": 40,
}


@pytest.mark.parametrize("at", [2, 3], ids=["on the way", "in the last step"])
@pytest.mark.parametrize("look", PLACES)
def test_changed_settings_count_from_the_next_step_on(look, at, story, whole):
    run = broken_off(story, look, at).run
    assert resume_run(run, dict(CHANGED)).status == "finished"
    rows, samples = ({int(row["step"]): row for row in read_rows(path.metrics)} for path in (run, whole.run)), []
    ours, theirs = rows
    assert ours[10 * at]["val/loss"] == theirs[10 * at]["val/loss"] != ""
    assert 7 * -(-(10 * at + 1) // 7) in ours
    for path in (run, whole.run):
        samples.append([sample for sample in read_samples(path.samples) if sample.step == 10 * at])
    assert samples[0] == samples[1] != []
    _, verdict = reproduce(run)
    assert verdict.kind == "bit-identical", verdict.lines


def test_it_goes_on_in_the_loop_of_lightning(story, whole):
    run = broken_off(story, "Validation", 3).run
    options = RunOptions(extensions=compose_command(["callbacks=[timer]"]).extensions)
    assert resume_run(run, options=options).status == "finished"
    assert run.metrics.read_bytes() == whole.run.metrics.read_bytes()


@pytest.mark.parametrize("look", PLACES)
def test_it_is_reproduced_as_far_as_it_was_recorded(look, story):
    run = broken_off(story, look, 2).run
    _, verdict = reproduce(run)
    assert verdict.kind == "bit-identical", verdict.lines


def test_a_run_whose_patience_is_exhausted_does_not_go_on(story):
    """The signal came after the validation that exhausted it."""
    more = ("trainer.patience=1", "optimizer.lr=1e-30", "trainer.max_steps=60")
    whole = train(*words(story), *more)
    at = whole.step // 10
    assert 1 < at < 6
    module, name = PLACES["Samples"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, raising(getattr(module, name), at))
        run = train(*words(story), *more).run
    resumed = resume_run(run)
    assert (resumed.status, resumed.step) == ("finished", whole.step)
    assert Record.read(run.record).values["stopped_early"]
    assert what_differs(whole.run.path, run.path) == []
