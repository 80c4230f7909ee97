"""Groups of runs that differ in one key only, such as the seed: their means with confidence intervals, and tests.

The unit is bits per character on the validation text, so lower is better.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from rnnscope.comparison.run_summary import Summary, Value
from rnnscope.comparison.select import BEST, by_text, differing_keys, find_column, is_decided
from rnnscope.comparison.table import setting
from rnnscope.config.places import says_where
from rnnscope.errors import UserError
from rnnscope.format import GAP, one_line, plural, table_lines

RESAMPLES = 10_000  # of the bootstrap, and of the permutation test if there are too many permutations
MOST_PERMUTATIONS = 20_000
SURE = 0.05  # significance level
NEVER = ("name", "expect", "trainer.threads")  # keys that make no group: the launcher of a sweep sets the threads of its jobs
KINDS = ("name", "cell")  # last parts of keys that decide which other keys their section has
HEADS = ("mean", "deviation", "95 % interval", "runs", "best", "worst")  # of a table; and in a file:
COLUMNS = ("mean", "standard_deviation", "low", "high", "runs", "best", "worst")


@dataclass(frozen=True)
class Group:
    """Runs that differ only in the key that they are grouped by.

    Args:
        runs: all of them; `values` are the results of those that finished or were interrupted.
        low, high: the 95 % bootstrap interval of the mean; for one run, its result.
    """

    label: str
    runs: list[Summary]
    values: list[float]
    low: float
    high: float

    @property
    def counting(self) -> list[Summary]:
        """The runs that have a result; if none has, all of them."""
        return [run for run in self.runs if number_of(run) is not None] or self.runs

    @property
    def mean(self) -> float:
        return float(np.mean(self.values)) if self.values else math.inf

    @property
    def deviation(self) -> float | None:
        """The standard deviation of the results; None for a single one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    @property
    def counted(self) -> str:
        """The number of results, and of runs if some have no result."""
        return f"{len(self.values)}" if len(self.values) == len(self.runs) else f"{len(self.values)} of {len(self.runs)}"

    def overlaps(self, other: "Group") -> bool:
        return bool(self.values) and self.low <= other.high and other.low <= self.high

    def summary(self) -> Summary:
        """Return the group as a row of a table or file: its best run, with the group's own facts."""
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
    """Return the groups, sorted by their means, and the config keys in which they differ.

    Keys that follow from a different one, as model.forget_bias does from model.cell, are not among those keys.

    Args:
        typed: the key in which the runs of a group may differ.

        UserError: if `typed` is not a key of the config.
    """
    key = find_column(typed, runs, f"group={typed}")
    if not any(key in run.config for run in runs):
        raise UserError(f"group={typed}: {key} is not a key of the config; group by one, as in group=seed")
    ignored = {key, *followers(key, runs), *filter(makes_no_group, {name for run in runs for name in run.config})}
    alike: dict[object, list[Summary]] = {}
    for run in runs:
        config = [(name, repr(run.config[name])) for name in sorted(run.config)]
        alike.setdefault((run.text, run.files, *(pair for pair in config if pair[0] not in ignored)), []).append(run)
    several = len({run.files for run in runs}) > 1  # then their paths tell the groups apart
    keys = group_keys(list(alike.values()), runs, ignored - {"dataset.corpus.path"} if several else ignored)
    texts = {run.text: name if len(by_text(runs)) > 1 else "" for name, same in by_text(runs).items() for run in same}
    groups = [group_of(same, keys, texts[same[0].text]) for same in alike.values()]
    groups.sort(key=lambda group: (group.mean, group.label))
    return [replace(group, label=f"{group.label} ({number})") if number else group for number, group in _numbered(groups)], keys


def makes_no_group(key: str) -> bool:
    """Whether runs may differ in a key within a group: how they are watched, and where and by which version a text is read."""
    about_files = key.startswith("dataset.corpus.") and key.endswith(("sha256", "md5", "available_at", "reader_version"))
    return key in NEVER or key.startswith("monitor.") or says_where(key) or about_files


def _numbered(groups: list[Group]) -> Iterator[tuple[int, Group]]:
    """Yield groups with a number above 0 if an earlier one has the same label: rounded values may be equal."""
    for index, group in enumerate(groups):
        yield sum(other.label == group.label for other in groups[:index]), group


def followers(key: str, runs: list[Summary]) -> set[str]:
    """Return the keys that `key` decides in its section: for model.cell, that is forget_bias."""
    section, _, end = key.rpartition(".")
    if end not in KINDS:
        return set()
    names = [name for name in differing_keys(runs) if name.startswith(f"{section}.") and name != key]
    return {name for name in names if is_decided(name, [key], runs)}


def group_keys(groups: list[list[Summary]], runs: list[Summary], ignored: set[str]) -> list[str]:
    """Return the keys in which groups differ and that do not follow from an earlier one."""
    keys = [key for key in differing_keys([same[0] for same in groups]) if key not in ignored]
    return [key for index, key in enumerate(keys) if not is_decided(key, keys[:index], runs)]


def group_of(runs: list[Summary], keys: list[str], text: str) -> Group:
    """Return the group of `runs`, labeled by its values of `keys`, and by `text` if there are several texts."""
    words = [f"{key}={setting(runs[0].config.get(key))}" for key in keys]
    label = ", ".join([*words, *([text] if text else [])]) or "all runs"
    values = sorted(value for run in runs if (value := number_of(run)) is not None)  # the interval depends on their order
    low, high = interval(values) if values else (math.inf, math.inf)
    return Group(one_line(label), runs, values, low, high)


def number_of(run: Summary) -> float | None:
    """Return a run's result; None if it has not ended, failed or diverged."""
    return run.number(BEST) if run.facts["status"] in ("finished", "interrupted") else None


def resampled_means(values: list[float], seed: int) -> np.ndarray:
    """Return bootstrap means: of as many results drawn with replacement, (RESAMPLES,)."""
    draws = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    return np.asarray(values)[draws].mean(axis=1)


def interval(values: list[float]) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the mean; deterministic."""
    low, high = np.quantile(resampled_means(values, 0), (0.025, 0.975))
    return float(low), float(high)


def permutation_test(first: list[float], second: list[float]) -> tuple[float, int]:
    """Return the p value of a permutation test of equal means (two-sided), and the number of permutations.

    These are all permutations if they are few, else the observed one and RESAMPLES random ones.
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
    """Return lines on the difference between two groups and its significance; none for more or fewer groups."""
    if len(groups) != 2:
        return []
    better, worse = sorted(groups, key=lambda group: group.mean)
    if min(len(better.values), len(worse.values)) < 2:
        return ["comparing the two groups needs at least two finished runs in each"]
    gaps = resampled_means(worse.values, 1) - resampled_means(better.values, 0)
    low, high = np.quantile(gaps, (0.025, 0.975))
    chance, deals = permutation_test(better.values, worse.values)
    line = (
        f"{better.label} is {worse.mean - better.mean:.4f} bits per character below {worse.label}"
        f" (95 % interval {low:.4f} to {high:.4f})"
    )
    test = f"permutation test: {100 * chance:.1f} % of {deals:,} ways to deal these results to two such groups differ as much"
    if chance < SURE:
        meaning = "chance alone rarely makes such a difference"
    elif (2 if len(better.values) == len(worse.values) else 1) / deals >= SURE:  # the least p possible
        meaning = "too few runs to tell, however far apart they are; train at least 4 in each group"
    else:
        meaning = "chance alone may make such a difference"
    return [line, f"{test} (p = {chance:.2g}): {meaning}"]


def groups_by_text(groups: list[Group]) -> dict[str, list[Group]]:
    """Return the groups of each validation text, by its name."""
    texts = by_text(group.runs[0] for group in groups)
    return {name: [group for group in groups if group.runs[0] in firsts] for name, firsts in texts.items()}


def all_difference_lines(groups: list[Group]) -> list[str]:
    """Return `difference_lines` of the groups of each validation text."""
    return [line for same in groups_by_text(groups).values() for line in difference_lines(same)]


def group_tables(groups: list[Group], keys: list[str]) -> list[str]:
    """Return a table of groups for each validation text, with the difference if there are two groups."""
    texts = groups_by_text(groups)
    lines: list[str] = []
    for name, same in texts.items():
        heading = ["", f"validation text: {one_line(name)} ({plural(len(same), 'group')})"] if len(texts) > 1 else []
        difference = difference_lines(same)
        lines += [*heading, "", *group_table(same, keys), *(["", *difference] if difference else [])]
    return lines


def group_table(groups: list[Group], keys: list[str]) -> list[str]:
    """Return a table as lines: `*` marks the lowest mean, `~` means whose interval overlaps that of the lowest."""
    rows = [[*(key.removesuffix(".name") for key in keys or ["group"]), *HEADS]]
    for group in groups:
        values = [setting(group.runs[0].config.get(key)) for key in keys] or [group.label]
        rows.append([*map(one_line, values), *_cells(group)])
    best = min(groups, key=lambda group: group.mean)
    marks = ["*" if group is best and group.values else "~" if group.overlaps(best) else "" for group in groups]
    lines = table_lines(rows, left=range(len(keys) or 1))
    return [f"{mark:<{GAP}}{line}" for mark, line in zip(["", *marks], lines, strict=True)]


def _cells(group: Group) -> list[str]:
    if not group.values:
        return ["", "", "", group.counted, "", ""]
    deviation = "" if group.deviation is None else f"{group.deviation:.4f}"
    spread = "" if group.deviation is None else f"{group.low:.4f} to {group.high:.4f}"
    return [f"{group.mean:.4f}", deviation, spread, group.counted, f"{min(group.values):.4f}", f"{max(group.values):.4f}"]


def group_columns(keys: Iterable[str]) -> list[str]:
    """Return the columns of a file of groups."""
    return [*keys, *COLUMNS]
