"""A run that was killed and resumed is the run that was never stopped: weights, rows, samples, curves, to the last bit."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from messages import assert_says, line_with, user_error
from torture import SAMPLES, SMALL, Kill, checkpoint_step, only_run, rnnscope, said, torture_case, what_differs, write_text

from rnnscope import load
from rnnscope.errors import UserError
from rnnscope.pipeline.resume import resume_run
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.journal import csv_line, read_rows

WORDS = [*SMALL, "trainer.max_steps=50", "trainer.checkpoint_every=10", "trainer.val_every=20", "monitor.scalars_every=5"]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    write_text(path, 1500)
    return f"text={path}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, text: str) -> Path:
    """A run of 50 steps that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    assert rnnscope(folder, "train", text, *WORDS) == 0, said(folder)
    return only_run(folder)


@pytest.fixture
def broken(tmp_path: Path, text: str) -> Path:
    """A run that was killed in step 37, seven steps after its last checkpoint."""
    assert rnnscope(tmp_path, "train", text, *WORDS, kill=Kill("in a step, all written", 37)) == -signal.SIGKILL, said(tmp_path)
    return only_run(tmp_path)


def last_line(folder: Path) -> str:
    return said(folder).splitlines()[-1]


def record_of(run: Path) -> dict:
    return json.loads((run / "run.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)  # which NaN would call


@pytest.mark.parametrize(
    ("words", "kills"),
    [
        (["optimizer=adamw"], [Kill("in a step", 5), Kill("in a checkpoint's file", 2), Kill("in a row of metrics.csv", 3)]),
        (["optimizer=sgd", "optimizer.momentum=0.9", *SAMPLES], [Kill("after a checkpoint moved", 3), Kill("in run.json", 4)]),
        (
            ["optimizer=rmsprop", "schedule=plateau", "trainer.state_reset=0.3"],
            [Kill("in validation", 2), Kill("before a checkpoint moves", 2)],
        ),
        (["model=gru", "optimizer=muon", "monitor.updates_every=7"], [Kill("in sampling", 2)]),
        (
            ["trainer.average=ema", "model.dropout=0.2", "model.weight_drop=0.2"],
            [Kill("in validation", 1), Kill("in a step", 37)],
        ),
        (
            ["trainer.average=asgd", "trainer.asgd_interval=1", "trainer.val_every=2", "optimizer.lr=2"],
            [Kill("in a step", 18), Kill("in a step", 12)],
        ),
        (["dataset.windows=many_to_one", "dataset.window_step=2", "optimizer=adagrad"], [Kill("in a step", 34)]),
    ],
    ids=["adamw-stream", "sgd-samples", "rmsprop-plateau", "gru-muon", "ema", "asgd", "adagrad-many_to_one"],
)
def test_killed_anywhere_and_resumed_is_bit_identical(tmp_path: Path, text: str, words: list[str], kills: list) -> None:
    rows = torture_case(tmp_path, "case", [text, *WORDS, *words], kills)
    assert len(rows) == len(kills)
    assert {row.verdict for row in rows} == {"bit-identical"}


def test_a_kill_from_outside_through_the_command_line(tmp_path: Path, text: str) -> None:
    environment = {**os.environ, "RNNSCOPE_OUTPUTS": str(tmp_path)}
    words = [text, *WORDS, "trainer.max_steps=1000000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rnnscope", "train", *words], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert any(line.startswith("step 100/") for line in process.stdout)
    process.kill()
    process.wait()
    process.stdout.close()
    run = only_run(tmp_path)
    step = checkpoint_step(run)
    assert step > 0
    assert rnnscope(tmp_path, "resume", f"trainer.max_steps={step + 15}") == 0, said(tmp_path)
    assert record_of(run)["progress"]["step"] == step + 15


def test_an_interrupted_run_says_so_and_goes_on(tmp_path: Path, text: str, whole: Path) -> None:
    words = [*WORDS, "trainer.max_steps=100000", "schedule.horizon=50"]
    assert rnnscope(tmp_path, "train", text, *words, after=2.0, number=signal.SIGUSR1) == 130, said(tmp_path)
    run = only_run(tmp_path)
    assert record_of(run)["status"] == "interrupted"
    assert record_of(run)["reason"] == "SIGUSR1"
    step = checkpoint_step(run)
    assert record_of(run)["progress"]["step"] == step
    assert rnnscope(tmp_path, "resume", f"trainer.max_steps={step + 1}") == 0, said(tmp_path)
    assert record_of(run)["status"] == "finished"


def test_damaged_last_checkpoint_falls_back_to_the_one_before(broken: Path, whole: Path) -> None:
    damage(broken / "checkpoints/last.ckpt")
    folder = broken.parents[2]
    assert rnnscope(folder, "resume") == 0, said(folder)
    line_with(said(folder), "warning", "last.ckpt", "damaged")
    line_with(said(folder), broken, "step 20", "previous.ckpt")
    assert record_of(broken)["segments"][1]["from_step"] == 20
    assert what_differs(whole, broken) == []


def test_a_finished_run_without_its_last_checkpoint_takes_its_last_steps_again(tmp_path: Path, text: str) -> None:
    assert rnnscope(tmp_path, "train", text, *WORDS) == 0, said(tmp_path)
    assert rnnscope(tmp_path, "resume", "trainer.max_steps=60") == 0, said(tmp_path)
    run = only_run(tmp_path)
    before = record_of(run)["weights_sha256"]
    damage(run / "checkpoints/last.ckpt")
    assert rnnscope(tmp_path, "resume") == 0, said(tmp_path)
    line_with(said(tmp_path), "step 50", "previous.ckpt")
    after = record_of(run)
    assert (after["progress"]["step"], after["weights_sha256"]) == (60, before)


def test_the_time_trained_goes_on_from_the_checkpoint(broken: Path) -> None:
    state = torch.load(broken / "checkpoints/last.ckpt", weights_only=True)
    state["monitors"]["Throughput"]["seconds"] = 3600.0
    torch.save(state, broken / "checkpoints/last.ckpt")
    words = ["trainer.max_steps=null", "trainer.max_minutes=60.001", "schedule.horizon=50"]
    assert rnnscope(broken.parents[2], "resume", *words, after=60.0) == 0, said(broken.parents[2])  # and not an hour
    assert 3600 < record_of(broken)["progress"]["seconds"] < 3700
    assert record_of(broken)["status"] == "finished"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["trainer.max_steps=30"], [30, "steps", "step 30", "trainer.max_steps=60"]),
        (["trainer.max_steps=null", "trainer.max_minutes=0.00001"], [1e-05, "minutes", "step 30", "trainer.max_minutes"]),
    ],
)
def test_a_budget_that_is_spent_is_refused(broken: Path, words: list[str], parts: list[object]) -> None:
    before = (broken / "run.json").read_bytes()
    assert rnnscope(broken.parents[2], "resume", *words) == 1
    assert_says(last_line(broken.parents[2]), *parts)
    assert (broken / "run.json").read_bytes() == before


def test_looks_without_a_new_best_are_counted_through_a_kill(tmp_path: Path, text: str) -> None:
    words = [*WORDS, "optimizer.lr=1e-30", "trainer.patience=3", "trainer.val_every=10", "schedule=constant"]
    assert rnnscope(tmp_path, "train", text, *words, kill=Kill("in a step, all written", 33)) == -signal.SIGKILL, said(tmp_path)
    assert rnnscope(tmp_path, "resume") == 0, said(tmp_path)
    record = record_of(only_run(tmp_path))
    assert (record["stopped_early"], record["progress"]["step"]) == (True, 40)


def damage(path: Path) -> None:
    """Flip a bit in the middle of a file, under all its names."""
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    with path.open("rb+") as file:
        file.write(contents)


def test_a_whole_best_checkpoint_is_newer_than_the_one_before(tmp_path: Path, text: str) -> None:
    words = [*WORDS, "trainer.val_every=15"]  # of which checkpoint 30 is the best, and 20 the one before
    assert rnnscope(tmp_path, "train", text, *words, kill=Kill("in a step, all written", 37)) == -signal.SIGKILL, said(tmp_path)
    checkpoints = only_run(tmp_path) / "checkpoints"
    contents = (checkpoints / "last.ckpt").read_bytes()
    (checkpoints / "best.ckpt").unlink()
    (checkpoints / "best.ckpt").write_bytes(contents)
    damage(checkpoints / "last.ckpt")
    assert rnnscope(tmp_path, "resume") == 0, said(tmp_path)
    line_with(said(tmp_path), only_run(tmp_path), "step 30", "best.ckpt")
    assert record_of(only_run(tmp_path))["segments"][1]["from_step"] == 30


def test_the_best_weights_are_of_steps_that_the_run_has(tmp_path: Path, text: str) -> None:
    """Its best checkpoint is of step 30 when it goes back to step 20, and on with a change: no later one beats the best."""
    words = [*WORDS, "trainer.val_every=15"]
    assert rnnscope(tmp_path, "train", text, *words, kill=Kill("in a step, all written", 37)) == -signal.SIGKILL, said(tmp_path)
    run = only_run(tmp_path)
    abandoned = (run / "model.safetensors").read_bytes()
    previous = run / "checkpoints/previous.ckpt"
    state = torch.load(previous, weights_only=True)
    state["monitors"]["Validation"] |= {"best": 0.001, "best_step": 10}
    torch.save(state, previous)
    damage(run / "checkpoints/last.ckpt")
    assert rnnscope(tmp_path, "resume", "optimizer.lr=0.5", "trainer.max_steps=25") == 0, said(tmp_path)
    line_with(said(tmp_path), "best.ckpt", "step 20")
    assert torch.load(run / "checkpoints/best.ckpt", weights_only=True)["task"]["step"] == 20
    exported = dict(load(str(run)).model.named_parameters())
    assert all(torch.equal(exported[name], state["state_dict"][name]) for name in exported)
    assert (run / "model.safetensors").read_bytes() != abandoned


def test_no_whole_checkpoint_is_refused_and_nothing_starts_from_scratch(broken: Path) -> None:
    folder = broken.parents[2]
    for path in (broken / "checkpoints").glob("*.ckpt"):
        path.write_bytes(path.read_bytes()[:-100])
    assert rnnscope(folder, "resume", f"run={broken}") == 1
    damaged = last_line(folder)
    assert_says(damaged, "rnnscope: error", "checkpoint")
    for path in (broken / "checkpoints").glob("*.ckpt"):
        path.unlink()
    assert rnnscope(folder, "resume", f"run={broken}") == 1
    assert_says(last_line(folder), "rnnscope: error", "checkpoint")
    assert last_line(folder) != damaged
    record = record_of(broken)
    assert record["status"] == "running"
    rows = (broken / "metrics.csv").read_bytes()
    record["progress"]["step"] = 0  # as it is before the second checkpoint
    (broken / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert rnnscope(folder, "resume", f"run={broken}") == 1
    assert (broken / "metrics.csv").read_bytes() == rows


def test_killed_before_its_first_checkpoint_it_begins_and_says_so(tmp_path: Path, text: str, whole: Path) -> None:
    assert rnnscope(tmp_path, "train", text, *WORDS, kill=Kill("in a checkpoint's file", 1)) == -signal.SIGKILL
    assert rnnscope(tmp_path, "resume", f"run={only_run(tmp_path)}") == 0, said(tmp_path)
    line_with(said(tmp_path), "stopped", "first step")
    assert what_differs(whole, only_run(tmp_path)) == []


def test_a_larger_budget_goes_on_with_the_recorded_schedule(tmp_path: Path, text: str) -> None:
    words = [text, *WORDS, "schedule=cosine", "schedule.warmup_steps=5", "schedule.final_fraction=0.25", "trainer.max_steps=30"]
    assert rnnscope(tmp_path, "train", *words) == 0, said(tmp_path)
    run = only_run(tmp_path)
    assert rnnscope(tmp_path, "resume") == 0
    assert_says(last_line(tmp_path), "finished", "step 30")
    assert rnnscope(tmp_path, "resume", "trainer.max_steps=40", "optimizer.weight_decay=0.3") == 0, said(tmp_path)
    record = record_of(run)
    assert record["resolved"] | {"total_steps": 40, "horizon": 30} == record["resolved"]
    assert record["segments"][1]["from_step"] == 30
    assert record["segments"][1]["changed"]["trainer.max_steps"] == [30, 40]
    state = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    (group,) = state["task"]["optimizer"]["param_groups"]
    assert group["weight_decay"] == 0.3
    assert group["lr"] == pytest.approx(record["config"]["optimizer.lr"] * record["config"]["schedule.final_fraction"])
    assert rnnscope(tmp_path, "resume", "trainer.max_steps=35") == 1
    assert_says(last_line(tmp_path), 35, "step 40", "trainer.max_steps")
    assert rnnscope(tmp_path, "resume", "trainer.max_steps=60", "schedule.horizon=60") == 0, said(tmp_path)
    (last,) = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["task"]["optimizer"]["param_groups"]
    rates = [float(row["learning_rate"]) for row in read_rows(run / "metrics.csv") if int(row["step"]) in (40, 45)]
    assert rates[1] > 1.2 * rates[0]  # at its lowest under the old horizon, on its way down again under the new one
    assert last["lr"] == pytest.approx(group["lr"], rel=0.01)


def test_a_run_that_is_killed_soon_after_it_got_a_larger_budget_goes_on(tmp_path: Path, text: str) -> None:
    longer, ends = ["trainer.max_steps=70", "trainer.checkpoint_every=30"], []
    for name, kill in (("whole", None), ("killed", Kill("in a step, all written", 4))):
        (folder := tmp_path / name).mkdir()
        assert rnnscope(folder, "train", text, *WORDS) == 0, said(folder)
        run = only_run(folder)
        assert rnnscope(folder, "resume", *longer, kill=kill) == (-signal.SIGKILL if kill else 0), said(folder)
        if kill:
            assert (checkpoint_step(run), record_of(run)["status"]) == (50, "running")
            assert rnnscope(folder, "resume") == 0, said(folder)
            assert rnnscope(folder, "reproduce", f"run={run}") == 0, said(folder)
        ends.append(run)
    assert record_of(ends[1])["progress"]["step"] == 70
    assert what_differs(*ends) == []


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_run_goes_on_in_a_different_precision(tmp_path: Path, text: str, cell: str) -> None:
    words = [text, *WORDS, f"model={cell}", "trainer.max_steps=20", "trainer.precision=bf16"]
    assert rnnscope(tmp_path, "train", *words) == 0, said(tmp_path)
    for steps, precision in ((30, "float32"), (40, "bf16")):
        words = [f"trainer.max_steps={steps}", f"trainer.precision={precision}"]
        assert rnnscope(tmp_path, "resume", *words) == 0, said(tmp_path)
        record = record_of(only_run(tmp_path))
        assert (record["requested"]["precision"], record["resolved"]["precision"]) == (precision, precision)


def test_changes_without_effect_are_said(tmp_path: Path, text: str) -> None:
    rates = ["schedule=step_map", "schedule.rates={0: 0.01, 5: 0.001}", "trainer.max_steps=10"]
    assert rnnscope(tmp_path, "train", text, *WORDS, *rates) == 0, said(tmp_path)
    words = ["trainer.max_steps=20", "schedule.rates.12=0.002", "optimizer.lr=3", "trainer.ema_decay=0.5"]
    assert rnnscope(tmp_path, "resume", *words, "trainer.val_tokens=50") == 0, said(tmp_path)
    for key in ("optimizer.lr", "trainer.ema_decay"):
        line_with(said(tmp_path), "warning", key, "no effect")
    line_with(said(tmp_path), "warning", "trainer.val_tokens", "best/loss")
    assert rnnscope(tmp_path, "resume", "trainer.max_steps=30") == 0
    assert "config.yaml has no" not in said(tmp_path)
    wild = ["trainer.max_steps=40", "schedule.rates.30=1e38", "trainer.clip_norm=null", "monitor.scalars_every=1"]
    assert rnnscope(tmp_path, "resume", *wild) == 1, said(tmp_path)
    assert rnnscope(tmp_path, "resume") == 1
    assert_says(last_line(tmp_path), "diverged", "schedule.rates.30")


def test_the_best_checkpoint_of_a_lost_step_is_lost_too(tmp_path: Path, text: str) -> None:
    assert rnnscope(tmp_path, "train", text, *WORDS, "optimizer.lr=0.05") == 0, said(tmp_path)
    run = only_run(tmp_path)
    assert record_of(run)["best"]["step"] == 50
    (run / "checkpoints/last.ckpt").unlink()
    assert rnnscope(tmp_path, "resume", "trainer.max_steps=45", "optimizer.lr=50") == 0, said(tmp_path)
    line_with(said(tmp_path), "best.ckpt", "step 50", "step 40")
    assert torch.load(run / "checkpoints/best.ckpt", weights_only=True)["task"]["step"] == 40
    kept = torch.load(run / "checkpoints/previous.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(weights, kept[name]) for name, weights in load(str(run)).model.named_parameters())


def test_a_diverged_run_goes_on_with_a_change_only(tmp_path: Path, text: str) -> None:
    wild = ["optimizer=sgd", "optimizer.lr=1e38", "schedule=constant", "trainer.clip_norm=null"]
    assert rnnscope(tmp_path, "train", text, *WORDS, *wild) == 1, said(tmp_path)
    run = only_run(tmp_path)
    assert record_of(run)["status"] == "diverged"
    assert rnnscope(tmp_path, "reproduce", f"run={run}") == 0, said(tmp_path)
    assert rnnscope(tmp_path, "resume", f"run={run}") == 1
    assert_says(last_line(tmp_path), "diverged")
    assert rnnscope(tmp_path, "resume", f"run={run}", "optimizer.lr=0.1") == 0, said(tmp_path)
    assert record_of(run)["status"] == "finished"
    assert record_of(run)["segments"][1]["from_step"] == 0


def test_what_does_not_fit_the_run_is_refused(broken: Path) -> None:
    folder = broken.parents[2]
    for word, parts in {
        "seed=2": ["seed"],
        "optimizer.name=sgd": ["optimizer.name"],
        "optimizer=sgd": ["optimizer", "keys"],
        "trainer.max_stepz=3": ["trainer.max_stepz", "trainer.max_steps"],
        "trainer.max_steps=many": ["trainer.max_steps", "many", "number"],
        "monitor.sample_prompt=(#=": ["monitor.sample_prompt", 3, "vocabulary"],
    }.items():
        assert rnnscope(folder, "resume", word) == 1
        assert_says(last_line(folder), *parts)
    assert len(record_of(broken)["segments"]) == 1


def test_a_vocabulary_of_a_different_run_is_refused(broken: Path) -> None:
    path = broken / "vocabulary.json"
    values = json.loads(path.read_text())
    values["tokens"][-2:] = values["tokens"][:-3:-1]
    path.write_text(json.dumps(values))
    with user_error(path, "changed", "restore"):
        resume_run(RunFolder(broken))


def test_a_changed_text_is_refused(broken: Path, text: str, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(Path(text[5:]).read_text(encoding="utf-8") + "one line more\n", encoding="utf-8")
    assert rnnscope(tmp_path, "resume", f"text={other}") == 1
    assert_says(last_line(tmp_path), "data", "changed", "text")
    own = Path(text[5:])
    contents = own.read_bytes()
    try:
        own.write_bytes(contents.replace(b"a", b"b", 1))
        assert rnnscope(tmp_path, "resume") == 1
        assert_says(last_line(tmp_path), "data", "changed", own, "train")
        own.rename(own.with_name("moved.txt"))
        assert rnnscope(tmp_path, "resume") == 1
        assert_says(last_line(tmp_path), own, "data=...")
    finally:
        own.write_bytes(contents)
    other.write_bytes(contents)
    assert rnnscope(tmp_path, "resume", f"text={other}") == 0, said(tmp_path)


def test_other_code_and_packages_are_noticed(broken: Path) -> None:
    record = record_of(broken)
    record["packages"]["torch"] = "1.0"
    (broken / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with (broken / "code.patch").open("a", encoding="utf-8") as file:
        file.write("# another idea\n")
    folder = broken.parents[2]
    assert rnnscope(folder, "resume") == 0, said(folder)
    other = record_of(broken)["segments"][1]["environment"]
    assert f"torch 1.0 -> {torch.__version__}" in other
    line_with(said(folder), f"torch 1.0 -> {torch.__version__}")
    assert ("code.patch" in " ".join(other)) == (record["git_commit"] is not None)


def test_what_an_older_version_did_not_record_is_said_and_kept(broken: Path) -> None:
    config = (broken / "config.yaml").read_text(encoding="utf-8")
    older = "".join(line for line in config.splitlines(keepends=True) if "state_reset" not in line)
    (broken / "config.yaml").write_text(older, encoding="utf-8")
    folder = broken.parents[2]
    assert load(str(broken)).sample("", 5, seed=1)
    assert rnnscope(folder, "resume") == 0, said(folder)
    line_with(said(folder), "config.yaml", "trainer.state_reset", 0.05)
    assert sorted((broken / "config.yaml").read_text(encoding="utf-8")) == sorted(config)


def test_a_run_in_progress_is_left_alone(broken: Path) -> None:
    from rnnscope.runs.lock import RunLock

    folder = broken.parents[2]
    with RunLock(RunFolder(broken).lock):
        assert rnnscope(folder, "resume") == 1
    assert_says(last_line(folder), "rnnscope: error", broken, "process")


def test_closer_watching_and_minutes_change_no_result(tmp_path: Path, text: str, whole: Path) -> None:
    words = ["trainer.checkpoint_minutes=0.000001", "trainer.keep_every=25", "monitor.histograms_every=3"]
    assert rnnscope(tmp_path, "train", text, *WORDS, *words) == 0, said(tmp_path)
    run = only_run(tmp_path)
    assert (run / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    assert record_of(run)["weights_sha256"] == record_of(whole)["weights_sha256"]
    assert {path.name for path in (run / "checkpoints").glob("step_*.ckpt")} == {"step_25.ckpt", "step_50.ckpt"}
    previous = torch.load(run / "checkpoints/previous.ckpt", weights_only=True)
    assert previous["task"]["step"] == 48  # the clock is looked at when something else is: at every third step


def test_a_full_disk_leaves_the_run_resumable(tmp_path: Path, text: str, whole: Path) -> None:
    assert rnnscope(tmp_path, "train", text, *WORDS, kill=Kill("on a full disk", 4)) == 1
    run = only_run(tmp_path)
    assert_says(last_line(tmp_path), "rnnscope: error", "No space left on device", f"rnnscope resume run={run.parent.name}")
    assert record_of(run)["status"] == "failed"
    assert rnnscope(tmp_path, "resume") == 0, said(tmp_path)
    assert what_differs(whole, run) == []


@pytest.fixture
def copied(trained_run, tmp_path: Path, outputs: Path) -> RunFolder:
    """A finished run of 30 steps, to be made a run of another version."""
    return RunFolder(Path(shutil.copytree(trained_run.path, outputs / "runs" / "copied" / "run")))


def edit_checkpoint(run: RunFolder, change: Callable[[dict], None]) -> None:
    path = run.checkpoints / "last.ckpt"
    state = torch.load(path, weights_only=True)
    change(state)
    path.unlink()  # best.ckpt may be the same file
    torch.save(state, path)


def test_a_monitor_more_and_one_less_are_said_and_the_run_goes_on(copied: RunFolder) -> None:
    def another_version(state: dict) -> None:
        del state["monitors"]["Validation"]
        state["monitors"] |= {"Attention": {"heads": torch.ones(3)}, "Quiet": {}}

    edit_checkpoint(copied, another_version)
    result = resume_run(copied, {"trainer.max_steps": 40})
    assert (result.status, result.step) == ("finished", 40)
    lines = copied.log.read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if "last.ckpt" in line and "Validation" in line and "default" in line]) == 1
    assert len([line for line in lines if "last.ckpt" in line and "Attention" in line and "ignore" in line]) == 1
    assert not [line for line in lines if "Quiet" in line or "Throughput" in line]
    assert record_of(copied.path)["best"]["step"] == 40  # of the looks since: the ones before are forgotten
    saved = torch.load(copied.checkpoints / "last.ckpt", weights_only=True)
    assert saved["monitors"]["Validation"]["best_step"] == 40
    assert "Attention" not in saved["monitors"]


def test_a_state_that_its_monitor_cannot_have_is_refused_by_name(copied: RunFolder) -> None:
    edit_checkpoint(copied, lambda state: state["monitors"]["Validation"].update(best="low"))
    before = copied.record.read_bytes()
    with pytest.raises(UserError, match=r"last\.ckpt: .*Validation: best is 'low'.* delete this file") as refusal:
        resume_run(copied, {"trainer.max_steps": 40})
    assert "\n" not in str(refusal.value)
    assert copied.record.read_bytes() == before
    (copied.checkpoints / "last.ckpt").unlink()
    assert resume_run(copied, {"trainer.max_steps": 40}).status == "finished"
    assert record_of(copied.path)["segments"][1]["from_step"] == 20


def test_rows_of_an_older_version_are_gone_on_with(copied: RunFolder, trained_run) -> None:
    rows = list(read_rows(copied.metrics))
    rest = [{key: value for key, value in row.items() if key != "val/accuracy"} for row in rows]
    older = [{"step": row["step"], "fever": "37.5"} | row for row in rest]
    lines = [older[0].keys(), *(row.values() for row in older)]
    copied.metrics.write_text("".join(csv_line(list(line)) + "\n" for line in lines), encoding="utf-8")
    edit_checkpoint(copied, lambda state: state["offsets"].update(metrics=copied.metrics.stat().st_size))
    shutil.copytree(trained_run.path, unchanged := copied.path.with_name("unchanged"))
    for run in (copied, RunFolder(unchanged)):
        assert resume_run(run, {"trainer.max_steps": 40}).step == 40
    expected = [row | {"fever": ""} for row in list(read_rows(unchanged / "metrics.csv"))[len(rows) :]]
    assert any(row.pop("val/accuracy") for row in expected)
    assert list(read_rows(copied.metrics)) == [*older, *expected]
    said = [line for line in copied.log.read_text(encoding="utf-8").splitlines() if "metrics.csv" in line]
    assert len(said) == 1
    assert "val/accuracy" in said[0]
