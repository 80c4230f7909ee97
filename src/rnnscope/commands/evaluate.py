"""`rnnscope evaluate`: score a run's model on its data or on any text."""

from typing import Any

from rnnscope.config.compose import hydra_main


def run(config: dict[str, Any]) -> None:
    from rnnscope.analysis.evaluate import run

    run(config)


def main() -> int:
    return hydra_main("evaluate", run)
