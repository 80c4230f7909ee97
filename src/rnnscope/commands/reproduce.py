"""`rnnscope reproduce`: train a run, or all jobs of a sweep, again from the folder alone, and compare."""

import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace

from rnnscope.config.compose import CommandLine, hydra_main
from rnnscope.config.schema import ReproduceConfig
from rnnscope.errors import UserError
from rnnscope.format import json_text


def run(config: ReproduceConfig) -> int:
    """Reproduce a run and print the verdict; the exit status is 0 (bit-identical), 3 (within tolerance) or 1 (diverged)."""
    from rnnscope.pipeline.console import Console
    from rnnscope.pipeline.reproduce import reproduce
    from rnnscope.runs.find import find_run

    parent = find_run(config.run)
    with redirect_stdout(sys.stderr) if config.json else nullcontext():
        child, verdict = reproduce(parent, config.until, config.data, config.alone())
        with Console() as console:
            for line in ["", *verdict.lines, f"  recorded     {parent.path}", f"  trained now  {child.path}"]:
                console.say(line)
    if config.json:
        found = {"recorded": str(parent.path), "trained_now": str(child.path), "verdict": verdict.kind}
        print(json_text({**found, "status": verdict.status, "lines": verdict.lines}, indent=1))
    return verdict.status


def main(line: CommandLine) -> int:
    """Reproduce a run, or with `sweep=` all jobs of a sweep through Hydra's launchers."""
    if not any(word.startswith("of_sweep=") for word in line.overrides):
        return hydra_main(line, run)
    if any(word.startswith("run=") for word in line.overrides):
        raise UserError("run= names one run, and sweep= all jobs of a sweep: give one of them")
    from rnnscope.sweeps.reproductions import Judged, job, register

    register()
    try:
        return hydra_main(replace(line, overrides=[*line.overrides, "-m"]), run, job)
    except Judged as judged:
        return judged.status
