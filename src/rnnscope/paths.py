"""Where rnnscope keeps its files, and what a typed path refers to."""

import glob
import os
import re
from pathlib import Path

TAR = r"tar|tar\.(?:gz|xz|lzma|bz2)|tgz|txz|tbz2?"  # suffixes of tar files
MEMBER = re.compile(rf"(.*?\.(?:zip|{TAR}))/(.+)", re.IGNORECASE | re.DOTALL)  # an archive, and a member of it or a pattern
PACKAGE = Path(__file__).resolve().parent


def outputs_folder() -> Path:
    """Return the folder of runs, sweeps and the cache: `RNNSCOPE_OUTPUTS`, else outputs/ under the current folder."""
    return Path(os.path.expanduser(os.environ.get("RNNSCOPE_OUTPUTS") or "outputs"))


def cache_folder() -> Path:
    """Return the folder of downloaded and encoded texts."""
    return outputs_folder() / "cache"


def data_folder() -> Path | None:
    """Return the folder `RNNSCOPE_DATA`, in which texts are searched if their path does not exist; None if it is not set."""
    folder = os.environ.get("RNNSCOPE_DATA")
    return Path(os.path.expanduser(folder)) if folder else None


def names_something(path: Path) -> bool:
    """Whether something is at a path: a file or folder, a match if it is a glob, the archive if it is a member of one."""
    archive = MEMBER.fullmatch(str(path))
    place = archive[1] if archive else str(path)
    return any(map(os.path.lexists, (path, place))) or next(glob.iglob(place, recursive=True), None) is not None


def under_data_folder(path: str) -> Path | None:
    """Return a path below RNNSCOPE_DATA, or None if nothing is there."""
    folder = data_folder()
    return folder / path if folder and names_something(folder / path) else None


def absolute_path(typed: str) -> str:
    """Return the typed path of a text as it is recorded: it means the same from any folder.

    A name that exists only under RNNSCOPE_DATA stays as it is, and so do `-` and an empty path.
    """
    path = Path(os.path.expanduser(typed))
    if typed and names_something(path):
        return str(path.absolute())
    return typed if typed in ("", "-") or under_data_folder(typed) else str(path.absolute())


def example_run(name: str) -> Path | None:
    """Return the folder of a run that comes with the package, such as `examples/shakespeare`, or None."""
    folder = PACKAGE / name
    return folder if name.startswith("examples/") and (folder / "config.yaml").is_file() else None


def conf_folder() -> Path:
    """Return the folder of configs: inside an installed package, or beside src/ in a checkout."""
    for folder in (PACKAGE / "conf", PACKAGE.parents[1] / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(f"conf/train.yaml is neither in {PACKAGE} nor beside src/: reinstall rnnscope")
