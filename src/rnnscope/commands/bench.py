"""`rnnscope bench`: how fast this machine trains, encodes and samples."""

from rnnscope.config.schema import BenchConfig


def run(config: BenchConfig) -> None:
    """Print each line when it is measured."""
    from rnnscope.bench.report import report

    for line in report(config):
        print(line, flush=True)
