"""Groups of runs that are alike in all but one key, such as the seed: their mean, how certain it is, and which differ.

The unit is that of the table, bits per character of the validation text: the lower the better.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from rnnscope.comparison.run_summary import Summary, Value
from rnnscope.comparison.select import BEST, UNIMPORTANT, by_text, differing_keys, find_column, is_decided
from rnnscope.comparison.table import setting
from rnnscope.errors import UserError
from rnnscope.format import GAP, one_line, plural, table_lines

RESAMPLES = 10_000  # of a bootstrap, and of a permutation test where all permutations are too many
MOST_PERMUTATIONS = 20_000
SURE = 0.05  # a difference that chance alone makes less often than this
KINDS = ("name", "cell")  # ends of keys that decide which other keys their section has
COLUMNS = ("mean", "standard_deviation", "low", "high", "runs", "best", "worst")


@dataclass(frozen=True)
class Group:
    """Runs that are alike in all but the key that they are grouped by.

    Args:
        runs: all of them; `values` are the results of those that finished or were stopped, one each.
        low, high: the 95 % bootstrap interval of the mean; with one run, its result twice.
    """

    label: str
    runs: list[Summary]
    values: list[float]
    low: float
    high: float

    @property
    def mean(self) -> float:
        return float(np.mean(self.values)) if self.values else math.inf

    @property
    def deviation(self) -> float | None:
        """The standard deviation of the results; None for one alone."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    @property
    def counted(self) -> str:
        """The number of results, and of runs where some have none."""
        return f"{len(self.values)}" if len(self.values) == len(self.runs) else f"{len(self.values)} of {len(self.runs)}"

    def overlaps(self, other: "Group") -> bool:
        return bool(self.values) and self.low <= other.high and other.low <= self.high

    def summary(self) -> Summary:
        """Return the group as one line of a table or file: the best of its runs, with the group's own facts."""
        best = min(self.runs, key=lambda run: math.inf if (value := number_of(run)) is None else value)
        known = bool(self.values)
        facts: dict[str, Value] = {
            "run": self.label,
            "status": "finished" if known else best.facts["status"],
            BEST: self.mean if known else None,
            "mean": self.mean if known else None,
            "standard_deviation": self.deviation,
            "low": self.low if known else None,
            "high": self.high if known else None,
            "runs": len(self.values),
            "best": min(self.values, default=None),
            "worst": max(self.values, default=None),
        }
        tags = {key: value for key, value in best.facts.items() if "/" in key or key in ("tokens", "step")}
        return Summary(best.folder, {**tags, **facts}, best.config, best.text)


def make_groups(runs: list[Summary], typed: str) -> tuple[list[Group], list[str]]:
    """Return the groups of runs by their mean, and the config keys in which groups differ.

    Keys that only follow another, as model.forget_bias does model.cell, are left out of those.

    Args:
        typed: the key in which the runs of a group may differ.

    Raises:
        UserError: for what is not a key of the config.
    """
    key = find_column(typed, runs, f"group={typed}")
    if not any(key in run.config for run in runs):
        raise UserError(f"group={typed}: {key} is not a key of the config; group by one, as in group=seed")
    ignored = {key, "name", "expect", *followers(key, runs)}
    alike: dict[object, list[Summary]] = {}
    for run in runs:
        config = [(name, repr(run.config[name])) for name in sorted(run.config) if not name.startswith(UNIMPORTANT)]
        alike.setdefault((run.text, *(pair for pair in config if pair[0] not in ignored)), []).append(run)
    keys = group_keys(list(alike.values()), runs, ignored)
    texts = {run.text: name if len(by_text(runs)) > 1 else "" for name, same in by_text(runs).items() for run in same}
    groups = [group_of(same, keys, texts[same[0].text]) for same in alike.values()]
    groups.sort(key=lambda group: (group.mean, group.label))
    return [replace(group, label=f"{group.label} ({number})") if number else group for number, group in _numbered(groups)], keys


def _numbered(groups: list[Group]) -> Iterator[tuple[int, Group]]:
    """Yield groups with a number for those whose label an earlier one has: values that differ in digits that are not shown."""
    for index, group in enumerate(groups):
        yield sum(other.label == group.label for other in groups[:index]), group


def followers(key: str, runs: list[Summary]) -> set[str]:
    """Return the keys of the same section that a kind decides: grouped by model.cell, forget_bias differs with it."""
    section, _, end = key.rpartition(".")
    if end not in KINDS:
        return set()
    names = [name for name in differing_keys(runs) if name.startswith(f"{section}.") and name != key]
    return {name for name in names if is_decided(name, [key], runs)}


def group_keys(groups: list[list[Summary]], runs: list[Summary], ignored: set[str]) -> list[str]:
    """Return the keys in which groups differ and that follow no other of them."""
    keys = [
        key for key in differing_keys([same[0] for same in groups]) if key not in ignored and not key.startswith(UNIMPORTANT)
    ]
    return [key for index, key in enumerate(keys) if not is_decided(key, keys[:index], runs)]


def group_of(runs: list[Summary], keys: list[str], text: str) -> Group:
    """Return the group of some runs; `keys`, and `text` where there are several, say which one it is."""
    words = [f"{key}={setting(runs[0].config.get(key))}" for key in keys]
    label = ", ".join([*words, *([text] if text else [])]) or "all runs"
    values = [value for run in runs if (value := number_of(run)) is not None]
    low, high = interval(values) if values else (math.inf, math.inf)
    return Group(one_line(label), runs, values, low, high)


def number_of(run: Summary) -> float | None:
    """Return a run's result; None for one that has not come to an end, or to a bad one."""
    return run.number(BEST) if run.facts["status"] in ("finished", "interrupted") else None


def resampled_means(values: list[float], seed: int) -> np.ndarray:
    """Return the means of as many results drawn from the results, again and again: (RESAMPLES,)."""
    draws = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    return np.asarray(values)[draws].mean(axis=1)


def interval(values: list[float]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean (percentiles), the same for the same results."""
    low, high = np.quantile(resampled_means(values, 0), (0.025, 0.975))
    return float(low), float(high)


def permutation_test(first: list[float], second: list[float]) -> tuple[float, int]:
    """Return how often results dealt at random differ in the mean by as much as these, and of how many deals that is.

    All deals where they are few, else RESAMPLES of them, these results themselves counted in.
    """
    both, size = np.asarray([*first, *second]), len(first)
    gap = abs(both[:size].mean() - both[size:].mean()) - 1e-12
    if math.comb(len(both), size) <= MOST_PERMUTATIONS:
        deals = np.array(list(combinations(range(len(both)), size)))
    else:
        draw = np.random.default_rng(0)
        deals = np.array([range(size), *(draw.permutation(len(both))[:size] for _ in range(RESAMPLES))])
    sums = both[deals].sum(axis=1)
    gaps = np.abs(sums / size - (both.sum() - sums) / (len(both) - size))
    return float(np.mean(gaps >= gap)), len(deals)


def difference_lines(groups: list[Group]) -> list[str]:
    """Return, for two groups, how far apart they are and whether chance alone may do that; nothing for more or fewer."""
    if len(groups) != 2:
        return []
    better, worse = groups
    if min(len(better.values), len(worse.values)) < 2:
        return ["a comparison of the two needs at least two finished runs in each"]
    gaps = resampled_means(worse.values, 1) - resampled_means(better.values, 0)
    low, high = np.quantile(gaps, (0.025, 0.975))
    chance, deals = permutation_test(better.values, worse.values)
    line = (
        f"{better.label} is {worse.mean - better.mean:.4f} bits per character below {worse.label}"
        f" (95 % interval {low:.4f} to {high:.4f})"
    )
    test = f"permutation test: of {deals:,} ways to deal these results to two such groups, {100 * chance:.1f} % differ as much"
    if chance < SURE:
        meaning = "chance alone rarely makes such a difference"
    elif 2 / deals >= SURE:
        meaning = "too few runs to tell, however far apart they are; train at least 4 in each group"
    else:
        meaning = "chance alone may make such a difference"
    return [line, f"{test} (p = {chance:.2g}): {meaning}"]


def group_tables(groups: list[Group], keys: list[str]) -> list[str]:
    """Return a table of groups for each validation text, and what two groups come to."""
    texts = by_text(group.runs[0] for group in groups)
    lines: list[str] = []
    for name, firsts in texts.items():
        same = [group for group in groups if group.runs[0] in firsts]
        heading = ["", f"validation text: {one_line(name)} ({plural(len(same), 'group')})"] if len(texts) > 1 else []
        difference = difference_lines(same)
        lines += [*heading, "", *group_table(same, keys), *(["", *difference] if difference else [])]
    return lines


def group_table(groups: list[Group], keys: list[str]) -> list[str]:
    """Return the lines of a table: `*` marks the lowest mean, `~` a mean whose interval overlaps that one's."""
    rows = [
        [
            *(key.removesuffix(".name") for key in keys or ["group"]),
            "mean",
            "deviation",
            "95 % interval",
            "runs",
            "best",
            "worst",
        ]
    ]
    for group in groups:
        values = [setting(group.runs[0].config.get(key)) for key in keys] or [group.label]
        rows.append([*map(one_line, values), *_cells(group)])
    marks = [
        " ",
        *(
            "*" if index == 0 and group.values else "~" if group.overlaps(groups[0]) else " "
            for index, group in enumerate(groups)
        ),
    ]
    lines = table_lines(rows, left=range(len(keys) or 1))
    return [f"{mark:<{GAP}}{line}" for mark, line in zip(marks, lines, strict=True)]


def _cells(group: Group) -> list[str]:
    if not group.values:
        return ["", "", "", group.counted, "", ""]
    deviation = "" if group.deviation is None else f"{group.deviation:.4f}"
    spread = "" if group.deviation is None else f"{group.low:.4f} to {group.high:.4f}"
    return [f"{group.mean:.4f}", deviation, spread, group.counted, f"{min(group.values):.4f}", f"{max(group.values):.4f}"]


def group_columns(keys: Iterable[str]) -> list[str]:
    """Return the columns of groups in a file."""
    return [*keys, *COLUMNS]
