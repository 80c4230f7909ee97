"""`notify=`: a command of the user's hears how a run ended; a run folder never brings one along."""

import json
import math
import time
from pathlib import Path

import pytest
import yaml
from conftest import TINY
from messages import assert_says, error_line, line_with

from rnnscope.cli import main
from rnnscope.pipeline.notify import notify
from rnnscope.runs.record import Record

SHORT = [*TINY, "trainer.max_steps=4", "trainer.val_every=2", "monitor.sample_length=0"]


def heard(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.partition("=")[::2] for line in lines if line.startswith("RNNSCOPE_"))


def test_a_command_hears_the_facts_and_no_snapshot_has_it(story, outputs, tmp_path, capsys):
    command = f"env > '{tmp_path}/it heard'; exit 3"
    assert main(["train", f"text={story}", *SHORT, f"notify={command}"]) == 0
    (run,) = (outputs / "runs").glob("*/*")
    record, facts = json.loads((run / "run.json").read_text()), heard(tmp_path / "it heard")
    assert facts["RNNSCOPE_RUN"] == str(run)
    assert (facts["RNNSCOPE_STATUS"], facts["RNNSCOPE_STEP"], facts["RNNSCOPE_REASON"]) == ("finished", "4", "")
    assert float(facts["RNNSCOPE_BEST_LOSS"]) == record["best"]["loss"]
    assert_says(line_with(capsys.readouterr().out, "warning"), "notify", "exit status 3")
    assert "notify" not in (run / "config.yaml").read_text() + json.dumps({**record, "command": []})

    (tmp_path / "it heard").unlink()
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "notify": command}))
    for words in (["reproduce", f"run={run}"], ["resume", f"run={run}", "trainer.max_steps=6"], ["train", f"from={run}"]):
        assert main(words) == 1
        assert_says(error_line(capsys.readouterr().err), "notify")
    assert not (tmp_path / "it heard").exists()


def test_a_reproduction_of_several_segments_is_heard_of_once(story, outputs, tmp_path):
    assert main(["train", f"text={story}", *SHORT, "name=q"]) == 0
    assert main(["resume", "run=q", "trainer.max_steps=6"]) == 0
    assert main(["reproduce", "run=q", f"notify=echo $RNNSCOPE_STATUS $RNNSCOPE_STEP >> {tmp_path / 'log'}"]) == 0
    assert (tmp_path / "log").read_text() == "finished 6\n"


def test_divergence_and_failure_are_heard_of(story, outputs, tmp_path, monkeypatch):
    log = tmp_path / "log"
    command = f"echo $RNNSCOPE_STATUS: $RNNSCOPE_REASON >> {log}"
    words = ["train", f"text={story}", *SHORT, f"notify={command}"]
    assert main([*words, "optimizer=sgd", "optimizer.lr=1e38", "schedule=constant", "trainer.clip_norm=null"]) == 1

    def fail(*_: object) -> None:
        raise RuntimeError("it broke")

    monkeypatch.setattr("rnnscope.training.task.LanguageModelTask.take_step", fail)
    with pytest.raises(RuntimeError):
        main(words)
    diverged, failed = log.read_text().splitlines()
    assert diverged.startswith("diverged: ")
    assert_says(failed, "failed", "RuntimeError", "it broke")


def test_a_slow_command_is_stopped_with_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr("rnnscope.pipeline.notify.PATIENCE", 0.3)
    record = Record.create(tmp_path / "run.json", name="it")
    said = notify(f"(sleep 1; touch '{tmp_path}/late') | cat", record)
    assert said is not None
    assert_says(said, "notify=", "0.3 seconds", "stopped")
    time.sleep(1.2)
    assert not (tmp_path / "late").exists()


def test_a_folder_of_configs_cannot_name_one(story, outputs, tmp_path, capsys):
    (tmp_path / "conf/experiment").mkdir(parents=True)
    (tmp_path / "conf/experiment/mine.yaml").write_text("# @package _global_\nnotify: touch owned\n")
    assert main(["train", f"--config-dir={tmp_path / 'conf'}", "experiment=mine", f"text={story}", *SHORT]) == 1
    assert_says(error_line(capsys.readouterr().err), "notify=touch owned", "command line")


def test_an_evaluation_as_json(trained_run, capsys):
    assert main(["evaluate", f"run={trained_run.path}", "json=true"]) == 0
    found = json.loads(capsys.readouterr().out)
    record = json.loads(trained_run.record.read_text())
    carried = max(found["scores"].values(), key=lambda score: score["tokens"])
    assert math.isclose(carried["loss"], record["best"]["loss"], rel_tol=1e-4)
