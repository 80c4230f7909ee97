"""`rnnscope runs`: list, mark and rename runs, move them to the trash and back, and empty the trash."""

import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rnnscope.commands.compare import runs_under, warn
from rnnscope.comparison.collection import read_runs
from rnnscope.comparison.overview import lines_of, size_of, size_text, values_of
from rnnscope.comparison.run_summary import Summary, summarize
from rnnscope.comparison.select import filter_runs
from rnnscope.config.schema import RunsConfig, refuse_without_effect
from rnnscope.errors import UserError, check_choice
from rnnscope.format import json_text, plural, printable
from rnnscope.runs.find import find_run
from rnnscope.runs.folder import RunFolder, check_run_name
from rnnscope.runs.marks import Marks, parse_tags, read_marks, write_marks
from rnnscope.runs.moving import (
    check_movable,
    delete_run,
    finish_deleting,
    move_run,
    renamed,
    restored,
    seconds_in_trash,
    trash_folder,
    trashed,
)

KEYS = {  # the keys of each action; others would have no effect
    None: ("filter", "folder", "json"),
    "mark": ("run", "filter", "tags", "note"),
    "rename": ("run", "name", "yes"),
    "trash": ("run", "filter", "yes"),
    "restore": ("run", "filter", "yes"),
    "purge": ("run", "filter", "older_than", "yes"),
}
SECONDS = {"d": 86_400, "h": 3_600, "w": 604_800}


def run(config: RunsConfig) -> int:
    """Run the action; the exit status is 1 if the user answers no."""
    if config.action is not None:
        check_choice("action", config.action, filter(None, KEYS))
    other = [key for key in vars(config) if key not in ("action", *KEYS[config.action])]
    refuse_without_effect(config, other, f"to runs {config.action or 'without an action'}")
    actions = {None: show, "mark": mark, "rename": rename, "trash": trash, "restore": restore, "purge": purge}
    return actions[config.action](config)


def show(config: RunsConfig) -> int:
    """Print the list of runs, and a line on the trash."""
    below = [] if config.json else trash_lines(config)
    try:
        everything = runs_under(config.folder, reproductions=True)
    except UserError:
        if not below:
            raise
        everything = []  # the last run was moved to the trash
    runs = filter_runs(everything, config.filter or "") if everything else []
    if config.json:
        print(json_text([values_of(run) for run in runs], indent=1))
        return 0
    print(printable("\n".join([*(lines_of(runs) if runs else ["there are no runs"]), *below])))
    return 0


def trash_lines(config: RunsConfig) -> list[str]:
    """Return a line on what is in the trash, after an empty one; none if nothing is there or a folder was given."""
    runs = in_trash() if config.folder is None else []
    if not runs:
        return []
    size = size_text(sum(size_of(run.folder.path) for run in runs))
    return ["", f"{plural(len(runs), 'run')} in {trash_folder()} ({size}): rnnscope runs folder={trash_folder()}"]


def mark(config: RunsConfig) -> int:
    """Set the tags and the note of runs."""
    if config.tags is None and config.note is None:
        raise UserError("runs mark needs tags= or note=, as in tags=paper")
    tags = None if config.tags is None else parse_tags(config.tags)
    for summary in chosen(config):
        try:
            old = read_marks(summary.folder)
        except UserError as error:
            warn(f"{error}; the file is replaced")
            old = Marks()
        new = Marks(old.tags if tags is None else tags, old.note if config.note is None else config.note or None)
        write_marks(summary.folder, new)
        note = f"; {new.note}" if new.note else ""
        print(printable(f"{summary.name}: {', '.join(new.tags) or 'no tags'}{note}"))
    return 0


def rename(config: RunsConfig) -> int:
    """Rename a run."""
    if config.run is None or config.name is None:
        raise UserError("runs rename needs run= and name=, as in: rnnscope runs rename run=latest name=baseline")
    check_run_name(config.name)
    return move(config, chosen(config), lambda run: renamed(run, str(config.name)), "rename")


def trash(config: RunsConfig) -> int:
    """Move runs to the trash."""
    return move(config, chosen(config), trashed, f"move to {trash_folder()}")


def restore(config: RunsConfig) -> int:
    """Move runs back from the trash to where they were."""
    return move_agreed(config, chosen_in_trash(config), restored, "restore", [])


def purge(config: RunsConfig) -> int:
    """Delete runs that are in the trash."""
    finish_deleting()
    least = None if config.older_than is None else seconds_of(config.older_than)
    if least is None and config.run is None and config.filter is None:
        raise UserError("runs purge needs older_than=, run= or filter=, as in older_than=30d (0d for all runs in the trash)")
    if config.run is None and not in_trash():
        print(f"the trash, {trash_folder()}, is empty")
        return 0
    found = [run for run in chosen_in_trash(config) if least is None or seconds_in_trash(run.folder) >= least]
    if not found:
        print(f"nothing in {trash_folder()} is older than {config.older_than}")
        return 0
    if not agreed(config, found, "delete for good", []):
        return 1
    for summary in found:
        delete_run(summary.folder)
        print(printable(f"deleted {summary.name}"))
    return 0


def move(config: RunsConfig, runs: list[Summary], place: Callable[[RunFolder], Path], what: str) -> int:
    """Move the runs that can be moved; report those that cannot, and runs that came from them."""
    free: list[Summary] = []
    for summary in runs:
        try:
            check_movable(summary.folder)
            free.append(summary)
        except UserError as error:
            if config.run is not None:
                raise
            warn(f"{error}; it is left where it is")
    if not free:
        raise UserError(f"filter={config.filter}: none of these {plural(len(runs), 'run')} can be moved")
    return move_agreed(config, free, place, what, descendants(free))


def move_agreed(
    config: RunsConfig, runs: list[Summary], place: Callable[[RunFolder], Path], what: str, lines: list[str]
) -> int:
    """Move runs if the user agrees to `what`; `lines` are shown to help with that."""
    if not agreed(config, runs, what, lines):
        return 1
    for summary in runs:
        target = place(summary.folder)
        move_run(summary.folder, target)
        print(printable(f"{summary.folder.path} -> {target}"))
    return 0


def descendants(runs: list[Summary]) -> list[str]:
    """Return a line for each run that came from one of `runs`."""
    places = {os.path.realpath(run.folder.path): run.name for run in runs}
    lines = []
    for other in runs_under(None):
        parent = other.value("parent")
        name = places.get(os.path.realpath(parent)) if isinstance(parent, str) else None
        if name is not None and other.name not in places.values():
            needs = other.config.get("init_from") is not None
            lines.append(f"  {other.name} came from {name}{', whose weights it needs to be reproduced' if needs else ''}")
    return lines


def agreed(config: RunsConfig, runs: list[Summary], what: str, lines: list[str]) -> bool:
    """Show what is about to happen, and return whether the user agrees.

    Raises:
        UserError: if stdin is not a terminal.
    """
    sizes = [size_of(run.folder.path) for run in runs]
    for summary, size in zip(runs, sizes, strict=True):
        print(printable(f"  {summary.name}  {summary.facts['status']}  {size_text(size)}"))
    for line in lines:
        print(printable(line))
    if config.yes:
        return True
    question = f"{what}: {plural(len(runs), 'run')}, {size_text(sum(sizes))}"
    if sys.stdin is None or not sys.stdin.isatty():
        raise UserError(f"{question}: this needs confirmation on a terminal; add yes=true to go ahead without it")
    with suppress(EOFError):  # Ctrl-D means no
        return input(f"{question}? [y/N] ").strip().lower() in ("y", "yes")
    return False


def chosen(config: RunsConfig) -> list[Summary]:
    """Return the runs that `run=` or `filter=` selects.

    Raises:
        UserError: if neither does, or both.
    """
    check_selection(config)
    if config.run is None:
        return filter_runs(runs_under(None), config.filter or "")
    folder = find_run(config.run)
    return [summarize(folder, str(folder.path))]


def check_selection(config: RunsConfig) -> None:
    """Check that either `run=` or `filter=` is given; `purge` needs neither.

    Raises:
        UserError: if not.
    """
    given = (config.run is not None) + (config.filter is not None)
    if given > 1 or (not given and config.action != "purge"):  # purge takes older_than= alone
        raise UserError(f"runs {config.action} needs either run= or filter=, as in run=latest or filter=status=failed")


def in_trash() -> list[Summary]:
    """Return the runs in the trash under their former names; reproductions inside a run are left out."""
    folders = sorted(path for path in trash_folder().glob("[!.]*") if path.is_dir())
    runs = [run for folder in folders for run in read_runs(folder, reproductions=True).runs]
    places = {run.folder.path for run in runs}
    return [run for run in runs if places.isdisjoint(run.folder.path.parents)]


def chosen_in_trash(config: RunsConfig) -> list[Summary]:
    """Return the runs in the trash that `run=` or `filter=` selects.

    Raises:
        UserError: if there are none, or `run=` fits several.
    """
    check_selection(config)
    found = in_trash()
    if not found:
        raise UserError(f"there are no runs in {trash_folder()}")
    if config.run is None:
        return filter_runs(found, config.filter or "")
    matches = [run for run in found if config.run in (run.name, str(run.folder.path))] or [
        run for run in found if run.name.startswith(config.run) or run.name.rpartition("/")[2].startswith(config.run)
    ]
    if len(matches) != 1:
        listed = ", ".join(run.name for run in (matches or found)[:4])
        count = f"fits {len(matches)} runs" if matches else "names no run"
        raise UserError(f"run={config.run} {count} in {trash_folder()}: {listed}")
    return matches


def seconds_of(typed: str) -> float:
    """Return the seconds in `30d`, `12h` or `2w`.

    Raises:
        UserError: for anything else.
    """
    found = re.fullmatch(r"(\d{1,6})([dhw])", typed)
    if found is None:
        raise UserError(f"older_than={typed} is not a duration: write days, hours or weeks, as in 30d, 12h or 2w")
    return int(found[1]) * SECONDS[found[2]]
