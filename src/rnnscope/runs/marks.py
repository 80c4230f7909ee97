"""marks.json: the tags and note that a user gives a run. Training, resuming and reproducing ignore it."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from rnnscope.errors import UserError, reason, shown
from rnnscope.runs.files import replace_text
from rnnscope.runs.folder import RunFolder
from rnnscope.runs.plain_values import is_list, is_mapping
from rnnscope.runs.safe_files import check_plain

SIZE_LIMIT = 100_000  # bytes
TAG = re.compile(r"\w[\w.-]{0,39}")


@dataclass(frozen=True)
class Marks:
    """The tags and note of a run."""

    tags: list[str] = field(default_factory=list[str])
    note: str | None = None


def read_marks(run: RunFolder) -> Marks:
    """Return the marks of a run; empty if it has none.

    Raises:
        UserError: if marks.json is not what rnnscope writes.
    """
    if not run.marks.is_symlink() and not run.marks.exists():
        return Marks()
    check_plain(run.marks, SIZE_LIMIT)
    try:
        values: Any = json.loads(run.marks.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{run.marks} cannot be read ({reason(error)}); remove it") from error
    tags: Any = values.get("tags") if is_mapping(values) else None
    note: Any = values.get("note") if is_mapping(values) else None
    whole = is_list(tags) and all(isinstance(tag, str) and TAG.fullmatch(tag) for tag in tags)
    if not whole or not isinstance(note, str | None):
        raise UserError(f"{run.marks} does not have tags and a note as rnnscope writes them; remove it")
    return Marks(tags, note)


def write_marks(run: RunFolder, marks: Marks) -> None:
    """Write the marks of a run, atomically; without tags and note, remove the file."""
    if not marks.tags and not marks.note:
        run.marks.unlink(missing_ok=True)
        return
    replace_text(run.marks, json.dumps({"tags": marks.tags, "note": marks.note}, ensure_ascii=False) + "\n")


def parse_tags(typed: str) -> list[str]:
    """Return the tags in `paper,draft`, without repetitions; empty for an empty text.

    Raises:
        UserError: for a tag with characters other than letters, digits, `_`, `-` and `.`, which filters could not name.
    """
    tags = [word.strip() for word in typed.strip("[] ").split(",")] if typed.strip("[] ") else []
    for tag in tags:
        if not TAG.fullmatch(tag):
            raise UserError(f"tags={typed}: {shown(tag)} cannot be a tag: use letters, digits, _, - and ., at most 40 of them")
    return list(dict.fromkeys(tags))
