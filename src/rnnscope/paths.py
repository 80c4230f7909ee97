"""Where rnnscope keeps what it makes, and which place a path means that somebody typed."""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def outputs_folder() -> Path:
    """Return where runs, sweeps and the cache live: `RNNSCOPE_OUTPUTS`, else outputs/ under the current folder."""
    return Path(os.path.expanduser(os.environ.get("RNNSCOPE_OUTPUTS") or "outputs"))


def cache_folder() -> Path:
    """Return where downloaded and encoded texts live."""
    return outputs_folder() / "cache"


def data_folder() -> Path | None:
    """Return where texts are looked for that are not where their path says: `RNNSCOPE_DATA`, None where it is not set."""
    folder = os.environ.get("RNNSCOPE_DATA")
    return Path(os.path.expanduser(folder)) if folder else None


def absolute_path(typed: str) -> str:
    """Return the path of a text that was typed, as it is recorded: it means the same from any folder.

    A name that is not here but under RNNSCOPE_DATA stays a name, as do nothing and `-`.
    """
    path = os.path.expanduser(typed)
    if os.path.lexists(path):
        return str(Path(path).absolute())
    data = data_folder()
    named = path in ("", "-") or (data is not None and (data / path).exists())
    return typed if named else str(Path(path).absolute())


def example_run(name: str) -> Path | None:
    """Return the folder of a run that came with the package, `examples/shakespeare`, or None."""
    folder = PACKAGE / name
    return folder if name.startswith("examples/") and (folder / "config.yaml").is_file() else None


def conf_folder() -> Path:
    """Return the folder of configs: inside an installed package, or beside src/ in a checkout."""
    for folder in (PACKAGE / "conf", PACKAGE.parents[1] / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(f"conf/train.yaml is neither in {PACKAGE} nor beside src/: reinstall rnnscope")
