"""The table of `rnnscope compare` in a terminal: columns that fit its width, and a line on those that do not."""

from collections import Counter
from dataclasses import dataclass, replace

from rnnscope.comparison.run_summary import Summary, Value
from rnnscope.comparison.select import BEST, FACTS, LABELS, by_text, default_columns, winners
from rnnscope.format import GAP, clock, columns_of, number, one_line, plain, plural, table_lines

WIDEST = 40  # columns of a cell; longer text is cut, except a run's name, which users type
DIGITS = 8  # characters of a setting; longer numbers are rounded to four digits


@dataclass(frozen=True)
class Column:
    """A column as shown: each of `cells` is one line of text."""

    key: str
    label: str
    cells: list[str]
    numeric: bool

    @property
    def width(self) -> int:
        return max(map(columns_of, [self.label, *self.cells]))


def make_columns(runs: list[Summary], keys: list[str], shared: str) -> list[Column]:
    """Return the columns in full: keys as they are typed, runs by their names relative to the folder `shared`."""
    columns = []
    for key in keys:
        cells = [run.name.removeprefix(f"{shared}/") if key == "run" else cut(cell(run, key)) for run in runs]
        label = one_line(LABELS.get(key, key))
        columns.append(Column(key, label, [one_line(text) for text in cells], is_numeric(runs, key)))
    return columns


def is_numeric(runs: list[Summary], key: str) -> bool:
    """Whether all values of a column are numbers."""
    return all(type(run.value(key)) in (int, float, type(None)) for run in runs)


def shared_folder(runs: list[Summary]) -> str:
    """Return the folder that all runs are in, by their names; empty if there is none, or only one run."""
    folders = {run.name.rpartition("/")[0] for run in runs}
    return folders.pop() if len(folders) == 1 and len(runs) > 1 else ""


def cell(run: Summary, key: str) -> str:
    """Return the text of a cell: 0.001, 4:46, 38,200, 250/400."""
    measured = run.number(key)
    if measured is None or key in run.config:
        return setting(run.value(key)) if run.has(key) else ""
    if key in (BEST, "loss"):
        return f"{measured:.4f}"
    if key == "steps":
        return _steps(run, measured)
    if key == "tokens_per_second":
        return f"{measured:,.0f}"
    return clock(measured) if key == "time" else number(measured)


def setting(value: Value) -> str:
    """Return the text of a setting: 0.003, gru, and 0.003162 for 0.0031622776601683794, which a search drew."""
    text = plain(value)
    return f"{value:.4g}" if isinstance(value, float) and len(text) > DIGITS else text


def _steps(run: Summary, steps: float) -> str:
    total = run.number("total_steps")
    whole = run.facts["status"] == "finished" or total is None
    return f"{steps:,.0f}" if whole else f"{steps:,.0f}/{total:,.0f}"


def cut(text: str) -> str:
    """Return text, cut to the length of a cell."""
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def tables(runs: list[Summary], columns: list[str] | None, width: int | None) -> list[str]:
    """Return a table for each validation text, with a heading if there are several; None as `columns` means the default."""
    texts = by_text(runs)
    lines: list[str] = []
    for name, same in texts.items():
        keys = columns or default_columns(same)
        heading = ["", f"validation text: {one_line(name)} ({plural(len(same), 'run')})"] if len(texts) > 1 else []
        lines += [*heading, "", *table(same, keys if "run" in keys else ["run", *keys], shared_folder(runs), width)]
    return lines


def table(runs: list[Summary], keys: list[str], shared: str, width: int | None) -> list[str]:
    """Return the lines of a table of runs in the folder `shared`, no wider than `width` if possible.

    To make it narrower, in this order: keys are reduced to their last part; names of runs, too; facts that all runs share move
    to a line above; columns that do not fit are listed in a line below.
    """
    columns, above, below = make_columns(runs, keys, shared), [], []
    for narrower in (_short_labels, _short_names):
        if _too_wide(columns, width):
            columns = narrower(columns)
    if _too_wide(columns, width) and len(runs) > 1:
        columns, facts = _without_shared(columns)
        above = [f"all runs: {', '.join(facts)}", ""] if facts else []
    if width is not None and _too_wide(columns, width):
        columns, left = _that_fit(columns, width)
        below = ["", f"no room for {', '.join(left)}; columns= or format=csv shows them"] if left else []
    return [*above, *_lines(runs, columns), *below]


def _too_wide(columns: list[Column], width: int | None) -> bool:
    return width is not None and sum(column.width + GAP for column in columns) > width


def _short_labels(columns: list[Column]) -> list[Column]:
    """Shorten optimizer.name to optimizer, and optimizer.lr to lr if no other column ends so."""
    ends = [column.label.rpartition(".")[2] for column in columns]
    short = []
    for column, end in zip(columns, ends, strict=True):
        group = column.label.removesuffix(".name")
        label = group if group != column.label else end if ends.count(end) == 1 else column.label
        short.append(replace(column, label=label))
    return short


def _short_names(columns: list[Column]) -> list[Column]:
    """Shorten names of runs to their last part, a time or the name of a job, if that is unique: `run=` takes it.

    Reproductions keep their whole name, which `run=` needs.
    """
    return [replace(column, cells=_ends(column.cells)) if column.key == "run" else column for column in columns]


def _ends(names: list[str]) -> list[str]:
    ends = [name.rpartition("/")[2] for name in names]
    counts = Counter(ends)
    return [end if counts[end] == 1 and "/reproductions/" not in name else name for name, end in zip(names, ends, strict=True)]


def _without_shared(columns: list[Column]) -> tuple[list[Column], list[str]]:
    shared = [column for column in columns if column.key in FACTS and len(set(column.cells)) == 1]
    words = [f"{column.cells[0]}" if column.key == "status" else f"{column.cells[0]} {column.label}" for column in shared]
    return [column for column in columns if column not in shared], words


def _that_fit(columns: list[Column], width: int) -> tuple[list[Column], list[str]]:
    """Return the columns that fit, by importance, and the keys of those left out."""
    config = [column for column in columns if column.key not in ("run", BEST, *FACTS)]
    first = [column for column in columns if column.key in ("run", BEST)]
    facts = [column for column in columns if column.key in FACTS]
    kept: list[Column] = []
    for column in [*first, *config[:3], *facts, *config[3:]]:
        if not kept or not _too_wide([*kept, column], width):
            kept.append(column)
    return [column for column in columns if column in kept], [column.key for column in columns if column not in kept]


def _lines(runs: list[Summary], columns: list[Column]) -> list[str]:
    best = winners(runs)
    marks = [" " * GAP, *(f"{'*' if run.name in best else '':<{GAP}}" for run in runs)]
    rows = list(zip(*([column.label, *column.cells] for column in columns), strict=True))
    lines = table_lines(rows, left={at for at, column in enumerate(columns) if not column.numeric})
    return [mark + line for mark, line in zip(marks, lines, strict=True)]
