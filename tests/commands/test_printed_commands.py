"""The commands that rnnscope prints can be pasted into a shell, and do what they say, whatever things are called."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import TINY
from messages import error_line, line_with

from rnnscope.cli import main

NAME = '50 % of 日本\'s $HOME; "(1)"'


@pytest.fixture
def place(story: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an awkward name to work in; outputs/ is in it."""
    folder = tmp_path / "my %d 吾輩 & co"
    folder.mkdir()
    (folder / "text.txt").write_bytes(story.read_bytes())
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RNNSCOPE_OUTPUTS", str(folder / "out puts"))
    return folder


def commands(printed: str) -> dict[str, list[str]]:
    """Return the words that a shell makes of each printed command, by the command's name."""
    found = re.findall(r"((?:rnnscope (?:\w+ )?|tensorboard )[^\n]*?)(?: trains it again)?(?=\n|$)", printed)
    words = [subprocess.check_output(["bash", "-c", f"printf '%s\\0' {line}"], text=True).split("\0")[:-1] for line in found]
    return {line[1] if line[0] == "rnnscope" else line[0]: line for line in words}


def record(place: Path, folder: str = "runs") -> dict:
    (path,) = (place / "out puts" / folder).glob("*/*/run.json")
    return json.loads(path.read_text(encoding="utf-8"))


ENDS = {
    "steps and a cosine": ["schedule=cosine"],
    "epochs and a cosine": ["trainer.max_steps=null", "trainer.max_epochs=0.2"],
    "minutes": ["trainer.max_steps=null", "trainer.max_minutes=0.005", "schedule.horizon=40"],
    "patience": ["trainer.patience=1", "optimizer=sgd", "optimizer.lr=1e-30"],
}


@pytest.mark.parametrize("end", ENDS)
def test_what_a_finished_run_recommends_does_what_it_says(end: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "text=text.txt", *TINY, f"name={NAME}", *ENDS[end]]) == 0
    found, before = commands(capsys.readouterr().out), record(place)
    assert found["tensorboard"][2] == str(place / "out puts")
    assert main([*found["sample"][1:], "length=5"]) == 0
    assert main(found["evaluate"][1:]) == 0
    capsys.readouterr()
    assert main(found["resume"][1:]) == 0
    assert "warning" not in capsys.readouterr().out
    after = record(place)
    assert after["progress"]["step"] > before["progress"]["step"]
    (metrics,) = (place / "out puts").glob("runs/*/*/metrics.csv")
    head, *rows = metrics.read_text(encoding="utf-8").splitlines()
    at = head.split(",").index("learning_rate")
    rates = {int(row.split(",")[0]): float(row.split(",")[at] or "nan") for row in rows}
    assert max(rate for step, rate in rates.items() if step > before["progress"]["step"] and rate == rate) > 0


def test_what_a_run_without_a_validation_recommends(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has no best checkpoint."""
    assert main(["train", "text=text.txt", *TINY, f"name={NAME}", "optimizer.lr=1e30"]) == 1
    found = commands(capsys.readouterr().out)
    assert not list((place / "out puts").glob("runs/*/*/checkpoints/best.ckpt"))
    assert main([*found["sample"][1:], "length=5"]) == 0
    assert main(found["evaluate"][1:]) == 0


def test_an_average_that_never_began_is_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asgd = ["trainer.average=asgd", "trainer.asgd_interval=1000"]
    assert main(["train", "text=text.txt", *TINY, *asgd]) == 0
    assert line_with(capsys.readouterr().out, "averaged nothing", "1,000 validations")


def test_a_budget_beyond_the_schedule_is_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "text=text.txt", *TINY, "schedule.warmup_steps=5", f"name={NAME}"]) == 0
    assert "warning" not in capsys.readouterr().out
    assert main(["resume", "trainer.max_steps=40"]) == 0
    (said,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    (word,) = re.findall(r"schedule\.horizon=\d+", said)
    assert main(["resume", "trainer.max_steps=44", word.replace("40", "44")]) == 0
    assert "warning" not in capsys.readouterr().out
    assert (
        main(["train", "text=text.txt", *TINY, "schedule.warmup_steps=5", "schedule.final_fraction=0.5", "schedule.horizon=9"])
        == 0
    )
    assert "schedule.horizon=30" in capsys.readouterr().out


def test_a_warm_up_as_long_as_the_budget_is_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "text=text.txt", *TINY, "schedule=cosine", "optimizer.lr=0.1", "trainer.max_steps=4"]
    for steps, rate in ((16, "0.025"), (4, "0.1")):
        assert main([*words, f"schedule.warmup_steps={steps}"]) == 0
        line = line_with(capsys.readouterr().out, f"schedule.warmup_steps={steps}", "4 steps", rate)
        (*_, last) = next((place / "out puts").glob("runs/*/*/metrics.csv")).read_text().splitlines()
        assert rate in last, line
        shutil.rmtree(place / "out puts")
    assert main([*words, "schedule.warmup_steps=3"]) == 0
    assert "warmup" not in capsys.readouterr().out


def test_remedies_of_errors_can_be_pasted(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "text=text.txt", *TINY, f"name={NAME}"]) == 0
    capsys.readouterr()
    assert main(["resume", f"run={NAME}", "seed=5"]) == 1
    words = commands(error_line(capsys.readouterr().err))["train"]
    assert words[2:] == [f"from={NAME}", "seed=..."]
    assert main([*words[1:3], "seed=5", "name=again"]) == 0
    (run,) = (place / "out puts" / "runs" / NAME).iterdir()
    for path in (run / "checkpoints").iterdir():
        path.write_bytes(b"")
    capsys.readouterr()
    assert main(["resume", f"run={NAME}", "trainer.max_steps=40"]) == 1
    printed = capsys.readouterr()
    assert main([*commands(printed.err)["reproduce"][1:], "until=5"]) == 0


def test_a_sweep_with_an_awkward_name(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-m", "text=text.txt", *TINY, f"name={NAME}", "seed=1,2", "trainer.max_steps=10"]) == 0
    found = commands(capsys.readouterr().out)
    assert found["tensorboard"][2] == str(place / "out puts" / "sweeps" / NAME)
    assert main([*found["sample"][1:], "length=5"]) == 0
