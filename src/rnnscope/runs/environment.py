"""What decides a result besides config and data: code, packages, Python, hardware, threads."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rnnscope.runs.folder import RunFolder
from rnnscope.runs.plain_values import is_mapping

PACKAGES = ("rnnscope", "torch", "pytorch-lightning", "hydra-core", "omegaconf", "tensorboard", "numpy", "tokenizers")
PARTS = ("git_commit", "packages", "hardware", "python", "platform")  # the likeliest cause of a difference first
SOURCE = Path(__file__).resolve().parents[3]  # the checkout, if rnnscope runs from one
UNTRACKED_LIMIT = 1_000_000  # bytes; a larger untracked file is named in the patch, not copied into it


def environment() -> dict[str, Any]:
    """Return versions and hardware as plain values for run.json; `cores` are those of the machine, regardless of quotas."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "hardware": {"cpu": cpu_name(), "cores": os.cpu_count(), "gpus": gpu_names()},
        "git_commit": git_commit(),
        "command": sys.argv,
    }


def environment_differences(recorded: dict[str, Any], now: dict[str, Any], parts: Sequence[str] = PARTS) -> list[str]:
    """Return the differences between two environments as `recorded -> now`, the likeliest cause of different results first."""
    found: list[str] = []
    for part in parts:
        old, new = recorded.get(part), now.get(part)
        if is_mapping(old) and is_mapping(new):
            found += _differences(old, new, sorted(old.keys() | new.keys(), key=lambda name: (name != "torch", name)))
        else:
            found += _differences(recorded, now, [part])
    return found


def machine_differences(recorded: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return the differences in device, threads and precision between the `resolved` parts of two records."""
    return _differences(recorded, now, ("device", "threads", "precision"))


def _differences(old: dict[str, Any], new: dict[str, Any], keys: Sequence[str]) -> list[str]:
    return [f"{key} {old.get(key)} -> {new.get(key)}" for key in keys if old.get(key) != new.get(key)]


def _version(package: str) -> str | None:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)


def cpu_name() -> str:
    """Return the CPU's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def gpu_names() -> list[str]:
    """Return the name of each GPU torch sees."""
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _git(*arguments: str) -> str:
    """Return what git prints about the checkout; empty without git or outside a checkout."""
    if not (SOURCE / ".git").exists():
        return ""
    try:
        done = subprocess.run(["git", *arguments], cwd=SOURCE, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "surrogateescape") if done.returncode in (0, 1) else ""


def git_commit() -> str | None:
    """Return the commit of rnnscope's own checkout, or None if it was installed as a package."""
    return _git("rev-parse", "HEAD").strip() or None


def git_patch() -> str:
    """Return the uncommitted changes of the checkout as one patch, untracked source files included.

    Bytes that are not UTF-8 become surrogates: encode it with `surrogateescape`.
    """
    plain = ("diff", "--binary", "--no-ext-diff", "--no-textconv")
    parts = [_git(*plain, "HEAD")]
    for name in _git("ls-files", "--others", "--exclude-standard", "-z").split("\0"):
        path = SOURCE / name
        if not name or not path.is_file():
            continue
        if path.stat().st_size > UNTRACKED_LIMIT:
            parts.append(f"# untracked and larger than {UNTRACKED_LIMIT} bytes, left out: {name}\n")
        else:
            parts.append(_git(*plain, "--no-index", "--", "/dev/null", name))
    return "".join(parts)


def recorded_patch(run: RunFolder) -> str:
    """Return code.patch of a run as `git_patch` would; empty if it has none."""
    return run.patch.read_bytes().decode("utf-8", "surrogateescape") if run.patch.is_file() else ""
