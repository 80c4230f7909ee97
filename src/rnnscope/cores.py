"""How many cores a process may use, within its container's CPU quota, and how many of them other processes use."""

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path


def core_count(root: Path = Path("/")) -> int:
    """Return how many cores this process may use, at least 1; with a quota of 2.5 cores, 2.

    Args:
        root: the folder that has proc/ and sys/.
    """
    return max(1, math.floor(min(len(_allowed()), cpu_quota(root))))


def _allowed() -> set[int]:
    """Return the numbers of the cores that this process may run on."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


class OtherWork:
    """Measures how many of the cores that this process may use other processes take (on Linux; elsewhere it finds none).

    Args:
        root: the folder that has proc/.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self.root, self._cores = root, _allowed()
        self._before = self._read()

    @property
    def seconds(self) -> float:
        """Seconds since `busy` was last called: it counts hundredths of a second, so a short time gives a coarse answer."""
        return time.perf_counter() - self._before[0]

    def busy(self) -> float:
        """Return how many cores were taken, on average since the last call."""
        before, self._before = self._before, self._read()
        seconds, taken, own = (now - then for now, then in zip(self._before, before, strict=True))
        return max(0.0, (taken - own) / seconds) if taken else 0.0

    def free(self) -> float:
        """Return how many cores were left, on average since the last call."""
        return len(self._cores) - self.busy()

    def _read(self) -> tuple[float, float, float]:
        """Return the time, the seconds that all these cores have worked, and the seconds they have worked for this process."""
        worked = sum(_seconds_worked(line, self._cores) for line in _read(self.root / "proc/stat").splitlines())
        return time.perf_counter(), worked, time.process_time()


def _seconds_worked(line: str, cores: set[int]) -> float:
    """Return the seconds that the core in a line of /proc/stat has worked; 0 for one that is not in `cores`."""
    name, *counts = line.split()
    if not name.startswith("cpu") or not name[3:].isdecimal() or int(name[3:]) not in cores:
        return 0.0
    user, nice, system, _idle, _waiting, interrupts, softly, stolen = map(int, counts[:8])
    return (user + nice + system + interrupts + softly + stolen) / os.sysconf("SC_CLK_TCK")


def cpu_quota(root: Path = Path("/")) -> float:
    """Return the seconds of CPU time per second that the control groups of the process grant, infinite without a limit.

    The limit of a group also holds for the groups in it. In a container, the root of the mount is its own group, whatever
    path /proc names.
    """
    quotas = [math.inf]
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for group in _groups(root / "sys/fs/cgroup", controllers, path):
            quotas.append(_quota_v1(group) if controllers else _quota_v2(group))
    return min(quotas)


def _groups(mount: Path, controllers: str, path: str) -> Iterator[Path]:
    """Yield the folders of a group and of all groups that contain it; version 2 lists no controllers in /proc/self/cgroup."""
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
    """Return a quota in cores; `max`, -1 and a missing file mean that there is none."""
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
