"""A sweep of four jobs on a real Slurm cluster. tests/slurm.sh starts one and runs this; pytest alone does not find it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from conftest import TINY

GRID = ["model=lstm,gru", "optimizer.lr=1e-3,3e-3"]


def sweep(name: str, folder: Path, *words: str) -> dict[str, dict]:
    """Run a sweep and return what run.json says of each job."""
    command = [sys.executable, "-m", "rnnscope", "train", "-m", *TINY, f"name={name}", *GRID, *words]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "RNNSCOPE_OUTPUTS": "outputs"}, capture_output=True, text=True
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    records = (folder / "outputs" / "sweeps" / name).glob("*/run.json")
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in records}


def cluster_jobs() -> list[str]:
    """Return what Slurm knows of each job that it was given."""
    command = ["scontrol", "--oneliner", "show", "jobs"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_four_jobs_on_the_cluster_train_what_they_train_here(story, tmp_path):
    text = f"text={story}"
    here = sweep("here", tmp_path, text)
    there = sweep("there", tmp_path, text, "hydra/launcher=submitit_slurm")
    assert len(there) == 4
    assert {name: record["status"] for name, record in there.items()} == dict.fromkeys(here, "finished")
    assert {name: record["weights_sha256"] for name, record in there.items()} == {
        name: record["weights_sha256"] for name, record in here.items()
    }
    assert len(cluster_jobs()) == 4  # the cluster did them, not this process
    deadline = time.monotonic() + 30
    while not all("JobState=COMPLETED" in job for job in cluster_jobs()):  # it notices the end of a job a moment later
        assert time.monotonic() < deadline, cluster_jobs()
        time.sleep(0.5)
