"""The whole of docs/course.md as it is written: each lesson in an empty folder, and what the page says to look for."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from course import LESSONS, column, last, page_data, runs

from rnnscope.comparison.curves import Curve  # noqa: F401


@pytest.fixture
def take(tmp_path):
    """Return a function that types commands in an empty folder and returns what each printed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RNNSCOPE_")}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])

    def run(*commands: str) -> list[str]:
        printed = []
        for command in commands:
            done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            printed.append(done.stdout)
        return printed

    return run
