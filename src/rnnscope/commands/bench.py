"""`rnnscope bench`: how fast this machine trains, encodes and samples."""

import math

from rnnscope.config.schema import BenchConfig
from rnnscope.errors import UserError


def run(config: BenchConfig) -> None:
    """Print each line once it is measured."""
    from rnnscope.bench.report import report

    if not 0 < config.seconds < math.inf:
        raise UserError(f"seconds={config.seconds} must be above 0 and finite")
    for line in report(config):
        print(line, flush=True)
