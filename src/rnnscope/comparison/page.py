"""The page of `rnnscope compare html=`: one HTML file with a table, curves and samples."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnscope.comparison.curves import Curves, Point, mean_curves, read_curves
from rnnscope.comparison.run_summary import TOKENS_PER_CHARACTER, Summary
from rnnscope.comparison.select import BEST, find_column, winners
from rnnscope.comparison.table import cell, is_numeric
from rnnscope.errors import UserError
from rnnscope.format import one_line, plain
from rnnscope.runs.record import KILLED
from rnnscope.runs.samples import final_sample
from rnnscope.web_page import escaped, script_json, web_page

TAGS = ("train/loss", "val/loss", "update_size/all")
SECONDS, TIMES = "throughput/seconds", 60  # points that are kept to convert steps to time
COLORS = 7  # in page.css; the next seven runs use them dashed, all others are grey
POINTS = 24_000  # of one tag in all runs; three tags then need two megabytes
CHARACTERS = 200_000  # of all samples together
LONGEST_SAMPLE = 4_000
CELL = 200  # characters of a cell
HEADS = {BEST: "bits per character", "tokens_per_second": "tokens/s", "standard_deviation": "standard deviation"}
BADGES = {
    (True, False): ' <span class="badge">\u2605 best</span>',
    (False, True): ' <span class="badge" title="its interval overlaps that of the best">\u2248 best</span>',
    (False, False): "",
}
MEANINGS = {
    BEST: "the lowest loss on the validation split, in bits per character of text",
    "time": "time trained, pauses left out (minutes:seconds)",
    "steps": "optimizer steps made, of the budget where it was not used up",
    "tokens_per_second": "training tokens per second of all the time trained, validation included",
    "parameters": "trainable numbers in the model",
    "mean": "the mean of the group's best bits per character",
    "low": "where the 95 % bootstrap interval of the mean begins",
    "high": "where the 95 % bootstrap interval of the mean ends",
}


@dataclass(frozen=True)
class Entry:
    """A run on the page: `label` is the last part of its name, `folders` the part before it, if that distinguishes runs.

    `look` are the CSS classes of its curves. A group has `members`, whose mean is drawn, and is `close` to the best group if
    the intervals of their means overlap.
    """

    run: Summary
    label: str
    folders: str
    look: str
    best: bool
    members: list[Summary]
    close: bool = False


def page(
    runs: list[Summary], columns: list[str], sort: str, groups: dict[str, list[Summary]], notes: list[str]
) -> tuple[str, list[str]]:
    """Return the page, and a message for each problem with the files of a run.

    Args:
        columns: of the table; the name of the run always comes first.
        sort: the column by which `runs` are sorted, with a leading `-` for descending order.
        groups: by name, the members of those `runs` that stand for groups.
        notes: lines to show below the one on the best run.
    """
    complaints: list[str] = []
    columns = ["run", *(column for column in columns if column != "run")]
    entries = make_entries(runs, groups)
    parts = {
        "title": f"{len(runs)} {'groups' if groups else 'runs'} compared" if len(runs) > 1 else "One run",
        "summary": "<br>".join([_summary(entries), *map(escaped, notes)]),
        "table": _table(entries, columns, sort),
        "samples": "\n".join(_sample(entry, CHARACTERS // len(runs), complaints) for entry in entries),
        "data": script_json(_data(entries, columns, complaints)),
    }
    return web_page(Path(__file__).with_suffix(".html"), parts), complaints


def make_entries(runs: list[Summary], groups: dict[str, list[Summary]]) -> list[Entry]:
    """Return an entry for each run; the first fourteen have their own colors."""
    best = winners(runs)
    lowest = {run.text: run for run in runs if run.name in best}
    names = [("", "", run.name[:CELL]) if groups else run.name[-CELL:].rpartition("/") for run in runs]
    several = len({folders for folders, _, _ in names}) > 1
    entries = []
    for index, (run, (folders, _, last)) in enumerate(zip(runs, names, strict=True)):
        look = f"k{index % COLORS}{' dashed' if index >= COLORS else ''}" if index < 2 * COLORS else "rest"
        label = one_line(last), one_line(folders) if several else ""
        entries.append(
            Entry(run, *label, look, run.name in best, groups.get(run.name, []), _overlap(run, lowest.get(run.text)))
        )
    return entries


def _overlap(run: Summary, best: Summary | None) -> bool:
    """Whether the 95 % intervals of two groups' means overlap; False for runs."""
    if best is None or run is best:
        return False
    bounds = [value for found in (run, best) for fact in ("low", "high") if (value := found.number(fact)) is not None]
    return len(bounds) == 4 and bounds[0] <= bounds[3] and bounds[2] <= bounds[1]


def _summary(entries: list[Entry]) -> str:
    """Return a sentence on the best run, or on the best run for each validation text."""
    won = [entry.run for entry in entries if entry.best]
    if len(won) == 1:
        return f"Best: <strong><bdi>{escaped(won[0].name)}</bdi></strong> with {cell(won[0], BEST)} bits per character."
    if not won:
        return "No run has been validated and ended yet."
    return (
        f"The runs were validated on {len(won)} different texts. The best on each is marked."
        " Compare bits per character only between runs of the same text."
    )


def _table(entries: list[Entry], columns: list[str], sort: str) -> str:
    runs = [entry.run for entry in entries]
    order = {find_column(sort.removeprefix("-"), runs, f"sort={sort}"): "descending" if sort.startswith("-") else "ascending"}
    kinds = ["number" if is_numeric(runs, column) else "text" for column in columns]
    heads = [_head(column, kind, order.get(column, "none")) for column, kind in zip(columns, kinds, strict=True)]
    return "\n".join(["<thead><tr>", *heads, "</tr></thead>", "<tbody>", *_rows(entries, columns, kinds), "</tbody>"])


def _head(column: str, kind: str, order: str) -> str:
    title = f' title="{MEANINGS[column]}"' if column in MEANINGS else ""
    name = escaped(HEADS.get(column, column)).replace(".", ".<wbr>")
    button = f'<button type="button"{title}>{name}</button>'
    return f'<th scope="col" class="{kind}" data-kind="{kind}" aria-sort="{order}">{button}</th>'


def _rows(entries: list[Entry], columns: list[str], kinds: list[str]) -> Iterator[str]:
    for index, entry in enumerate(entries):
        cells = "".join(_cell(entry.run, column, kind) for column, kind in zip(columns[1:], kinds[1:], strict=True))
        badge = BADGES[entry.best, entry.close]
        head = f'<th scope="row" data-value="{escaped(entry.run.name[:CELL])}">{_named(entry, badge)}</th>'
        yield f'<tr data-index="{index}"{" class=best" if entry.best else ""}>{head}{cells}</tr>'


def _cell(run: Summary, column: str, kind: str) -> str:
    value = run.value(column)
    sorted_by = "" if value is None else escaped(plain(value)[:CELL])
    kinds = f"{kind} status{' bad' if value in ('failed', 'diverged', KILLED) else ''}" if column == "status" else kind
    return f'<td class="{kinds}" data-value="{sorted_by}">{escaped(cell(run, column)[:CELL])}</td>'


def _named(entry: Entry, badge: str = "") -> str:
    """Return a run's name, with its folders below, next to the look of its curves."""
    swatch = f'<svg class="swatch {entry.look}" viewBox="0 0 22 8" aria-hidden="true"><path d="M0 4H22"/></svg>'
    below = f"<small><bdi>{escaped(entry.folders)}</bdi></small>" if entry.folders else ""
    return f"{swatch}<bdi>{escaped(entry.label)}</bdi>{badge}{below}"


def _sample(entry: Entry, most: int, complaints: list[str]) -> str:
    sample = None
    try:
        sample = final_sample(entry.run.folder.samples)
    except UserError as error:
        complaints.append(str(error))
    start = f"<article{' class=best' if entry.best else ''}><h3>{_named(entry)}</h3>"
    if sample is None:
        return f'{start}<p class="hint">no sample yet</p></article>'
    most = min(LONGEST_SAMPLE, max(200, most))
    prompt, text = (_lines(part[:most]) + ("\u2026" if len(part) > most else "") for part in (sample.prompt, sample.text))
    where = f"step {sample.step:,}, temperature {sample.temperature:g}"
    return f'{start}<p class="hint">{where}</p><pre>\n<span class="prompt">{prompt}</span>{text}</pre></article>'


def _lines(text: str) -> str:
    """Return text with its line ends and tabs; other control characters are replaced."""
    return "".join(mark if mark in "\n\t" else escaped(mark) for mark in text)


def _data(entries: list[Entry], columns: list[str], complaints: list[str]) -> list[dict[str, Any]]:
    """Return the data that the script draws: for each run its curves, and factors to convert their units."""
    most = min(600, max(40, POINTS // len(entries)))
    settings = [column for column in columns if any(column in entry.run.config for entry in entries)][:3]
    found = []
    for entry in entries:
        run, (curves, bands, seconds) = entry.run, _curves(entry, most)
        complaints += [curves.complaint] if curves.complaint and not run.complaint else []
        found.append(
            {
                "name": one_line(run.name[:CELL]),
                "label": entry.label,
                "settings": one_line(", ".join(plain(run.config.get(key))[:40] for key in settings)),
                "best": entry.best,
                "look": entry.look,
                "tokens": _ratio(run, "tokens", "step"),
                "bits": {tag: _bits(run, tag) for tag in TAGS[:2]},
                "seconds": _rounded(seconds.points[SECONDS]),
                "curves": {tag: _rounded(points) for tag, points in curves.points.items()},
                "bands": {tag: _rounded(points)[1] for tag, points in bands.points.items()},
            }
        )
    return found


def _curves(entry: Entry, most: int) -> tuple[Curves, Curves, Curves]:
    """Return the curves of a run or the means of a group, their standard deviations, and the seconds trained by step."""
    if not entry.members:
        run = entry.run.folder
        return read_curves(run.metrics, list(TAGS), most), Curves(), read_curves(run.timings, [SECONDS], TIMES)
    means, bands = mean_curves([run.folder.metrics for run in entry.members], list(TAGS), most)
    return means, bands, mean_curves([run.folder.timings for run in entry.members], [SECONDS], TIMES)[0]


def _bits(run: Summary, tag: str) -> float | None:
    """Return the bits per character of a nat per token of `train/loss` or `val/loss`."""
    tokens = run.number(f"{tag.partition('/')[0]}/{TOKENS_PER_CHARACTER}")
    return tokens / math.log(2) if tokens else None


def _ratio(run: Summary, above: str, below: str) -> float | None:
    """Return the ratio of two metrics of a run, which is the same at every step."""
    dividend, divisor = run.number(above), run.number(below)
    return dividend / divisor if dividend and divisor else None


def _rounded(points: list[Point]) -> tuple[list[int], list[float]]:
    """Return steps and values, the values with five digits."""
    return [step for step, _ in points], [float(f"{value:.5g}") for _, value in points]
