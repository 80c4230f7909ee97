"""The choice, order and columns of the runs that `rnnscope compare` shows: filter=, sort= and columns=."""

import operator
import re
from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

from rnnscope.comparison.run_summary import Summary, Value
from rnnscope.errors import UserError
from rnnscope.format import plain

BEST = "bits_per_character"
FACTS = ("status", "steps", "time", "tokens_per_second", "parameters")
NOTED = ("tags", "note", "reproduces")  # shown if any run has one
LABELS = {BEST: "bits/char", "tokens_per_second": "tokens/s"}  # short names of columns, accepted as input, too
MOST_DECIDING = 20  # earlier keys that are checked whether they decide a key
UNIMPORTANT = ("dataset.corpus.", "monitor.")  # where a text came from, and monitoring: shown last
OPERATORS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-([0-2]\d|3[01])([T ][\d:+.]*)?)?)?$")  # the beginning of one in ISO 8601
CONDITION = re.compile(r"""[\s,]*([^\s,<>=!"'\[\]]+)\s*(<=|>=|!=|==|=|<|>)\s*("[^"]*"|'[^']*'|\[[^\]]*\]|[^\s,]*)(?=[\s,]|$)""")


def differing_keys(runs: list[Summary]) -> list[str]:
    """Return the config keys with more than one value among the runs that have them, the most important first.

    A key that only some runs have, as momentum belongs to one optimizer, is not a difference by itself. `name` is part of the
    run's own name, and `expect` changes nothing. Keys are in the order of the config, but those that a different key decides,
    as model.cell does forget_bias, come last.
    """
    values: dict[str, set[str]] = {}
    for run in runs:
        for key, value in run.config.items():
            values.setdefault(key, set()).add(repr(value))
    keys = [key for key, found in values.items() if len(found) > 1 and key not in ("name", "expect")]
    return sorted(keys, key=lambda key: (key.startswith(UNIMPORTANT), is_decided(key, keys[: keys.index(key)], runs)))


def is_decided(key: str, earlier: list[str], runs: list[Summary]) -> bool:
    """Whether the values of one of the `earlier` keys determine those of `key`."""
    for other in earlier[:MOST_DECIDING]:
        pairs = {(repr(run.config.get(other)), repr(run.config.get(key))) for run in runs}
        if len(pairs) == len({before for before, _ in pairs}) and len(pairs) < len(runs):
            return True
    return False


def default_columns(runs: list[Summary]) -> list[str]:
    """Return the default columns of a table; claims, tags and notes only if a run has any."""
    claims = ["claims"] if any(run.has("claims") for run in runs) else []
    noted = [column for column in NOTED if any(run.value(column) for run in runs)]
    return ["run", BEST, *claims, *differing_keys(runs), *FACTS, *noted]


def find_column(typed: str, runs: list[Summary], where: str) -> str:
    """Return the column that the user means, by its name, its label, a group, or the last part of a key.

    Raises:
        UserError: if no run has it, suggesting the closest; `where` is what was typed.
    """
    known = sorted({key for run in runs for key in (*run.facts, *run.config)})
    if typed in known:
        return typed
    by_label = {label: key for key, label in LABELS.items()} | {key.removesuffix(".name"): key for key in known}
    if typed in by_label:
        return by_label[typed]
    ends = [key for key in known if key.rpartition(".")[2] == typed]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise UserError(f"{where}: {len(ends)} keys end in {typed}; write one of {', '.join(ends[:6])}")
    near = get_close_matches(typed, [*known, *(key.rpartition(".")[2] for key in known)], n=1, cutoff=0.5)
    hint = f". Did you mean {near[0]!r}?" if near else f"; there are {', '.join(['run', BEST, *FACTS])} and each config key"
    raise UserError(f"{where}: no run has a column {typed!r}{hint}")


def chosen_columns(typed: str | None, runs: list[Summary]) -> list[str] | None:
    """Return the columns in `columns=a,b` or `columns=[a,b]`, or None for the default."""
    words = re.sub(r"^\s*\[|\]\s*$", "", typed or "").split(",")
    names = [word.strip().strip("'\"") for word in words]
    columns = [find_column(name, runs, f"columns={typed}") for name in names if name]
    if typed is not None and not columns:
        raise UserError(f"columns={typed} names no column; write, for example, columns=run,bits_per_character,optimizer.lr")
    return list(dict.fromkeys(columns)) or None


def sort_runs(runs: list[Summary], typed: str) -> list[Summary]:
    """Return the runs sorted by a column, descending after a `-`; those without a value always come last."""
    column = find_column(typed.removeprefix("-").strip(), runs, f"sort={typed}")
    known = [run for run in runs if run.value(column) is not None]
    unknown = [run for run in runs if run.value(column) is None]
    return [*sorted(known, key=lambda run: _rank(run.value(column)), reverse=typed.startswith("-")), *unknown]


def _rank(value: Value) -> tuple[bool, float, str]:
    """Return a sort key that puts numbers before text."""
    number = float(value) if isinstance(value, int | float) and abs(value) < 2**1000 else None
    return number is None, number or 0.0, "" if number is not None else plain(value)


def winners(runs: Iterable[Summary]) -> set[str]:
    """Return the names of the runs with the fewest bits per character, one for each validation text.

    Only runs that finished or were interrupted count.
    """
    best: dict[tuple[Value, ...], tuple[float, str]] = {}
    for run in runs:
        bits = run.number(BEST)
        if bits is not None and run.facts["status"] in ("finished", "interrupted"):
            best[run.text] = min(best.get(run.text, (bits, run.name)), (bits, run.name))
    return {name for _, name in best.values()}


def by_text(runs: Iterable[Summary]) -> dict[str, list[Summary]]:
    """Return the runs of each validation text by a unique name of it; bits per character compare only within a text."""
    groups: dict[tuple[str, ...], list[Summary]] = {}
    for run in runs:
        groups.setdefault(run.text, []).append(run)
    names = [text_name(same[0]) for same in groups.values()]
    if len(set(names)) < len(names):
        names = [", ".join([name, *text[1:]]) for name, text in zip(names, groups, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{name}, SHA-256 {text[0][:8]}" for name, text in zip(names, groups, strict=True)]
    return dict(zip(names, groups.values(), strict=True))


def text_name(run: Summary) -> str:
    """Return a name of a run's validation text: that of its dataset, or of the file if it is the user's own."""
    own = run.config.get("dataset.corpus.val_path") or run.config.get("dataset.corpus.path")
    name = run.config.get("dataset.name")
    return Path(str(own)).stem if own and name == "text_files" else str(name)


def filter_runs(runs: list[Summary], typed: str) -> list[Summary]:
    """Return the runs that meet all conditions, such as `model.cell=lstm optimizer.lr<0.01 run=*quick*`.

    Raises:
        UserError: for an invalid condition, and if no run is left.
    """
    kept, position = runs, 0
    while typed[position:].strip(" ,\t\n"):
        condition = CONDITION.match(typed, position)
        if condition is None:
            rest = typed[position:].strip(" ,\t\n")
            remedy = "write key=value, or !=, <, <=, >, >=, with spaces between conditions"
            raise UserError(f"filter={typed}: {rest!r} is not a condition; {remedy}")
        key, sign, value = condition.groups()
        column = find_column(key, runs, f"filter={typed}")
        kept = [run for run in kept if _holds(run.value(column), sign, value.strip("'\""), f"filter={typed}")]
        position = condition.end()
    if not kept:
        raise UserError(f"filter={typed}: none of the {len(runs)} runs meets it")
    return kept


def _holds(value: Value, sign: str, wanted: str, where: str) -> bool:
    if sign in ("=", "==", "!="):
        return _equal(value, wanted) == (sign != "!=")
    if value is None:
        return False
    if not isinstance(value, int | float):
        if DATE.match(plain(value)) and not DATE.match(wanted):
            raise UserError(f"{where}: {wanted!r} is not a date; write one such as 2026-11 or 2026-11-28T14:30")
        return OPERATORS[sign](plain(value), wanted)
    number = _as_number(wanted)
    if number is None:
        raise UserError(f"{where}: {wanted!r} is not a number")
    return OPERATORS[sign](value, number)


def _equal(value: Value, wanted: str) -> bool:
    """Whether a value, or an item of a list, equals the one wanted, in which `*` matches any text."""
    if isinstance(value, list) and any(_equal(item, wanted) for item in value):
        return True
    number = _as_number(wanted)
    if isinstance(value, int | float) and not isinstance(value, bool) and number is not None:
        return value == number
    pattern = re.sub(r"[\[?]", r"[\g<0>]", _unspaced(wanted))  # of fnmatch's wildcards, only `*` is one here
    return fnmatchcase(_unspaced(plain(value)), pattern)


def _unspaced(text: str) -> str:
    """Return text without spaces after commas, which lists may or may not have."""
    return text.replace(", ", ",")


def _as_number(text: str) -> float | None:
    try:
        return float(text.replace("_", ""))
    except ValueError:
        return None
