"""`rnnscope.compare()`: the table of runs in Python, a pandas DataFrame where pandas is installed."""

import importlib
from pathlib import Path
from typing import Any

from rnnscope.comparison.collection import read_runs
from rnnscope.comparison.select import default_columns, filter_runs, sort_runs
from rnnscope.errors import UserError
from rnnscope.paths import outputs_folder


def frame(folder: str | Path | None, filter: str, sort: str, group: str | None) -> Any:
    """Return the runs under a folder, or groups of them, with full precision; without pandas, as a list of dicts.

    Raises:
        UserError: if there are no runs, or no such column.
    """
    place = outputs_folder() if folder is None else Path(folder)
    found = read_runs(place).runs if place.is_dir() else []
    if not found:
        raise UserError(f"there are no runs under {place}")
    runs = filter_runs(found, filter)
    if group is not None:
        from rnnscope.comparison.groups import group_columns, make_groups

        groups, keys = make_groups(runs, group)
        runs, columns = sort_runs([same.summary() for same in groups], sort), group_columns(keys)
    else:
        runs, columns = sort_runs(runs, sort), default_columns(runs)
    rows = [{column: run.value(column) for column in columns} for run in runs]
    try:
        pandas: Any = importlib.import_module("pandas")  # an optional dependency
    except ImportError:
        return rows
    return pandas.DataFrame(rows, columns=columns)
