"""A run whose config changed on its way comes apart into the stretches that it was trained in."""

from pathlib import Path
from typing import Any

from rnnscope.runs.record import Record
from rnnscope.runs.segments import config_in_force, cut_segments, differences, trained_segments, with_value

LAST = {"optimizer": {"lr": 0.3}, "trainer": {"max_steps": 90}, "schedule": {"rates": {0: 1.0}}}
MACHINE = {"device": "cpu", "precision": "float32", "threads": 2}


def record(*segments: dict[str, Any]) -> Record:
    return Record(Path("run.json"), {"resolved": MACHINE, "segments": [{"from_step": 0}, *segments]})


GROWN = {"from_step": 30, "after_end": True, "changed": {"trainer.max_steps": [30, 90]}}
KILLED = {"from_step": 40, "after_end": False, "changed": {}}
SLOWED = {"from_step": 60, "after_end": False, "changed": {"optimizer.lr": [0.5, 0.3]}}


def test_each_stretch_has_the_config_of_its_time() -> None:
    segments = trained_segments(LAST, record(GROWN, KILLED, SLOWED), 90, True)
    assert [(segment.start, segment.stop, segment.looked) for segment in segments] == [
        (0, 30, True),
        (30, 60, False),
        (60, 90, True),
    ]
    assert [segment.config["optimizer"]["lr"] for segment in segments] == [0.5, 0.5, 0.3]
    assert [segment.config["trainer"]["max_steps"] for segment in segments] == [30, 90, 90]


def test_a_kill_between_record_and_config_is_made_good() -> None:
    old = with_value(with_value(LAST, "optimizer.lr", 0.5), "trainer.max_steps", 30)
    run = record(GROWN, SLOWED)
    assert config_in_force(old, run) == config_in_force(LAST, run) == LAST
    assert old["optimizer"]["lr"] == 0.5


def test_only_interrupted_is_one_stretch_but_another_machine_is_not() -> None:
    assert len(trained_segments(LAST, record(KILLED), 90, True)) == 1
    moved = {**KILLED, "resolved": {"threads": 1}}
    assert [segment.resolved["threads"] for segment in trained_segments(LAST, record(moved), 90, True)] == [2, 1]


def test_a_change_taken_back_before_a_step_leaves_no_stretch() -> None:
    segments = trained_segments(LAST, record({**SLOWED, "from_step": 60}, {**SLOWED, "from_step": 60, "changed": {}}), 90, True)
    assert [(segment.start, segment.stop) for segment in segments] == [(0, 60), (60, 90)]


def test_cutting_pauses_where_it_cuts() -> None:
    segments = trained_segments(LAST, record(GROWN), 90, True)
    assert [(segment.stop, segment.looked) for segment in cut_segments(segments, 30)] == [(30, True)]
    assert [(segment.stop, segment.looked) for segment in cut_segments(segments, 29)] == [(29, False)]
    assert cut_segments(segments, 90) == segments


def test_differences_name_dotted_keys() -> None:
    new = with_value(with_value(LAST, "optimizer.lr", 0.1), "trainer.extra", 1)
    assert differences(LAST, new) == {"optimizer.lr": [0.3, 0.1], "trainer.extra": [None, 1]}
    assert differences(LAST, with_value(LAST, "schedule.rates", {0: 2.0})) == {"schedule.rates": [{0: 1.0}, {0: 2.0}]}
