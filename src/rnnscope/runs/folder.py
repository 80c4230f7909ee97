"""A run on disk: the names of its files, and how its folder is created without overwriting anything."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rnnscope.errors import UserError
from rnnscope.paths import outputs_folder

NAME_LIMIT = 255  # bytes: what file systems of Linux and macOS allow


class _Named:
    """A file or folder in a run folder, by its name there."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, run: "RunFolder", owner: type) -> Path:
        return run.path / self.name


@dataclass(frozen=True)
class RunFolder:
    """The files of one run; docs/runs.md describes each of them."""

    path: Path

    config = _Named("config.yaml")
    record = _Named("run.json")
    vocabulary = _Named("vocabulary.json")
    weights = _Named("model.safetensors")
    metrics = _Named("metrics.csv")
    timings = _Named("timings.csv")
    samples = _Named("samples.jsonl")
    log = _Named("train.log")
    logged = _Named("logged.jsonl")
    lock = _Named("run.lock")
    checkpoints = _Named("checkpoints")
    patch = _Named("code.patch")
    environment = _Named("environment.txt")
    marks = _Named("marks.json")
    reproductions = _Named("reproductions")
    hydra = _Named(".hydra")

    def absolute(self) -> "RunFolder":
        """Return the folder by its absolute path, by which it is also found after `os.chdir`."""
        return RunFolder(self.path.absolute())


def refuse_links(run: RunFolder) -> None:
    """Raise a `UserError` if a run folder contains links: training in it would change files elsewhere."""
    for folder in (run.path, run.checkpoints, run.hydra):
        for path in (folder, *(folder.iterdir() if folder.is_dir() else ())):
            own = path == run.path or not path.is_symlink()
            if not own or (path.exists() and not (path.is_file() or path.is_dir())):
                raise UserError(f"{path} is a link or a special file: replace it by an ordinary copy, in the run folder itself")


def check_run_name(name: str) -> None:
    """Refuse, by a `UserError`, a name that no folder can have, that cannot be seen, or that already has a meaning."""
    if name.strip() in ("", ".", "..") or any(mark in "/\\" or ord(mark) < 32 for mark in name):
        raise UserError(
            f"name={name!r} cannot be the name of a run folder: use no slashes or control characters, not only dots or blanks"
        )
    if name == "latest":
        raise UserError("name=latest cannot be the name of a run: run=latest already means the newest one; choose another")
    if (size := len(name.encode())) > NAME_LIMIT:
        raise UserError(f"name={name[:40]}... has {size} bytes; a folder's name has at most {NAME_LIMIT}: set a shorter one")


def create_run_folder(name: str, under: Path | None = None) -> RunFolder:
    """Create outputs/runs/<name>/<time>/ and return it; -2, -3 ... is appended if that time is taken.

    Args:
        under: the folder to create it in instead of outputs/runs/<name>.

    Raises:
        UserError: if the folder cannot be created.
    """
    check_run_name(name)
    parent = under or outputs_folder() / "runs" / name
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for attempt in range(1, 1000):
        path = parent / (stamp if attempt == 1 else f"{stamp}-{attempt}")
        try:
            path.mkdir(parents=True)  # exclusive: it raises if the folder exists, even if another process just made it
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(f"{path}: cannot create the run folder ({error.strerror}); set RNNSCOPE_OUTPUTS") from error
        return RunFolder(path)
    raise UserError(f"{parent}: a thousand runs began in the same second; set name=")


def make_run_folder(path: Path) -> RunFolder:
    """Create exactly this run folder and return it.

    Raises:
        UserError: if it exists already, or cannot be created.
    """
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{path}: cannot create the run folder ({error.strerror})") from error
    return RunFolder(path)
