"""What runs on disk are read by stays as it is called: each name is in recorded_names.yaml, and each of those is there."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import TINY, train
from recorded_names import NAMES, changes, listed, merged, names_of
from safetensors.torch import load_file
from sweep_tools import folder_of, manifest, sweep

from rnnscope.cli import main
from rnnscope.config.compose import compose_command
from rnnscope.data.vocabulary import LEVELS
from rnnscope.model.cells.registry import CELLS
from rnnscope.pipeline.fit import fit
from rnnscope.pipeline.options import RunOptions
from rnnscope.pipeline.reproduce import reproduce
from rnnscope.pipeline.resume import resume_run
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.journal import read_rows
from rnnscope.runs.segments import flatten
from rnnscope.training.optimizers import OPTIMIZERS
from rnnscope.training.schedules import SCHEDULES

SPLIT = ["dataset.split.train=0.8", "dataset.split.val=0.1", "dataset.split.test=0.1", "trainer.keep_every=20"]
CASES = {  # together they have every cell, level, optimizer and schedule
    "lstm": ["optimizer=adamw", "schedule=cosine"],
    "lstm with muon": ["optimizer=muon"],
    "gru of two layers": ["model=gru", "model.num_layers=2", "optimizer=adam", "schedule=plateau", "dataset.level=byte"],
    "rnn on one-hot input": [
        "model=rnn",
        "model.input=one_hot",
        "optimizer=sgd",
        "schedule=step_map",
        "schedule.rates={0: 0.1}",
    ],
    "words, tied, without bias": [
        "model=mogrifier_lstm",
        "model.rounds=2",
        "model.rank=2",
        "model.tied_weights=true",
        "model.bias=false",
        "optimizer=rmsprop",
        "schedule=constant",
        "dataset.level=word",
    ],
    "samples, with peepholes": [
        "model=peephole_lstm",
        "optimizer=adagrad",
        "schedule=exponential",
        "dataset.windows=samples",
        "dataset.start_end=line",
    ],
}


@dataclass
class Case:
    """A run and what it was made of."""

    name: str
    run: RunFolder
    config: dict[str, Any]

    @property
    def columns(self) -> list[str]:
        """The columns that metrics.csv should have."""
        found = list(NAMES["metrics.csv"]["every run"])
        found += [f"update_size/{name}" for name in NAMES["parameters"][self.name]]
        found += NAMES["metrics.csv"]["words add"] if self.config["dataset"]["level"] == "word" else []
        return sorted(name for name in found if "<" not in name)


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, story: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNSCOPE_OUTPUTS", str(tmp_path_factory.mktemp("outputs")))
        run = train("dataset=text_files", f"dataset.corpus.path={story}", *SPLIT, *CASES[request.param]).run
        yield Case(request.param, run, yaml.safe_load(run.config.read_text(encoding="utf-8")))


@pytest.fixture
def copied(trained_run: RunFolder, outputs: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(trained_run.path, outputs / "runs" / "copied" / "run")))


def record_of(run: RunFolder) -> dict[str, Any]:
    return json.loads(run.record.read_text(encoding="utf-8"))


def checkpoint_of(run: RunFolder) -> dict[str, Any]:
    return torch.load(run.checkpoints / "last.ckpt", weights_only=True)


def files_of(run: RunFolder) -> set[str]:
    """Return the files of a run folder by their names in the list."""
    paths = [str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()]
    return {re.sub(r"step_\d+", "step_<n>", re.sub(r"tfevents\..*", "tfevents.<host>", path)) for path in paths}


def test_every_choice_has_a_case() -> None:
    words = [word for words in (["model=lstm", "dataset.level=char"], *CASES.values()) for word in words]
    for group, known in {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "model": CELLS, "dataset.level": LEVELS}.items():
        assert {word.partition("=")[2] for word in words if word.startswith(f"{group}=")} == set(known)


def test_parameters(case: Case) -> None:
    parameters, more = NAMES["parameters"][case.name], NAMES["state_dict adds"].get(case.name, [])
    assert sorted(load_file(case.run.weights)) == sorted(parameters)
    assert sorted(checkpoint_of(case.run)["state_dict"]) == sorted([*parameters, *more])


def test_config(case: Case) -> None:
    names = [case.config[group]["name"] for group in ("optimizer", "schedule")]
    optimizer, schedule = (NAMES["config.yaml"][f"{group} adds"] for group in ("optimizer", "schedule"))
    more = {"optimizer": optimizer[names[0]], "schedule": schedule[names[1]]}
    assert changes(names_of(case.config), listed("config.yaml", more)) == []


def test_vocabulary(case: Case) -> None:
    assert changes(names_of(json.loads(case.run.vocabulary.read_text(encoding="utf-8"))), NAMES["vocabulary.json"]) == []


def test_record(case: Case) -> None:
    record = record_of(case.run)
    assert changes(names_of(record), listed("run.json")) == []
    assert record["config"].keys() == flatten(case.config).keys()
    measured = {*case.columns, *NAMES["timings.csv"]} - {"step", "epoch", "tokens"}
    assert record["last"].keys() == checkpoint_of(case.run)["monitors"]["Recorder"]["latest"].keys() == measured


def test_checkpoint(case: Case) -> None:
    more = [NAMES["checkpoint"].get(f"{choice} adds") for choice in (case.config["schedule"]["name"], case.name)]
    assert changes(names_of(checkpoint_of(case.run)), listed("checkpoint", *more)) == []


def test_columns_and_lines(case: Case) -> None:
    assert sorted(next(read_rows(case.run.metrics))) == case.columns
    assert sorted(next(read_rows(case.run.timings))) == sorted(NAMES["timings.csv"])
    samples = [json.loads(line) for line in case.run.samples.read_text(encoding="utf-8").splitlines()]
    assert changes(names_of(samples), listed("samples.jsonl", NAMES["samples.jsonl"].get(f"{case.name} adds"))) == []


def test_files(case: Case) -> None:
    files = NAMES["files"]
    assert files_of(case.run) - {*files["uncommitted changes"]} == {*files["every run"], *files["keep_every"]}


def test_record_of_a_resumed_run(copied: RunFolder) -> None:
    resume_run(copied, {"trainer.max_steps": 32})
    assert changes(names_of(record_of(copied)), listed("run.json", NAMES["run.json"]["resumed adds"])) == []


def test_record_of_a_reproduction(trained_run: RunFolder, outputs: Path) -> None:
    child, _ = reproduce(trained_run, until=2)
    more = [NAMES["run.json"][name] for name in ("with a parent adds", "reproduced adds")]
    assert changes(names_of(record_of(child)), listed("run.json", *more)) == []


@pytest.mark.parametrize(("key", "name"), [("init_from", "init_from adds"), ("from", "train from adds")])
def test_record_of_a_run_that_starts_from_another(copied: RunFolder, outputs: Path, story: Path, key: str, name: str) -> None:
    words = [f"text={story}", *TINY, *SPLIT] if key == "init_from" else ["trainer.max_steps=3"]
    assert main(["train", f"{key}={copied.path}", *words]) == 0
    (path,) = set(outputs.glob("runs/*/*/run.json")) - {copied.record}
    more = [NAMES["run.json"][name] for name in ("with a parent adds", name)]
    assert changes(names_of(record_of(RunFolder(path.parent))), listed("run.json", *more)) == []


def test_a_run_with_an_average_and_penalties(story: Path, outputs: Path) -> None:
    words = [*SPLIT, "dataset=text_files", f"dataset.corpus.path={story}", "trainer.activation_penalty=2"]
    plain, run = train(*words[:-1]).run, train(*words, "trainer.average=ema").run
    assert changes(names_of(checkpoint_of(run)), listed("checkpoint", NAMES["checkpoint"]["average adds"])) == []
    assert changes(names_of(record_of(run)), listed("run.json")) == []
    columns, more = (set(next(read_rows(found.metrics))) for found in (plain, run))
    assert more - columns == {*NAMES["metrics.csv"]["penalties add"]}


def test_a_run_with_callbacks(story: Path, outputs: Path) -> None:
    words = [*TINY, *SPLIT, "dataset=text_files", f"dataset.corpus.path={story}", "callbacks=[learning_rate_monitor]"]
    composition = compose_command(words)
    run = fit(composition.config, options=RunOptions(extensions=composition.extensions)).run
    assert changes(names_of(record_of(run)), listed("run.json", NAMES["run.json"]["callbacks or plug-ins add"])) == []
    assert changes(names_of(checkpoint_of(run)), listed("checkpoint", NAMES["checkpoint"]["callbacks add"])) == []
    files = NAMES["files"]
    known = {*files["every run"], *files["keep_every"], *files["callbacks"]}
    assert files_of(run) - {*files["uncommitted changes"]} == known
    assert all("step" in json.loads(line) for line in run.logged.read_text(encoding="utf-8").splitlines())


def test_a_job_of_a_sweep(story: Path, outputs: Path) -> None:
    assert sweep(story, "optimizer.lr=1e-3,3e-3", *SPLIT[:3]) == 0
    found = manifest(folder_of(outputs))
    name, _ = found["jobs"]
    job = RunFolder(folder_of(outputs) / name)
    assert changes(names_of({**found, "jobs": {"<job>": found["jobs"][name]}}), NAMES["sweep.yaml"]) == []
    assert changes(names_of(record_of(job)), listed("run.json")) == []
    files = NAMES["files"]
    assert files_of(job) - {*files["uncommitted changes"]} == {*files["every run"], *files["command line"]}


def test_this_test_sees_what_is_gone_and_what_is_new() -> None:
    wanted = {"a": None, "b": {"c": None, "d": {"e": None}}, "f": "elsewhere"}
    assert changes(names_of({"a": 1, "b": [{"c": 2}, {"d": {"e": []}}], "f": {"g": 1}}), wanted) == []
    gone, new = "is gone: older runs have it", "is new: add it to recorded_names.yaml"
    assert changes(names_of({"a": {"h": 1}, "b": {"c": 2, "d": 3}}), wanted) == [
        f"f {gone}",
        f"a > h {new}",
        f"b > d > e {gone}",
    ]
    assert merged({"a": {"b": None}}, {"a": {"c": None}, "d": None}) == {"a": {"b": None, "c": None}, "d": None}
