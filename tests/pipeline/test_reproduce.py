"""`reproduce` gives a verdict that can be believed: same bits where they are, the first step that differs where not."""

import csv
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from messages import assert_says, line_with
from torture import SAMPLES, SMALL, Kill, only_run, rnnscope, said, write_text

ROOT = Path(__file__).parents[2]
WORDS = [*SMALL, "trainer.max_steps=30", "trainer.checkpoint_every=10", "trainer.val_every=10", "monitor.scalars_every=2"]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    write_text(path, 1500)
    return path


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, text: Path) -> Path:
    folder = tmp_path_factory.mktemp("original")
    assert rnnscope(folder, "train", f"text={text}", *WORDS) == 0, said(folder)
    return only_run(folder)


@pytest.fixture
def parent(original: Path, tmp_path: Path) -> Path:
    """A copy of a run of 30 steps, elsewhere."""
    return Path(shutil.copytree(original, tmp_path / "somewhere" / "else"))


def reproduce(folder: Path, run: Path, *words: str) -> tuple[int, str]:
    """Return the exit status and what was printed from the verdict on."""
    outputs = folder / "reproduced"
    outputs.mkdir(exist_ok=True)
    status = rnnscope(outputs, "reproduce", f"run={run}", *words)
    return status, said(outputs)[said(outputs).rfind("verdict: ") :]


def edit_rows(run: Path, change: Callable[[list[dict[str, str]]], None]) -> None:
    """Change metrics.csv by way of its rows."""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    change(rows)
    with (run / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def edit_record(run: Path, **values: object) -> None:
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps({**record, **values}), encoding="utf-8")


def test_a_moved_run_without_checkpoints_and_events_is_bit_identical(parent: Path, tmp_path: Path) -> None:
    shutil.rmtree(parent / "checkpoints")
    for path in parent.glob("events.out*"):
        path.unlink()
    status, verdict = reproduce(tmp_path, parent)
    assert status == 0
    assert verdict.startswith("verdict: bit-identical\n")
    assert_says(verdict.splitlines()[1], "15 of 15 rows", "step 30", "9 samples", "weights")
    child = only_run(tmp_path / "reproduced")
    record = json.loads((child / "run.json").read_text(encoding="utf-8"))
    assert record["parent"]["path"] == str(parent)
    assert record["verdict"]["kind"] == "bit-identical"
    assert (child / "model.safetensors").read_bytes() == (parent / "model.safetensors").read_bytes()


def test_until_compares_the_first_steps_only(parent: Path, tmp_path: Path) -> None:
    edit_rows(parent, lambda rows: rows[-1].update({"train/loss": "9.5"}))
    status, verdict = reproduce(tmp_path, parent, "until=14")
    assert status == 0
    line = line_with(verdict, "7 of 7 rows", "step 14", "3 samples")
    assert "weights" not in line


@pytest.mark.parametrize(("row", "column"), [(4, "train/loss"), (-1, "train/loss"), (9, "best/loss"), (9, "learning_rate")])
def test_one_altered_row_is_a_divergence_there(parent: Path, tmp_path: Path, row: int, column: str) -> None:
    steps: list[str] = []

    def alter(rows: list[dict[str, str]]) -> None:
        steps.append(rows[row]["step"])
        rows[row][column] = repr(float(rows[row][column] or 0) + 1e-9)

    edit_rows(parent, alter)
    status, verdict = reproduce(tmp_path, parent)
    assert status == 1
    assert verdict.startswith(f"verdict: diverged at step {steps[0]}\n  {column}: ")
    line_with(verdict, "file", "changed")


def test_a_row_that_is_gone_is_a_divergence_there(parent: Path, tmp_path: Path) -> None:
    edit_rows(parent, lambda rows: rows.pop(4))
    status, verdict = reproduce(tmp_path, parent)
    assert status == 1
    assert verdict.startswith("verdict: diverged at step 10\n")
    assert_says(verdict.splitlines()[1], "row", "recorded", "14 of 15 rows")


def test_what_cannot_be_compared_is_refused_before_it_trains(parent: Path, tmp_path: Path) -> None:
    edit_rows(parent, lambda rows: rows[3].update({"step": "eight"}))
    assert reproduce(tmp_path, parent)[0] == 1
    (parent / "metrics.csv").unlink()
    os.mkfifo(parent / "metrics.csv")  # to open it would be to wait for ever
    assert reproduce(tmp_path, parent)[0] == 1
    complaints = said(tmp_path / "reproduced").splitlines()
    assert len(complaints) == 2
    assert_says(complaints[0], "rnnscope: error", "metrics.csv", "line 5")
    assert_says(complaints[1], "rnnscope: error", "metrics.csv", "file")
    assert not (tmp_path / "reproduced/runs").exists()


def test_an_altered_sample_is_a_divergence(parent: Path, tmp_path: Path) -> None:
    lines = (parent / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    lines[4] = json.dumps({**json.loads(lines[4]), "text": "something else"})
    (parent / "samples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    status, verdict = reproduce(tmp_path, parent)
    assert status == 1
    assert verdict.startswith("verdict: diverged at step 20\n")
    assert_says(verdict.splitlines()[1], "sample", "'something else'", "recorded")


def test_another_processor_may_round_a_loss_of_the_same_weights(parent: Path, tmp_path: Path) -> None:
    edit_rows(parent, lambda rows: rows[4].update({"train/loss": repr(float(rows[4]["train/loss"]) + 1e-7)}))
    edit_record(parent, hardware={"cpu": "a different one", "cores": 2, "gpus": []})
    status, verdict = reproduce(tmp_path, parent)
    assert status == 3
    assert verdict.startswith("verdict: equal within tolerance\n")
    line_with(verdict, "different", "cpu a different one ->")


@pytest.mark.parametrize(("shift", "status", "kind"), [(5e-5, 3, "equal within tolerance"), (2e-4, 1, "diverged at step 2")])
def test_small_drift_on_another_machine_is_tolerated(
    parent: Path, tmp_path: Path, shift: float, status: int, kind: str
) -> None:
    def drift(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row["train/loss"] = repr(float(row["train/loss"]) + shift)

    edit_rows(parent, drift)
    record = json.loads((parent / "run.json").read_text(encoding="utf-8"))
    packages = {**record["packages"], "torch": "1.0"}
    edit_record(parent, packages=packages, weights_sha256="0" * 64)
    found, verdict = reproduce(tmp_path, parent)
    assert found == status
    assert verdict.startswith(f"verdict: {kind}")
    line_with(verdict, "different", "torch 1.0 ->")


@pytest.mark.parametrize(("deterministic", "status"), [("true", 1), ("false", 3)])
def test_only_kernels_that_may_vary_are_allowed_to_drift_here(
    parent: Path, tmp_path: Path, deterministic: str, status: int
) -> None:
    def drift(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row["train/loss"] = repr(float(row["train/loss"]) + 5e-5)

    edit_rows(parent, drift)
    edit_record(parent, weights_sha256="0" * 64)
    config = (parent / "config.yaml").read_text(encoding="utf-8")
    changed = re.sub(r"(?m)^  deterministic: .*", f"  deterministic: {deterministic}", config)
    (parent / "config.yaml").write_text(changed, encoding="utf-8")
    assert reproduce(tmp_path, parent)[0] == status


def test_the_likeliest_cause_comes_first(parent: Path, tmp_path: Path) -> None:
    record = json.loads((parent / "run.json").read_text(encoding="utf-8"))
    edit_record(parent, packages={**record["packages"], "numpy": "0", "torch": "1.0"}, git_commit="0" * 40)
    edit_rows(parent, lambda rows: rows[0].update({"train/loss": "nan"}))
    status, verdict = reproduce(tmp_path, parent)
    assert status == 1
    causes = [line.split()[1] for line in verdict.splitlines() if line.startswith("  different: ")]
    assert causes[:3] == ["git_commit", "torch", "numpy"]
    line_with(said(tmp_path / "reproduced"), "git", "checkout", "0" * 40)


def test_what_a_run_went_on_with_is_a_cause_as_well(parent: Path, tmp_path: Path) -> None:
    record = json.loads((parent / "run.json").read_text(encoding="utf-8"))
    resumed = {**record["segments"][0], "from_step": 20, "changed": {}, "environment": ["torch 1.0 -> 2.0"]}
    edit_record(parent, segments=[*record["segments"], resumed], weights_sha256="0" * 64)
    edit_rows(parent, lambda rows: [row.update({"train/loss": repr(float(row["train/loss"]) + 5e-5)}) for row in rows[10:]])
    status, verdict = reproduce(tmp_path, parent)
    assert status == 3
    line_with(verdict, "different", "torch 1.0 -> 2.0", "step 20")


def test_the_text_may_lie_elsewhere_but_must_be_the_same(parent: Path, tmp_path: Path, text: Path) -> None:
    other = tmp_path / "a (moved) book.txt"
    shutil.copy(text, other)
    config = (parent / "config.yaml").read_text(encoding="utf-8").replace(str(text), "/nowhere/text.txt")
    (parent / "config.yaml").write_text(config, encoding="utf-8")
    assert reproduce(tmp_path, parent)[0] == 1
    assert "/nowhere/text.txt" in said(tmp_path / "reproduced").splitlines()[-1]
    assert reproduce(tmp_path, parent, f"text={other}")[0] == 0
    other.write_text("another text, long enough to be trained on. " * 100, encoding="utf-8")
    assert reproduce(tmp_path, parent, f"text={other}")[0] == 1
    assert_says(said(tmp_path / "reproduced").splitlines()[-1], "data", "changed", other)


def test_a_run_that_changed_on_its_way_is_replayed(tmp_path: Path, text: Path) -> None:
    words = [f"text={text}", *WORDS, *SAMPLES, "schedule=cosine", "schedule.warmup_steps=3", "trainer.max_steps=24"]
    assert rnnscope(tmp_path, "train", *words) == 0, said(tmp_path)
    run = only_run(tmp_path)
    words = ["trainer.max_steps=36", "trainer.val_every=7"]
    assert rnnscope(tmp_path, "resume", *words, kill=Kill("in a step, all written", 9)) == -9
    assert rnnscope(tmp_path, "resume", "optimizer.lr=0.5", "schedule.horizon=100") == 0, said(tmp_path)
    status, verdict = reproduce(tmp_path, run)
    assert status == 0, verdict
    child = only_run(tmp_path / "reproduced")
    assert (child / "metrics.csv").read_bytes() == (run / "metrics.csv").read_bytes()
    assert [segment["from_step"] for segment in json.loads((child / "run.json").read_text())["segments"]] == [0, 24, 30]


def test_the_latest_run_is_no_reproduction(tmp_path: Path, text: Path) -> None:
    assert rnnscope(tmp_path, "train", f"text={text}", *WORDS) == 0, said(tmp_path)
    run = only_run(tmp_path)
    assert rnnscope(tmp_path, "reproduce", "until=2") == 0, said(tmp_path)
    assert rnnscope(tmp_path, "evaluate") == 0, said(tmp_path)
    line_with(said(tmp_path), run, "checkpoint", "best")


def test_a_killed_run_is_compared_as_far_as_it_got(tmp_path: Path, text: Path) -> None:
    assert rnnscope(tmp_path, "train", f"text={text}", *WORDS, kill=Kill("in a row of metrics.csv", 9)) == -9
    status, verdict = reproduce(tmp_path, only_run(tmp_path))
    assert status == 0
    line_with(verdict, "7 of 7 rows", "step 14")


def test_a_run_stopped_by_the_clock_is_trained_to_its_step(tmp_path: Path, text: Path) -> None:
    words = ["trainer.max_steps=null", "trainer.max_minutes=0.01", "schedule=constant"]
    assert rnnscope(tmp_path, "train", f"text={text}", *WORDS, *words) == 0, said(tmp_path)
    step = json.loads((only_run(tmp_path) / "run.json").read_text(encoding="utf-8"))["progress"]["step"]
    status, verdict = reproduce(tmp_path, only_run(tmp_path))
    assert status == 0, verdict
    line_with(verdict, "rows", f"step {step}")


def test_train_from_takes_the_parents_config_and_shows_what_changed(parent: Path, tmp_path: Path) -> None:
    outputs = tmp_path / "new"
    outputs.mkdir()
    words = ["optimizer=sgd", "optimizer.lr=0.25", "trainer.max_steps=4", "monitor.sample_prompt=a b"]
    assert rnnscope(outputs, "train", f"from={parent}", *words) == 0, said(outputs)
    record = json.loads((only_run(outputs) / "run.json").read_text(encoding="utf-8"))
    old = json.loads((parent / "run.json").read_text(encoding="utf-8"))["config"]
    assert record["config"]["model.hidden_size"] == old["model.hidden_size"] == 16
    assert record["config"]["optimizer.name"] == "sgd"
    assert record["config"]["monitor.sample_prompt"] == "a b"
    assert record["parent"]["changed"]["optimizer.lr"] == [old["optimizer.lr"], 0.25]
    line_with(said(outputs), "trainer.max_steps", "30 -> 4")
    assert rnnscope(outputs, "train", "-m", f"from={parent}", "optimizer.lr=0.1,0.2") == 1
    assert_says(said(outputs).splitlines()[-1], "rnnscope: error", "from", "-m")


def test_the_kind_of_processor_is_the_first_cause(parent: Path, tmp_path: Path) -> None:
    record = json.loads((parent / "run.json").read_text(encoding="utf-8"))
    hardware = {**record["hardware"], "cpu": "A Processor of 1989", "gpus": ["a card that nothing ran on"]}
    edit_record(parent, hardware=hardware, packages={**record["packages"], "torch": "1.0"})
    edit_rows(parent, lambda rows: rows[0].update({"train/loss": "9.5"}))
    status, verdict = reproduce(tmp_path, parent)
    assert status == 1
    causes = [line for line in verdict.splitlines() if line.startswith("  different: ")]
    assert_says(causes[0], "cpu A Processor of 1989 ->")
    assert_says(causes[1], "torch 1.0 ->")


def test_every_installed_package_is_recorded_and_what_differs_can_be_installed(parent: Path, tmp_path: Path) -> None:
    listed = (parent / "environment.txt").read_text(encoding="utf-8").splitlines()
    assert {f"pytest=={pytest.__version__}", f"torch=={torch.__version__}"} <= set(listed)
    others = [line for line in listed if not line.startswith(("torch==", "pytest=="))]
    hostile = "evil; rm -rf ~==1"
    (parent / "environment.txt").write_text("\n".join([*others, "torch==1.0+cpu", "gone==2.1", hostile]), encoding="utf-8")
    assert reproduce(tmp_path, parent, "until=4")[0] == 0
    printed = said(tmp_path / "reproduced")
    line_with(printed, "packages differ", "torch 1.0+cpu ->", "gone 2.1 -> none", f"pytest none -> {pytest.__version__}")
    install = line_with(printed, "pip", "gone==2.1", "torch==1.0+cpu", "https://download.pytorch.org/whl/cpu")
    assert "pytest" not in install
    assert "evil" not in printed


def test_a_step_before_the_first_row_is_refused(parent: Path, tmp_path: Path) -> None:
    assert reproduce(tmp_path, parent, "until=1")[0] == 1
    assert_says(said(tmp_path / "reproduced").splitlines()[-1], "until=1", "step 2", "until=2")


def test_a_reproduction_stands_under_its_parent_and_is_none_of_the_runs(tmp_path: Path, text: Path) -> None:
    assert (
        rnnscope(
            tmp_path, "train", f"text={text}", *SMALL, "trainer.max_steps=3", "trainer.val_every=3", "monitor.scalars_every=1"
        )
        == 0
    ), said(tmp_path)
    run = only_run(tmp_path)
    assert rnnscope(tmp_path, "reproduce", "json=true") == 0, said(tmp_path)
    (child,) = (run / "reproductions").iterdir()
    assert_says(line_with(said(tmp_path), "reproduces"), run)
    lines = said(tmp_path).splitlines()
    shown = json.loads("\n".join(lines[lines.index("{") :]))
    assert (shown["verdict"], shown["status"], shown["trained_now"]) == ("bit-identical", 0, str(child))
    assert only_run(tmp_path) == run
    (tmp_path / "said.txt").unlink()
    assert rnnscope(tmp_path, "compare", "format=json") == 0
    assert [found["run"] for found in json.loads(said(tmp_path))] == [str(run.relative_to(tmp_path / "runs"))]
    assert rnnscope(tmp_path, "compare", "format=json", "reproductions=true", "filter=reproduces!=null") == 0
    assert str(child.relative_to(tmp_path / "runs")) in said(tmp_path)


def test_a_config_and_the_text_alone_train_again(original: Path, tmp_path: Path, text: Path) -> None:
    shutil.copy(original / "config.yaml", tmp_path / "it.yaml")
    moved = Path(shutil.copy(text, tmp_path / "moved.txt"))
    outputs = tmp_path / "new"
    outputs.mkdir()
    assert rnnscope(outputs, "train", f"from={tmp_path / 'it.yaml'}", f"data={moved}") == 0, said(outputs)
    assert (only_run(outputs) / "metrics.csv").read_bytes() == (original / "metrics.csv").read_bytes()
    assert (only_run(outputs) / "model.safetensors").read_bytes() == (original / "model.safetensors").read_bytes()
    (tmp_path / "it.yaml").write_text("optimizer: 3\n", encoding="utf-8")
    assert rnnscope(outputs, "train", f"from={tmp_path / 'it.yaml'}") == 1
    assert_says(said(outputs).splitlines()[-1], "it.yaml", "optimizer")
