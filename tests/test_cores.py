"""The CPU quota of a container counts, wherever its control group says it."""

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rnnscope.cores import OtherWork, core_count, cpu_quota

V1 = "12:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/user/job\n", {"user/cpu.max": "50000 100000\n", "user/job/cpu.max": "max 100000\n"}, 0.5),
        ("0::/../..\n", {"cpu.max": "300000 100000\n"}, 3.0),  # a group outside of what this container sees
        (V1, {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
        (V1, {"cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "25000", "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "50000"}, 0.5),
        (V1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        (V1, {"memory/docker/abc/cpu.max": "50000 100000\n"}, math.inf),
        (V1 + "0::/\n", {"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000", "unified/x": ""}, 4.0),
        ("", {}, math.inf),
    ],
)
def test_quota(tmp_path: Path, cgroup: str, files: dict[str, str], quota: float) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert cpu_quota(tmp_path) == quota
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert core_count(tmp_path) == max(1, min(allowed, quota) // 1)


def test_a_machine_without_control_groups(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) == math.inf


STAT = """cpu  9 9 9 9 9 9 9 9 9 9
cpu0 {0} 0 0 500 70 0 0 0 0 0
cpu1 0 0 {1} 900 80 0 0 {2} 0 0
cpu2 5000 0 0 0 0 0 0 0 0 0
intr 1 2
"""


def test_work_of_others_is_all_work_but_ones_own(tmp_path, monkeypatch):
    clock = iter([(100.0, 5.0), (110.0, 9.0)])
    now = {}
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    monkeypatch.setattr(os, "sysconf", lambda name: 100)
    monkeypatch.setattr(time, "perf_counter", lambda: now.setdefault("both", next(clock))[0])
    monkeypatch.setattr(time, "process_time", lambda: now.pop("both")[1])
    stat = tmp_path / "proc/stat"
    stat.parent.mkdir()
    stat.write_text(STAT.format(1000, 2000, 30))
    others = OtherWork(tmp_path)
    stat.write_text(STAT.format(1900, 2200, 130))  # 9 + 2 + 1 seconds of work, 4 of them our own, in 10 seconds
    assert others.free() == pytest.approx(2 - 0.8)


@pytest.mark.skipif(not Path("/proc/stat").is_file(), reason="needs /proc")
def test_a_busy_process_is_seen():
    others = OtherWork()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        time.sleep(0.6)
        taken = others.busy()
        busy.kill()
    assert taken > 0.3


def test_where_nothing_tells_nobody_else_works(tmp_path):
    assert OtherWork(tmp_path).busy() == 0
