"""`rnnscope resume`: go on with a run exactly where it was, in its own folder."""

from typing import Any

from rnnscope.config.compose import hydra_main


def run(config: dict[str, Any]) -> int:
    """Train on; the exit status is that of `rnnscope train`."""
    from rnnscope.commands.train import status_of
    from rnnscope.pipeline.changes import check_on_the_way, parse_changes
    from rnnscope.pipeline.resume import go_on
    from rnnscope.runs.find import find_run

    changes = parse_changes(config["changes"])
    check_on_the_way(changes, config["run"])
    return status_of(go_on(find_run(config["run"]), changes))


def main() -> int:
    return hydra_main("resume", run)
