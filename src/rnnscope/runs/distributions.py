"""environment.txt: every installed distribution with its version, and how to install those that a run was trained with."""

import importlib.metadata
import re
from functools import cache
from typing import Any

from rnnscope.format import shell
from rnnscope.runs.files import replace_text
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.safe_files import check_plain

LINE = re.compile(r"([A-Za-z0-9][\w.-]*)==([A-Za-z0-9][\w.!+-]*)", re.ASCII)
SIZE_LIMIT = 1_000_000  # bytes
MOST = 8  # differences that a line names
OURS = "rnnscope"  # compared by its commit, not its version
TORCH_BUILDS = "https://download.pytorch.org/whl/"


@cache
def installed() -> dict[str, str]:
    """Return the version of each distribution that Python finds, by its name in lower case with single dashes."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        about: Any = distribution.metadata  # gives None for a broken installation
        name, version = about["Name"], about["Version"]
        if name and version:
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)  # Python imports the first on its path
    return dict(sorted(found.items()))


def write_environment(run: RunFolder) -> None:
    """Write environment.txt, which pip understands as requirements."""
    replace_text(run.environment, "".join(f"{name}=={version}\n" for name, version in installed().items()))


def recorded(run: RunFolder) -> dict[str, str]:
    """Return the versions in environment.txt by name; empty for a run of an older rnnscope, which wrote none.

    Raises:
        UserError: if it is not an ordinary file, or too large.
    """
    if not run.environment.exists():
        return {}
    check_plain(run.environment, SIZE_LIMIT)
    lines = run.environment.read_text(encoding="utf-8", errors="replace").splitlines()
    return {match[1]: match[2] for line in lines if (match := LINE.fullmatch(line))}


def distribution_lines(run: RunFolder) -> list[str]:
    """Return which installed packages differ from those of a run, and how to install its own; empty if none differ."""
    old, new = recorded(run), installed()
    names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name) and name != OURS]
    if not old or not names:
        return []
    shown = [f"{name} {old.get(name, 'none')} -> {new.get(name, 'none')}" for name in names[:MOST]]
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    lines = [f"the installed packages differ from those of the run: {', '.join(shown)}{more}"]
    wanted = [f"{name}=={old[name]}" for name in names if name in old]
    builds = sorted({version.partition("+")[2] for name in names if (version := old.get(name)) and "+" in version})
    places = [word for build in builds for word in ("--extra-index-url", TORCH_BUILDS + build)]
    return [*lines, f"  to install those of the run: {shell('pip', 'install', *places, *wanted)}"] if wanted else lines
