"""How many cores a process may use: those it may run on, as far as its container's CPU quota pays for them."""

import math
import os
from collections.abc import Iterator
from pathlib import Path


def core_count(root: Path = Path("/")) -> int:
    """Return how many cores this process may use, at least 1; of a quota of 2.5 cores, 2.

    Args:
        root: where proc/ and sys/ are.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(min(allowed, cpu_quota(root))))


def cpu_quota(root: Path = Path("/")) -> float:
    """Return the seconds of CPU per second that the process's control groups grant, infinite where none limits them.

    A group's limit holds for the groups in it as well. In a container the root of the mount is its own group, whatever
    path /proc names.
    """
    quotas = [math.inf]
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for group in _groups(root / "sys/fs/cgroup", controllers, path):
            quotas.append(_quota_v1(group) if controllers else _quota_v2(group))
    return min(quotas)


def _groups(mount: Path, controllers: str, path: str) -> Iterator[Path]:
    """Yield the folders of a group and of all it lies in; version 2 has no list of controllers in /proc/self/cgroup."""
    if controllers and "cpu" not in controllers.split(","):
        return
    if controllers:
        mount = mount / controllers if (mount / controllers).is_dir() else mount / "cpu"
    group = Path(path.strip("/"))
    for part in (group, *group.parents):
        yield mount / part


def _quota_v1(group: Path) -> float:
    return _ratio(_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us"))


def _quota_v2(group: Path) -> float:
    return _ratio(*f"{_read(group / 'cpu.max')} . .".split()[:2])  # "200000 100000", or "max 100000"


def _ratio(quota: str, period: str) -> float:
    """Return a quota in cores; `max`, -1 and a file that is not there mean that there is none."""
    try:
        found = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return math.inf
    return found if found > 0 else math.inf


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
