"""The terminal is a window on a training, not what keeps it alive."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import TINY
from messages import line_with

from rnnscope.pipeline.console import Console


def only_run(outputs: Path) -> Path:
    (config,) = outputs.glob("runs/*/*/config.yaml")
    return config.parent


def record_of(run: Path) -> dict:
    return json.loads((run / "run.json").read_text(encoding="utf-8"))


def command(story: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "rnnscope", "train", f"text={story}", *TINY, "monitor.lines_every=10", *words]


def test_a_training_goes_on_when_its_reader_has_seen_enough(story, outputs):
    """`rnnscope train | head -2`."""
    environment = {**os.environ, "RNNSCOPE_OUTPUTS": str(outputs)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command(story), env=environment, text=True, **pipes) as process:
        seen = [process.stdout.readline() for _ in range(2)]
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
    record, log = record_of(only_run(outputs)), (only_run(outputs) / "train.log").read_text(encoding="utf-8")
    assert (record["status"], record["progress"]["step"]) == ("finished", 30)
    assert log.startswith("".join(seen))
    line_with(log, "Broken pipe")
    assert all(f"\nstep {step}/30 " in log for step in (10, 20, 30))
    line_with(log, "finished", "step 30")


def test_a_command_does_its_work_though_nobody_reads(tiny_run, tmp_path):
    """`rnnscope runs trash yes=true | true`."""
    run = shutil.copytree(tiny_run.run.path, tmp_path / "outputs/runs/a/2020-01-01_00-00-00")
    words = [sys.executable, "-m", "rnnscope", "runs", "trash", "run=a", "yes=true"]
    environment = {**os.environ, "RNNSCOPE_OUTPUTS": str(tmp_path / "outputs")}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
    assert not run.exists()
    assert list((tmp_path / "outputs/trash").rglob("run.json"))


def test_a_verdict_is_the_exit_status_whoever_reads_it(tiny_run, tmp_path):
    """`rnnscope reproduce | true`: every line meets a closed pipe, the first and the verdict's too."""
    run = shutil.copytree(tiny_run.run.path, tmp_path / "run")
    words = [sys.executable, "-m", "rnnscope", "reproduce", f"run={run}", "until=4"]
    environment = {**os.environ, "RNNSCOPE_OUTPUTS": str(tmp_path / "outputs")}
    rows = (run / "metrics.csv").read_text(encoding="utf-8").replace("\n4,", "\n4,1", 1)  # its epoch is another
    (run / "metrics.csv").write_text(rows, encoding="utf-8")
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
    verdict = record_of(only_run(tmp_path / "outputs"))["verdict"]
    assert (verdict["kind"], verdict["until"]) == ("diverged", 4)


def on_a_terminal_that_closes(words: list[str], outputs: Path, prepare: Callable[[], object]) -> int:
    """Run a command on a terminal of its own, close that after step 40, and return the exit status."""

    def begin() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        prepare()

    terminal, end = os.openpty()
    environment = {**os.environ, "RNNSCOPE_OUTPUTS": str(outputs)}
    process = subprocess.Popen(
        words, stdin=end, stdout=end, stderr=end, env=environment, start_new_session=True, preexec_fn=begin
    )
    os.close(end)
    seen = b""
    while b"step 40/" not in seen:
        seen += os.read(terminal, 1000)
    os.close(terminal)
    return process.wait(60)


def test_a_terminal_that_closes_interrupts_with_a_checkpoint(story, outputs):
    words = command(story, "trainer.max_steps=1000000")
    assert on_a_terminal_that_closes(words, outputs, lambda: None) == 130
    run = only_run(outputs)
    record, log = record_of(run), (run / "train.log").read_text(encoding="utf-8")
    assert (record["status"], record["reason"]) == ("interrupted", "SIGHUP")
    step = record["progress"]["step"]
    assert step >= 40
    line_with(log, "interrupted", f"step {step}")
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["task"]["step"] == step


def test_under_nohup_a_training_outlives_its_terminal(story, outputs):
    words = command(story, "trainer.max_steps=300")
    assert on_a_terminal_that_closes(words, outputs, lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) == 0
    run = only_run(outputs)
    assert (record_of(run)["status"], record_of(run)["progress"]["step"]) == ("finished", 300)
    log = (run / "train.log").read_text(encoding="utf-8")
    line_with(log, "Input/output error")
    line_with(log, "finished", "step 300")


def test_lines_from_before_there_is_a_log_are_kept_for_it(tmp_path, capsys):
    with Console() as console:
        console.say("before")
        console.log_to(tmp_path / "train.log")
        console.say("after \x1b[2J")
    assert (tmp_path / "train.log").read_text(encoding="utf-8") == "before\nafter \u241b[2J\n"
    assert capsys.readouterr().out == "before\nafter \u241b[2J\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_log_on_a_full_disk_fails_once():
    console = Console(quiet=True)
    console.log_to(Path("/dev/full"))
    with pytest.raises(OSError, match="No space left"):
        console.say("a line")
    console.close()
