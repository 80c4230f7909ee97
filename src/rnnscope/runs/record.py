"""run.json: what a run is and its status."""

import json
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

from rnnscope.errors import DAMAGED, UserError, unreadable
from rnnscope.format import json_text
from rnnscope.runs.files import replace_text
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.lock import is_locked
from rnnscope.runs.plain_values import is_mapping
from rnnscope.runs.safe_files import check_plain
from rnnscope.runs.version import check_version

SCHEMA = 1  # version of run.json; readers refuse a newer one
SIZE_LIMIT = 20_000_000  # bytes; a usual run.json has about ten thousand
STATUSES = ("running", "finished", "interrupted", "failed", "diverged")
KILLED = "killed"  # shown for a run whose record says `running` although no process holds its lock


class Record:
    """The contents of run.json, which each `update` writes anew."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.path, self.values = path, values

    @classmethod
    def create(cls, path: Path, **values: Any) -> "Record":
        """Write the record of a new run; its `id` distinguishes its checkpoints from those of different runs."""
        record = cls(path, {"schema": SCHEMA, "id": token_hex(8), "status": "running", "started": now(), **values})
        record.update()
        return record

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Read run.json.

        Raises:
            UserError: if it is missing, broken, or from a newer rnnscope.
        """
        try:
            if path.stat().st_size > SIZE_LIMIT:
                raise ValueError(f"it has {path.stat().st_size:,} bytes, more than the limit of {SIZE_LIMIT:,}")
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{path.parent} is not a run folder: it has no run.json") from None
        except (OSError, ValueError, RecursionError) as error:
            raise unreadable(path, error) from error
        check_version("schema", values.get("schema") if is_mapping(values) else None, SCHEMA, str(path))
        return cls(path, values)

    def get(self, key: str, kind: type, default: Any = None) -> Any:
        """Return the value at a dotted key, or `default` if there is none.

        Raises:
            UserError: if it is not of this type.
        """
        value = value_at(self.values, key)
        if value is None:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise UserError(f"{self.path}: {key} is {str(value)[:40]!r}, not {kind.__name__}: {DAMAGED}")
        return value

    def update(self, **values: Any) -> None:
        """Change `values` and write the file anew, atomically."""
        assert values.get("status", "running") in STATUSES
        self.values.update(values)
        replace_text(self.path, json_text(self.values, indent=1, ensure_ascii=False) + "\n")


def status_of(record: Record, alive: bool = False) -> str:
    """Return the status of a run; `killed` if the record says `running` and no process holds the lock.

    Args:
        alive: believe `running` without looking at the lock.

    Raises:
        UserError: for a status that rnnscope does not write.
    """
    status = record.get("status", str)
    if status not in STATUSES:
        raise UserError(f"{record.path}: status is {str(status)[:40]!r}, not one of {', '.join(STATUSES)}")
    if status != "running" or alive:
        return status
    lock = RunFolder(record.path.parent).lock
    try:
        check_plain(lock, SIZE_LIMIT)
        return status if is_locked(lock) else KILLED
    except UserError:  # no lock file: no process trains there
        return KILLED
    except OSError:  # the file of a different user, which we may not open: believe the record
        return status


def value_at(values: Any, key: str) -> Any:
    """Return the value at a dotted key of nested values, or None if there is none."""
    for part in key.split("."):
        values = values.get(part) if is_mapping(values) else None
    return values


def parent_entry(record: Record, **more: Any) -> dict[str, Any]:
    """Return the `parent` entry for the record of a run that came from the run of `record`."""
    known = ("name", "started", "git_commit", "weights_sha256")
    return {"path": str(record.path.parent.resolve()), **{key: record.values.get(key) for key in known}, **more}


def now() -> str:
    """Return the current time in UTC, to the second, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
