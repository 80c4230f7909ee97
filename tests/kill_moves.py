"""Kills `rnnscope runs` in the middle of moves, again and again, and looks for every run."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

from sweep_tools import contents

from rnnscope.commands.runs import run as do
from rnnscope.config.schema import RunsConfig

forks = multiprocessing.get_context("fork")


def keep_moving(seed: int) -> None:
    """Move runs to the trash, back and to other names, until somebody ends this."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    draw = random.Random(seed)
    while True:
        for config in (
            RunsConfig("trash", filter="run!=x", yes=True),
            RunsConfig("restore", filter="run!=x", yes=True),
            RunsConfig("rename", run="latest", name=draw.choice("cde"), yes=True),
        ):
            try:
                do(config)
            except ValueError:  # nothing there to move, after a kill
                continue


def kill_again_and_again(outputs: Path, times: int) -> None:
    """Kill moves at random moments, and look for every run after each."""

    def whole() -> list[list[tuple[str, str]]]:
        found = [path.parent for path in outputs.glob("**/config.yaml") if path.parent.parent.name != "reproductions"]
        return sorted(
            sorted(
                (str(Path(path).relative_to(run)), digest) for path, (digest, _) in contents(run).items() if "lock" not in path
            )
            for run in found
        )

    before, draw, places = whole(), random.Random(7), set()
    for seed in range(times):
        process = forks.Process(target=keep_moving, args=(seed,))
        process.start()
        time.sleep(draw.uniform(0.01, 0.15))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert whole() == before, f"after kill {seed + 1}"
        places |= {path.relative_to(outputs).parts[0] for path in outputs.glob("**/config.yaml")}
    assert places == {"runs", "trash"}
