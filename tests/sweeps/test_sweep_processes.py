"""Sweeps as processes: killed and started again, started twice, and with several jobs at once."""

import errno
import signal
import time
from pathlib import Path

import pytest
from messages import line_with
from sweep_tools import JOBS, NAMES, contents, folder_of, record, records, said, start, statuses, sweep, weights

from rnnscope.sweeps.job_folder import JobFolder
from rnnscope.sweeps.live_status import LiveStatus, closing_lines

LONG = ["trainer.max_steps=120", "trainer.val_every=40", "trainer.checkpoint_every=10"]  # long enough to be killed in


@pytest.fixture(scope="module")
def unbroken(story: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """The weights of a sweep that nothing happened to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNSCOPE_OUTPUTS", str(tmp_path_factory.mktemp("unbroken")))
        assert sweep(story, *JOBS, *LONG, "name=s") == 0
        return weights(Path(tmp_path_factory.getbasetemp()) / "unbroken0/sweeps/s")


def wait_for(condition, process, seconds: float = 90) -> None:
    """Wait until `condition` holds; the process must not end before."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the sweep ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def finished(folder: Path) -> list[str]:
    return [name for name, values in records(folder).items() if values["status"] == "finished"]


@pytest.mark.parametrize(("number", "launcher"), [(signal.SIGKILL, "joblib"), (signal.SIGTERM, "basic")])
def test_a_killed_sweep_loses_nothing_and_goes_on_exactly(story, tmp_path, unbroken, number, launcher):
    outputs = tmp_path / "outputs"
    words = (*JOBS, *LONG, "name=s", f"hydra/launcher={launcher}")
    folder = outputs / "sweeps/s"
    process = start(outputs, story, *words)
    wait_for(lambda: len(list(folder.glob("*/checkpoints/last.ckpt"))) >= 2, process)
    process.send_signal(number)
    process.wait(60)
    assert process.returncode == (130 if number == signal.SIGTERM else -number), said(outputs)
    done = {name: contents(folder / name) for name in finished(folder)}
    process = start(outputs, story, *words)
    assert process.wait(180) == 0, said(outputs)
    assert weights(folder) == unbroken
    assert statuses(folder) == dict.fromkeys(NAMES, "finished")
    assert {name: contents(folder / name) for name in done} == done  # nobody touched what was finished


def test_a_sweep_started_twice_at_once_does_nothing_twice(story, tmp_path, unbroken):
    outputs = tmp_path / "outputs"
    both = [start(outputs, story, *JOBS, *LONG, "name=s") for _ in range(2)]
    assert [process.wait(180) for process in both] == [0, 0], said(outputs)
    line_with(said(outputs), folder_of(outputs), "process", "waiting")
    assert sum("finished" in line and "step 120" in line for line in said(outputs).splitlines()) == 4
    assert weights(folder_of(outputs)) == unbroken
    assert all(len(record(job.parent)["segments"]) == 1 for job in folder_of(outputs).glob("*/run.json"))


def test_jobs_side_by_side_share_the_cores(story, tmp_path, monkeypatch):
    from rnnscope.cores import core_count

    outputs = tmp_path / "outputs"
    process = start(outputs, story, *JOBS, "name=s", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "trainer.threads=null")
    assert process.wait(180) == 0, said(outputs)
    assert {values["resolved"]["threads"] for values in records(folder_of(outputs)).values()} == {max(1, core_count() // 2)}


def test_a_killed_search_goes_on_as_if_it_had_not_been(story, tmp_path, monkeypatch):
    search = ["hydra/sweeper=optuna", "optimizer.lr=tag(log,interval(1e-4,1e-1))", "hydra.sweeper.n_trials=3", "name=s"]
    search += [*LONG, "hydra.sweeper.at_once=2", "hydra.sweeper.pruner=median"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(whole))
    assert sweep(story, *search) == 0
    folder = broken / "sweeps/s"
    process = start(broken, story, *search)
    wait_for(lambda: len(list(folder.glob("*/checkpoints/last.ckpt"))) >= 2, process)
    process.kill()
    process.wait(60)
    done = {name: contents(folder / name) for name in finished(folder)}
    assert start(broken, story, *search).wait(180) == 0, said(broken)
    assert weights(folder) == weights(whole / "sweeps/s")
    assert {name: contents(folder / name) for name in done} == done
    assert len(weights(folder)) == 3


def test_a_sweep_whose_folder_is_moved_ends(story, tmp_path, unbroken):
    outputs = tmp_path / "outputs"
    folder = outputs / "sweeps/s"
    process = start(outputs, story, *JOBS, *LONG, "name=s")
    wait_for(lambda: list(folder.glob("*/checkpoints/best.ckpt")), process)
    folder.rename(folder.with_name("t"))
    assert process.wait(60) == 1
    line_with(said(outputs), "rnnscope: error", folder, "moved", "same command")
    assert "Traceback" not in said(outputs)
    assert not folder.exists()
    folder.with_name("t").rename(folder)
    assert start(outputs, story, *JOBS, *LONG, "name=s").wait(180) == 0
    assert weights(folder) == unbroken


def test_a_sweep_that_is_stopped_before_its_first_run(tmp_path):
    job = JobFolder(tmp_path, "seed-1")
    lines = closing_lines(tmp_path, {job.name: job.state()}, 80)
    line_with("\n".join(lines), "seed-1", "waiting")


def test_a_sweep_outlives_its_terminal(monkeypatch):
    def gone(*words: str, flush: bool) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("builtins.print", gone)
    LiveStatus(lambda job, state: None, seconds=0).say("a line that nobody reads")
