"""Several processes that train one model, started by the real command: the losses of one process, and resumed bit by bit."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import TINY, train
from messages import assert_says, error_line, line_with, user_error
from processes import Command
from recorded_names import NAMES, changes, names_of
from torture import SAMPLES, what_differs

from rnnscope.cli import main
from rnnscope.config.compose import compose_train
from rnnscope.pipeline.callbacks import synchronization_points
from rnnscope.pipeline.options import RunOptions, StopAt
from rnnscope.training.config import TrainerConfig
from rnnscope.training.distributed.processes import count_devices, find_processes
from rnnscope.training.randomness import seed_of_process

DDP = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", *TINY[1:]]
SCRIPT = Path(sys.executable).with_name("rnnscope")  # as a person types it
LONG = [  # a second or two, in which signals arrive
    "dataset.batch_size=8",
    "trainer.max_steps=450",
    "trainer.val_every=150",
    "trainer.checkpoint_every=50",
    "monitor.lines_every=50",
    "model.dropout=0.2",
    "trainer.state_reset=0.2",
    "schedule=plateau",
    "trainer.average=ema",
]


def words_of(text: Path) -> list[str]:
    return ["train", f"text={text}", *DDP]


def start(outputs: Path, *words: str) -> Command:
    outputs.mkdir(exist_ok=True)
    number = len(list(outputs.glob("said-*")))
    return Command(words, outputs / f"said-{number}", outputs / f"errors-{number}", RNNSCOPE_OUTPUTS=str(outputs))


def run_script(outputs: Path, *words: str) -> tuple[int, str, str]:
    """Run a command as it is installed, and return its exit status and what it printed."""
    command = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "rnnscope"]
    environment = {**os.environ, "RNNSCOPE_OUTPUTS": str(outputs)}
    done = subprocess.run([*command, *words], env=environment, text=True, capture_output=True, timeout=100)
    return done.returncode, done.stdout, done.stderr


def run_torchrun(outputs: Path, number: int, *words: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={number}", "-m", "rnnscope"]
    environment = {**os.environ, "RNNSCOPE_OUTPUTS": str(outputs), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *words], env=environment, text=True, capture_output=True, timeout=100)
    return done.returncode, done.stdout, done.stderr


def end(process: Command) -> tuple[int, str, str]:
    """Wait for a command; return its exit status and what it and the processes that it started printed."""
    status = process.wait(100)
    return status, process.said.read_text("utf-8"), process.errors.read_text("utf-8")


def run(outputs: Path, *words: str) -> str:
    """Run a command that must succeed, and return what it printed."""
    status, said, errors = end(start(outputs, *words))
    assert (status, errors) == (0, ""), errors
    return said


def runs_in(outputs: Path) -> list[Path]:
    return sorted(path.parent for path in outputs.glob("runs/*/*/run.json"))


def record_of(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def wait_for_step(process: Command, step: int) -> None:
    while f"\nstep {step}/" not in process.said.read_text("utf-8"):
        assert process.poll() is None, end(process)
        time.sleep(0.01)


VALIDATED = ("val/loss", "val/accuracy", "val/bits_per_character", "best/loss")
WINDOWS = {
    "stream": ["dataset.batch_size=12", "dataset.sequence_length=64", "dataset.val_batch_size=3"],
    "samples": [*SAMPLES, "dataset.batch_size=12", "dataset.sequence_length=40"],  # two rows to validate: none for one of three
}


@pytest.mark.parametrize(("kind", "number"), [("stream", 2), ("samples", 3)])
def test_several_processes_have_the_losses_of_one(kind, number, story, outputs):
    """Two that rank 0 starts, and three that torchrun does."""
    words = [*WINDOWS[kind], "optimizer.lr=0.01", "trainer.average=ema", "trainer.temporal_penalty=1"]
    if number == 2:
        status, said, errors = run_script(outputs, *words_of(story), *words)
    else:
        status, said, errors = run_torchrun(outputs, number, *words_of(story), "trainer.devices=3", *words)
    assert status == 0, errors
    line_with(said, "finished", "step 30")  # the other processes say nothing
    (folder,) = runs_in(outputs)
    resolved = record_of(folder)["resolved"]
    assert (resolved["world_size"], resolved["shared_validation"]) == (number, True)
    alone = train("dataset=text_files", f"dataset.corpus.path={story}", *words)
    tables = [csv.DictReader((run / "metrics.csv").read_text("utf-8").splitlines()) for run in (folder, alone.run.path)]
    rows = list(zip(*tables, strict=True))
    assert [int(row["step"]) for row, _ in rows][-1] == 30
    assert int(rows[-1][0]["epoch"]) >= 1
    for together, one in rows:
        assert together["tokens"] == one["tokens"]  # padding is no token: this counts those of all
        for key in (
            "train/loss",
            "train/penalty",
            "train/accuracy",
            "gradient_norm/all",
            "gradient_norm/clipped_fraction",
            *VALIDATED,
        ):
            assert bool(together[key]) == bool(one[key])
            near = 1e-6 if key == "val/loss" else 1e-5
            assert float(together[key] or 0) == pytest.approx(float(one[key] or 0), abs=near)


@pytest.fixture(scope="module")
def whole(story: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes that nothing disturbed."""
    outputs = tmp_path_factory.mktemp("whole")
    run(outputs, *words_of(story), *LONG)
    return runs_in(outputs)[0]


def children_of(process: Command) -> list[int]:
    if not Path("/proc/self/task").exists():
        pytest.skip("/proc says which processes a process started")
    return [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def test_interrupted_and_killed_and_resumed_is_bit_identical(story, whole, tmp_path):
    process = start(tmp_path, *words_of(story), *LONG)
    wait_for_step(process, 50)
    process.send_signal(signal.SIGTERM)
    assert end(process)[0] == 130
    (folder,) = runs_in(tmp_path)
    assert record_of(folder)["status"] == "interrupted"
    assert record_of(folder)["progress"]["step"] % 2 == 0  # they synchronize every other step

    process = start(tmp_path, "resume")
    wait_for_step(process, 150)
    (other,) = children_of(process)
    os.kill(other, signal.SIGKILL)
    status, _, errors = end(process)
    assert status == 1
    assert_says(error_line(errors), "2 processes", "process 1", "SIGKILL", "rnnscope resume")
    assert record_of(folder)["status"] == "failed"

    run(tmp_path, "resume")
    assert what_differs(whole, folder) == []
    parts = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    assert len(parts["others"]) == 1
    assert changes(names_of(parts["others"]), NAMES["checkpoint"]["several processes add"]["others"]) == []
    assert not torch.equal(parts["others"][0]["random"]["torch"], parts["random"]["torch"])


def test_a_run_is_reproduced_by_the_beginning_of_its_name(whole, tmp_path):
    """Soon there are two runs that it fits: a second look finds more than the first."""
    name = whole.parent.name
    for folder in (whole.parent, whole.parent.with_name(f"earlier-{name}")):
        shutil.copytree(whole, tmp_path / "runs" / folder.name / whole.name)
    said = run(tmp_path, "reproduce", f"run={name}", "until=40")
    assert re.search(r"verdict: bit-identical\n  (\d+) of \1 rows ", said)
    line_with(said, "rows", "step 40")
    assert said.count("verdict") == 1


AT_ITS_START = {
    "killed": ("import os; os.kill(os.getpid(), 9)", "SIGKILL"),
    "import": ("import sys; sys.modules['pytorch_lightning'] = None", "pytorch_lightning"),
}


@pytest.mark.parametrize("how", AT_ITS_START)
def test_a_process_that_ends_early_ends_all_with_its_reason(how, story, tmp_path, monkeypatch):
    does, reason = AT_ITS_START[how]
    (tmp_path / "sitecustomize.py").write_text(f"import os\nif os.environ.get('LOCAL_RANK') == '1':\n    {does}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = start(tmp_path / "outputs", *words_of(story), "trainer.devices=2")
    status, _, errors = end(process)
    assert status == 1
    assert_says(error_line(errors), "process 1", reason)
    assert runs_in(tmp_path / "outputs") == []


def test_a_process_that_would_train_something_else_says_so(story, tmp_path, monkeypatch):
    """Its text changes after rank 0 has read it."""
    text = tmp_path / "text.txt"
    shutil.copy(story, text)
    changes = f"open({str(text)!r}, 'a').write('more of it')"
    (tmp_path / "sitecustomize.py").write_text(f"import os\nif os.environ.get('LOCAL_RANK') == '1':\n    {changes}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    status, _, errors = end(start(tmp_path / "outputs", *words_of(text)))
    assert status == 1
    assert_says(error_line(errors), "process 1", "text", "process 0")


def test_others_end_with_rank_0(story, tmp_path):
    process = start(tmp_path, *words_of(story))
    while not (others := children_of(process)):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    end(process)
    limit = time.monotonic() + 60
    while any(Path(f"/proc/{other}").exists() and "(zombie)" not in status_of(other) for other in others):
        assert time.monotonic() < limit
        time.sleep(0.1)


def status_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/status").read_text()
    except OSError:
        return "(zombie)"


def test_another_number_of_processes_cannot_go_on(whole, capsys):
    for number in (3, 1):
        assert main(["resume", f"run={whole}", f"trainer.devices={number}"]) == 1
        message = error_line(capsys.readouterr().err)
        assert_says(message, "trainer.devices", number, "trainer.strategy", "ddp", number, 2)
    assert main(["resume", f"run={whole}", "trainer.strategy=single", "trainer.devices=null"]) == 1
    assert_says(error_line(capsys.readouterr().err), "trainer.strategy", "single", 1, 2)
    assert len(record_of(whole)["segments"]) == 1


BROKEN = {"a state of another size": {"carried": [torch.zeros(2)]}, "no part at all": None}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_part_of_a_checkpoint_is_refused_in_one_line(how, whole, tmp_path, capsys):
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    saved = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    part = BROKEN[how] and {**saved["others"][0], **BROKEN[how]}
    torch.save({**saved, "others": [part]}, run / "checkpoints/last.ckpt")
    assert main(["resume", f"run={run}", "trainer.max_steps=500"]) == 1
    assert_says(error_line(capsys.readouterr().err), run / "checkpoints/last.ckpt", "config.yaml")


REFUSED = {
    "dataset.batch_size=5": ["dataset.batch_size", 5, "2 processes"],
    "trainer.devices=0": ["trainer.devices", 0, 1],
    "trainer.devices=null": ["trainer.devices", "null", "GPU"],
    "trainer.strategy=fsdp": ["trainer.strategy", "fsdp", "single", "ddp"],
    "trainer.strategy=single": ["trainer.devices", 2, "trainer=ddp"],
}


@pytest.mark.parametrize("word", REFUSED)
def test_what_cannot_be_is_refused_in_one_line_before_anything_starts(word, story, outputs, capsys):
    assert main([*words_of(story), word]) == 1
    assert_says(error_line(capsys.readouterr().err), *REFUSED[word])
    assert runs_in(outputs) == []
    assert not list(outputs.glob("runs/*/*"))


def test_a_sweep_is_refused(story, outputs, capsys):
    assert main([*words_of(story), "-m", "seed=1,2"]) == 1
    assert_says(error_line(capsys.readouterr().err), "trainer", "ddp", "one by one")
    assert runs_in(outputs) == []


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    cuda = torch.device("cuda")
    assert count_devices(None, cuda, None) == 2
    assert count_devices(1, cuda, None) == 1
    with user_error("trainer.devices", 4, 2):
        count_devices(4, cuda, None)
    with user_error("trainer.devices", 1, "2 processes"):
        count_devices(1, cuda, 2)


STARTED = {
    "torchrun": {"TORCHELASTIC_RUN_ID": "x", "RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"},
    "slurm": {"SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "4", "SLURM_PROCID": "5", "SLURM_LOCALID": "1"},
}


@pytest.mark.parametrize("variables", STARTED.values(), ids=STARTED.keys())
def test_processes_that_something_else_started(variables, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = find_processes(TrainerConfig(strategy="ddp"), torch.device("cpu"))
    assert (found.rank, found.local_rank, found.devices, found.nodes, found.world_size) == (5, 1, 4, 2, 8)
    alone = find_processes(TrainerConfig(), torch.device("cpu"))
    assert (alone.rank, alone.world_size, alone.together) == (0, 1, False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
def test_one_process_that_adds_up_alone_on_a_gpu_is_the_usual_one(story, outputs):
    words = ["dataset=text_files", f"dataset.corpus.path={story}", *TINY[1:]]
    run(outputs, "train", *words, "trainer=ddp", "trainer.devices=1")
    together = record_of(runs_in(outputs)[0])
    assert together["resolved"]["device"] == "cuda"
    assert together["weights_sha256"] == train(*words, "trainer.accelerator=gpu").weights_hash


def test_processes_synchronize_where_something_is_due():
    config = compose_train([*DDP, "monitor.scalars_every=4", "trainer.val_every=6", "trainer.checkpoint_every=6"])
    training: Any = SimpleNamespace(config=config, options=RunOptions(stop=StopAt(11, False)), total_steps=13)
    at = synchronization_points(training)
    assert [step for step in range(1, 16) if at(step)] == [4, 6, 8, 11, 12, 13]


def test_every_process_has_random_numbers_of_its_own():
    seeds = [seed_of_process(7, rank) for rank in range(4)] + [seed_of_process(8, rank) for rank in range(4)]
    assert seeds[0] == 7
    assert len(set(seeds)) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)
