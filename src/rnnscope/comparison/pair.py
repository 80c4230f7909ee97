"""Two runs in detail, for `rnnscope compare run=A with=B`: the differences in their settings, then in their results."""

from collections.abc import Iterator

from rnnscope.comparison.run_summary import Summary, Value, summarize, with_known_texts
from rnnscope.errors import UserError
from rnnscope.format import clock, number, one_line, plain, table_lines
from rnnscope.runs.environment import environment_differences, machine_differences
from rnnscope.runs.files import sha256_of
from rnnscope.runs.find import find_run
from rnnscope.runs.first_difference import first_difference
from rnnscope.runs.journal import read_rows
from rnnscope.runs.record import Record
from rnnscope.runs.safe_files import check_plain
from rnnscope.runs.segments import differences, segments_of

PATCH_LIMIT = 100_000_000  # bytes of code.patch
MOST_LINES = 40  # of a section
WIDEST = 160  # characters of a line in it
MARGIN = 13  # width of the column with the names of sections
RESULTS = {  # labels of results
    "bits_per_character": "best bits per character",
    "loss": "best loss, nats per token",
    "best_step": "at step",
    "train/loss": "last train/loss",
    "val/loss": "last val/loss",
    "steps": "steps",
    "time": "time",
    "tokens_per_second": "tokens per second",
    "parameters": "parameters",
}


def find_pair(run: str | None, other: str | None) -> tuple[Summary, Summary]:
    """Return the two runs that `run=` and `with=` name.

    Raises:
        UserError: if one of them names no run, or both name the same.
    """
    if other is None:
        raise UserError(f"run={run} is only one run; add with=<run>, or leave out run= to compare all")
    first, second = find_run(run or "latest"), find_run(other, "with")
    if first.path.resolve() == second.path.resolve():
        raise UserError(f"run={run or 'latest'} and with={other} are the same run, {first.path}; name two different runs")
    one, two = with_known_texts([summarize(run, str(run.path)) for run in (first, second)])
    return one, two


def pair_lines(first: Summary, second: Summary) -> list[str]:
    """Return the differences between two runs, one per line.

    Raises:
        UserError: if a record is not what rnnscope writes.
    """
    records = [Record.read(run.folder.record) for run in (first, second)]
    hardware = machine_differences(*(record.get("resolved", dict, {}) for record in records))
    hardware += environment_differences(*(record.values for record in records), parts=("hardware", "platform"))
    lines = [f"{letter:<{MARGIN}}{_state(run)}" for letter, run in zip("AB", (first, second), strict=True)] + [""]
    for name, found in (
        ("config", _config(first, second)),
        ("on resuming", [line for letter, record in zip("AB", records, strict=True) for line in _changes(letter, record)]),
        ("code", _code(first, second, *records)),
        ("packages", environment_differences(*(record.values for record in records), parts=("packages", "python"))),
        ("data", _data(*records)),
        ("hardware", hardware),
    ):
        lines += section(name, found) if found or name != "on resuming" else []
    return [*lines, "", *results(first, second), "", *section("metrics.csv", [_rows(first, second)]), *_weights(*records)]


def section(name: str, found: list[str]) -> list[str]:
    """Return the lines of a section; `the same` if nothing was found."""
    more = [f"and {len(found) - MOST_LINES:,} more"] if len(found) > MOST_LINES else []
    shown = [one_line(line) for line in [*found[:MOST_LINES], *more]] or ["the same"]
    cut = [line if len(line) <= WIDEST else f"{line[:WIDEST]}…" for line in shown]
    return [f"{name if not index else '':<{MARGIN}}{line}" for index, line in enumerate(cut)]


def _state(run: Summary) -> str:
    return one_line(f"{run.folder.path}, {run.facts['status']} at step {run.facts['steps']}")


def _config(first: Summary, second: Summary) -> list[str]:
    found = differences(first.config, second.config)
    width = min(max(map(len, found), default=0), 40)
    return [f"{key:<{width}}  {_given(key, old, first)} -> {_given(key, new, second)}" for key, (old, new) in found.items()]


def _given(key: str, value: Value, run: Summary) -> str:
    return plain(value) if key in run.config else "none"


def _changes(letter: str, record: Record) -> Iterator[str]:
    """Yield the changes when a run was resumed: of its config and its environment."""
    for segment in segments_of(record):
        for key, (old, new) in segment.get("changed", {}).items():
            yield f"{letter}: {key} {old} -> {new} from step {segment['from_step']} on"
        for line in segment.get("environment", []):
            yield f"{letter}: {line} from step {segment['from_step']} on"


def _code(first: Summary, second: Summary, old: Record, new: Record) -> list[str]:
    commits = [str(record.get("git_commit", str, "not known"))[:12] for record in (old, new)]
    lines = [f"commit {commits[0]} -> {commits[1]}"] if commits[0] != commits[1] else []
    patches = [_patch(run) for run in (first, second)]
    if patches[0] != patches[1]:
        lines.append(f"uncommitted changes: {patches[0]} -> {patches[1]}")
    return lines


def _patch(run: Summary) -> str:
    """Return the size and hash of a run's code.patch."""
    path = run.folder.patch
    if not path.is_symlink() and not path.exists():
        return "none"
    try:
        size = check_plain(path, PATCH_LIMIT)
        return f"code.patch of {size:,} bytes ({sha256_of(path)[:8]})"
    except UserError as error:
        return f"not compared ({str(error).replace(str(path), path.name)})"


def _data(old: Record, new: Record) -> list[str]:
    names = {"text": "text", "settings": "dataset settings", "vocabulary": "vocabulary"}
    found = differences(*(record.get("data.fingerprint", dict, {}) for record in (old, new)))
    return [f"different: {', '.join(names.get(key, f'encoded ids ({key})') for key in found)}"] if found else []


def results(first: Summary, second: Summary) -> list[str]:
    """Return a table of results: both values, their difference, and that in percent."""
    rows = [["", "A", "B", "B - A", ""], *(_result(key, label, first, second) for key, label in RESULTS.items())]
    different = [] if first.text == second.text else ["the validation texts are different: their losses do not compare"]
    return [*table_lines(rows), *different]


def _result(key: str, label: str, first: Summary, second: Summary) -> list[str]:
    old, new = first.number(key), second.number(key)
    compares = first.text == second.text or not ("loss" in key or "bits" in key)
    gap = None if old is None or new is None or not compares else new - old
    percent = f"{100 * gap / old:+.1f} %" if gap and old and key != "best_step" else ""
    sign = "+" if gap and gap > 0 else "-" if gap else ""
    return [label, _shown(key, old), _shown(key, new), "" if gap is None else f"{sign}{_shown(key, abs(gap))}", percent]


def _shown(key: str, value: int | float | None) -> str:
    if value is None:
        return "none"
    return clock(value) if key == "time" else f"{value:.4f}" if "loss" in key or "bits" in key else number(value)


def _rows(first: Summary, second: Summary) -> str:
    try:
        found = first_difference(read_rows(first.folder.metrics), read_rows(second.folder.metrics))
    except UserError as error:
        return f"not compared: {error}"
    if not found.steps:
        return "no step in common"
    same = f"{found.same:,} of {found.steps:,} steps in common are the same"
    if found.first is None:
        return same
    where = f"{found.first.what} {found.first.recorded} -> {found.first.now}, {found.first.size:.2g} apart"
    return f"first difference at step {found.first.step:,}: {where}; {same}"


def _weights(old: Record, new: Record) -> list[str]:
    hashes = [record.get("weights_sha256", str) for record in (old, new)]
    if None in hashes:
        return []
    return section("weights", [] if hashes[0] == hashes[1] else ["different final weights"])
