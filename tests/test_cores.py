"""The CPU quota of a container counts, wherever its control group says it."""

import math
import os
from pathlib import Path

import pytest

from rnnscope.cores import core_count, cpu_quota

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
