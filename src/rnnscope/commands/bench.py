"""`rnnscope bench`: how fast this machine trains, encodes and samples."""

from typing import Any

from rnnscope.config.compose import hydra_main


def run(config: dict[str, Any]) -> None:
    from rnnscope.bench.report import run

    run(config)


def main() -> int:
    return hydra_main("bench", run)
