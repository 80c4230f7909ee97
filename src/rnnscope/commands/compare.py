"""`rnnscope compare`: the runs under a folder side by side, or two runs in detail."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rnnscope.comparison import formats
from rnnscope.comparison.collection import Found, read_runs
from rnnscope.comparison.formats import format_for
from rnnscope.comparison.page import page
from rnnscope.comparison.pair import find_pair, pair_lines
from rnnscope.comparison.run_summary import Summary
from rnnscope.comparison.select import by_text, chosen_columns, default_columns, filter_runs, sort_runs, winners
from rnnscope.comparison.table import shared_folder, tables
from rnnscope.config.schema import CompareConfig, refuse_without_effect
from rnnscope.errors import UserError, check_least
from rnnscope.format import output_width, plural, printable
from rnnscope.paths import outputs_folder
from rnnscope.runs.files import replace_text

if TYPE_CHECKING:
    from rnnscope.comparison.groups import Group


def run(config: CompareConfig) -> None:
    """Compare two runs if `run=` or `with=` is given, else those under a folder."""
    if config.run is not None or config.other is not None:
        compare_two(config)
    else:
        compare_many(config)


def compare_many(config: CompareConfig) -> None:
    """Print the table, or write it to the files in `output=` and `html=`."""
    kind = format_for("json" if config.json else config.format, config.output)
    if config.json:
        refuse_without_effect(config, ["format"], "to json=true")
    if config.html is not None and config.output is not None and Path(config.html).resolve() == Path(config.output).resolve():
        raise UserError(f"html= and output= both name {config.html}: give two files")
    if config.html is not None and config.output is None:
        refuse_without_effect(config, ("format", "json"), "to html= without output=")
    check_least("limit", config.limit, 1)
    everything = runs_under(config.folder, config.reproductions)
    kept = filter_runs(everything, config.filter or "")
    if config.group is not None:
        compare_groups(kept, kind, config, len(everything))
        return
    columns = chosen_columns(config.columns, everything)
    runs = sort_runs(kept, config.sort)[: config.limit]
    if config.html is not None:
        write_page(config.html, runs, columns, config.sort)
    if config.html is None or config.output is not None:
        lines = lines_of(kind, runs, columns, config, len(everything), len(runs) < len(kept))
        deliver(lines, config.output, plural(len(runs), "run"))


def compare_groups(runs: list[Summary], kind: str, config: CompareConfig, total: int) -> None:
    """Print or write a line for each group of runs that differ in one key only."""
    from rnnscope.comparison.groups import all_difference_lines, group_columns, group_tables, make_groups

    assert config.group is not None
    groups, keys = make_groups(runs, config.group)
    by_label = {group.label: group for group in groups}
    lines = sort_runs([group.summary() for group in groups], config.sort)[: config.limit]
    found, groups = len(groups), [by_label[line.name] for line in lines]
    if kind not in formats.LINES and config.html is None:
        refuse_without_effect(config, ["columns"], "to the table of group=, but to format=csv, markdown or json")
    columns = chosen_columns(config.columns, lines) or group_columns(keys)
    if single := [column for column in columns if "/" in column]:
        raise UserError(f"columns={config.columns}: {single[0]} is of one run; a group has {', '.join(group_columns(keys))}")
    if config.html is not None:
        members, notes = {group.label: group.counting for group in groups}, all_difference_lines(groups)
        write_page(config.html, lines, columns, config.sort, members, notes)
    if config.html is None or config.output is not None:
        head = [group_headline(groups, found, runs, config, total)]
        said = formats.LINES[kind](lines, columns) if kind in formats.LINES else [*head, *group_tables(groups, keys)]
        deliver(said, config.output, plural(len(groups), "group"))


def group_headline(groups: list["Group"], found: int, runs: list[Summary], config: CompareConfig, total: int) -> str:
    """Return a line on what is grouped and what the marks mean; `found` is the number of groups before `limit`."""
    counted = plural(total, "run") if len(runs) == total else f"{len(runs)} of {total} runs"
    shown = plural(found, "group") if len(groups) == found else f"{len(groups)} of {plural(found, 'group')}"
    what = f"{shown} of {counted} under {config.folder or outputs_folder()} that differ only in {config.group}, by mean"
    return f"{what}; * lowest{' of those shown' if len(groups) < found else ''}, ~ 95 % interval overlaps that of the lowest"


def runs_under(typed: str | None, reproductions: bool = False) -> list[Summary]:
    """Return the runs under a folder; print a line on stderr for each that cannot be read.

    Raises:
        UserError: if the folder does not exist or has no run.
    """
    folder = outputs_folder() if typed is None else Path(typed)
    if typed is not None and (not typed or not folder.is_dir()):
        found = "is empty" if not typed else "is not a folder" if folder.exists() else "does not exist"
        raise UserError(f"folder={typed} {found}: give a folder with runs")
    found = read_runs(folder, reproductions) if folder.is_dir() else Found()
    for complaint in found.complaints:
        warn(complaint)
    if found.runs:
        return found.runs
    if found.complaints:
        raise UserError(f"no run under {folder} can be read; train one with: rnnscope train")
    if typed is None:
        raise UserError(f"there are no runs under {folder}; train one with: rnnscope train")
    raise UserError(f"folder={typed} contains no runs")


def warn(complaint: str) -> None:
    """Print a warning on stderr, in one line."""
    shown = printable(complaint.replace("\n", " "))
    print(f"warning: {shown if len(shown) < 1000 else shown[:1000] + '…'}", file=sys.stderr)


def lines_of(
    kind: str, runs: list[Summary], columns: list[str] | None, config: CompareConfig, total: int, cut: bool = False
) -> list[str]:
    """Return the runs in one of the formats; only a table that is printed has a limited width."""
    if kind in formats.LINES:
        return formats.LINES[kind](runs, columns or default_columns(runs))
    return [headline(runs, config, total, cut), *tables(runs, columns, output_width() if config.output is None else None)]


def headline(runs: list[Summary], config: CompareConfig, total: int, cut: bool) -> str:
    """Return a line on which runs are shown, in which order, and what the mark means; `cut`: whether `limit` left some out."""
    counted = plural(len(runs), "run") if len(runs) == total else f"{len(runs)} of {total} runs"
    shared = shared_folder(runs)
    where = f"{counted} under {config.folder or outputs_folder()}{f', in {shared}' if shared else ''}, by {config.sort}"
    best = f"the best{' of those shown' if cut else ''}{' on each validation text' if len(by_text(runs)) > 1 else ''}"
    return f"{where}; * {best}" if winners(runs) else where


def deliver(lines: list[str], output: str | None, what: str) -> None:
    """Print the lines, or write them to the file `output`, atomically, and say so.

    Raises:
        UserError: if the file cannot be written.
    """
    if output is None:
        print(printable("\n".join(lines)))
        return
    write_file("output", output, "\n".join(lines) + "\n")
    print(printable(f"wrote {output}: {what}"))


def write_file(key: str, path: str, text: str) -> None:
    """Write `text` to the file that the user gave as `key`.

    Raises:
        UserError: if it cannot be written.
    """
    try:
        if not path:
            raise UserError(f"{key}= is empty: give the file to write")
        if not Path(path).name or Path(path).is_dir():
            raise IsADirectoryError(21, "it is a folder")
        replace_text(Path(path), text)
    except OSError as error:
        raise UserError(f"{key}={path} cannot be written: {error.strerror}") from error


def write_page(
    path: str,
    runs: list[Summary],
    columns: list[str] | None,
    sort: str,
    groups: dict[str, list[Summary]] | None = None,
    notes: list[str] | None = None,
) -> None:
    """Write a page of the runs and say so; `groups` are the members, by name, of those `runs` that stand for groups."""
    text, complaints = page(runs, columns or default_columns(runs), sort, groups or {}, notes or [])
    for complaint in complaints:
        warn(complaint)
    write_file("html", path, text)
    counted = plural(len(runs), "group" if groups else "run")
    print(printable(f"wrote {path}: {counted}, {len(text.encode()) / 1e6:.2f} MB; open it in a browser"))


def compare_two(config: CompareConfig) -> None:
    """Print the differences between two runs; with `html=`, also write a page."""
    keys = ("folder", "filter", "columns", "group", "format", "json", "output", "limit", "reproductions")
    refuse_without_effect(config, keys if config.html else (*keys, "sort"), "to two runs (run= and with=)")
    pair = find_pair(config.run, config.other)
    for summary in pair:
        if summary.complaint:
            warn(summary.complaint)
    print(printable("\n".join(pair_lines(*pair))))
    if config.html is not None:
        print()
        write_page(config.html, sort_runs(list(pair), config.sort), None, config.sort)
