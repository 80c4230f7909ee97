"""`rnnscope compare`: the runs under a folder side by side, how they differ and which is best; or two runs in detail."""

import sys
from pathlib import Path

from rnnscope.comparison import formats
from rnnscope.comparison.collection import Found, read_runs
from rnnscope.comparison.formats import format_for
from rnnscope.comparison.page import page
from rnnscope.comparison.pair import find_pair, pair_lines
from rnnscope.comparison.run_summary import Summary
from rnnscope.comparison.select import by_text, chosen_columns, default_columns, filter_runs, sort_runs, winners
from rnnscope.comparison.table import shared_folder, tables
from rnnscope.config.schema import CompareConfig
from rnnscope.errors import UserError
from rnnscope.format import output_width, plural, printable
from rnnscope.paths import outputs_folder
from rnnscope.runs.files import replace_text


def run(config: CompareConfig) -> None:
    """Compare two runs where `run=` or `with=` names them, else those under a folder."""
    if config.run is not None or config.other is not None:
        compare_two(config)
    else:
        compare_many(config)


def compare_many(config: CompareConfig) -> None:
    """Print the table, or write it where `output=` and `html=` say."""
    kind = format_for(config.format, config.output)
    if config.limit is not None and config.limit < 1:
        raise UserError(f"limit={config.limit} must be at least 1")
    everything = runs_under(config.folder)
    columns = chosen_columns(config.columns, everything)
    kept = filter_runs(everything, config.filter or "")
    runs = sort_runs(kept, config.sort)[: config.limit]
    if config.html is not None:
        write_page(config.html, runs, columns, config.sort)
    if config.html is None or config.output is not None:
        lines = lines_of(kind, runs, columns, config, len(everything))
        deliver(lines, config.output, plural(len(runs), "run"))


def runs_under(typed: str | None) -> list[Summary]:
    """Return the runs under a folder, after a line on stderr for each that cannot be read.

    Raises:
        UserError: when the folder does not exist or has no run.
    """
    folder = outputs_folder() if typed is None else Path(typed)
    if typed is not None and not folder.is_dir():
        raise UserError(f"folder={typed} does not exist")
    found = read_runs(folder) if folder.is_dir() else Found()
    for complaint in found.complaints:
        warn(complaint)
    if found.runs:
        return found.runs
    if typed is None:
        raise UserError(f"there are no runs under {folder}; train one with: rnnscope train")
    raise UserError(f"folder={typed} contains no runs")


def warn(complaint: str) -> None:
    """Say on stderr, in one line, what is wrong with somebody's file."""
    shown = printable(complaint.replace("\n", " "))
    print(f"warning: {shown if len(shown) < 1000 else shown[:1000] + '…'}", file=sys.stderr)


def lines_of(kind: str, runs: list[Summary], columns: list[str] | None, config: CompareConfig, total: int) -> list[str]:
    """Return the runs as lines of one of the formats; only a table that is printed is limited in width."""
    if kind in formats.LINES:
        return formats.LINES[kind](runs, columns or default_columns(runs))
    return [headline(runs, config, total), *tables(runs, columns, output_width() if config.output is None else None)]


def headline(runs: list[Summary], config: CompareConfig, total: int) -> str:
    """Return a line on which runs are shown, in which order, and what the marks mean."""
    counted = plural(len(runs), "run") if len(runs) == total else f"{len(runs)} of {total} runs"
    shared = shared_folder(runs)
    where = f"{counted} under {config.folder or outputs_folder()}{f', in {shared}' if shared else ''}, by {config.sort}"
    best = "the best on each validation text" if len(by_text(runs)) > 1 else "the best"
    return f"{where}; * {best}" if winners(runs) else where


def deliver(lines: list[str], output: str | None, what: str) -> None:
    """Print the lines, or write them to the file `output` in one step and say so.

    Raises:
        UserError: when the file cannot be written.
    """
    if output is None:
        print(printable("\n".join(lines)))
        return
    write_file("output", output, "\n".join(lines) + "\n")
    print(printable(f"wrote {output}: {what}"))


def write_file(key: str, path: str, text: str) -> None:
    """Write what the key asked for.

    Raises:
        UserError: when it cannot be written.
    """
    try:
        if not Path(path).name or Path(path).is_dir():
            raise IsADirectoryError(21, "it is a folder")
        replace_text(Path(path), text)
    except OSError as error:
        raise UserError(f"{key}={path} cannot be written: {error.strerror}") from error


def write_page(path: str, runs: list[Summary], columns: list[str] | None, sort: str) -> None:
    """Write the runs as one page and say so."""
    text, complaints = page(runs, columns or default_columns(runs), sort)
    for complaint in complaints:
        warn(complaint)
    write_file("html", path, text)
    print(printable(f"wrote {path}: {plural(len(runs), 'run')}, {len(text.encode()) / 1e6:.2f} MB; open it in a browser"))


def compare_two(config: CompareConfig) -> None:
    """Print how `run=` and `with=` differ; `html=` writes the page of the two."""
    for key in ("folder", "filter", "columns", "format", "output", "limit"):
        if getattr(config, key) is not None:
            raise UserError(f"{key}= does not apply to two runs; leave it out, or leave out run= and with=")
    pair = find_pair(config.run, config.other)
    for summary in pair:
        if summary.complaint:
            warn(summary.complaint)
    print(printable("\n".join(pair_lines(*pair))))
    if config.html is not None:
        print()
        write_page(config.html, sort_runs(list(pair), config.sort), None, config.sort)
