"""`rnnscope train from=<run>`: a new run with the config of an earlier one, and some keys changed."""

from functools import reduce
from typing import Any

from rnnscope.config.compose import hydra_main

ONE_TEXT = {  # of dataset.corpus, where another text is given: what else named the parent's
    "packages": [],
    **dict.fromkeys(("val_path", "test_path", "url", "sha256", "md5", "val_url", "val_sha256", "test_url", "test_sha256")),
}


def run(config: dict[str, Any]) -> int:
    """Train; the exit status is that of `rnnscope train`."""
    from rnnscope.commands.train import status_of
    from rnnscope.config.validate import checked, recorded_config
    from rnnscope.format import printable
    from rnnscope.pipeline.build import Terms
    from rnnscope.pipeline.changes import parse_changes
    from rnnscope.pipeline.fit import fit
    from rnnscope.pipeline.warm_start import adopt
    from rnnscope.runs.find import find_run
    from rnnscope.runs.record import Record, parent_entry
    from rnnscope.runs.segments import differences, with_value
    from rnnscope.training.distributed.processes import is_follower

    parent = find_run(config["parent"], "from")
    record = Record.read(parent.record)
    old = recorded_config(parent, record)
    changes = complete(parse_changes(config["changes"], groups=True))
    new = checked(reduce(lambda found, item: with_value(found, *item), changes.items(), old), None)
    if "init_from" in changes:
        new, _ = adopt(new, changes)
    changed = differences(old, new)
    if not is_follower(new):
        print(printable(difference_lines(str(parent.path), changed)))
    return status_of(fit(new, terms=Terms(parent=parent_entry(record, changed=changed))))


def complete(changes: dict[str, Any]) -> dict[str, Any]:
    """Return `changes` with what another text implies: the parent's packages, URLs and other files are not meant any more."""
    if "dataset.corpus.path" not in changes:
        return changes
    return {**{f"dataset.corpus.{key}": value for key, value in ONE_TEXT.items()}, **changes}


def difference_lines(parent: str, changed: dict[str, list[Any]]) -> str:
    """Return what is shown of a run that starts from another."""
    lines = [f"  {key}: {before} -> {now}" for key, (before, now) in changed.items()]
    return "\n".join([f"from {parent}, {'changed:' if lines else 'nothing changed'}", *lines])


def main() -> int:
    return hydra_main("train_from", run)
