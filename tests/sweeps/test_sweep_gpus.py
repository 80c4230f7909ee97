"""Which GPU a job of a sweep gets, and how many jobs run at once; the GPUs themselves are not needed for that."""

import os
from types import SimpleNamespace

import pytest
import torch

from rnnscope.sweeps import gpus, launch


@pytest.fixture
def process(tmp_path, monkeypatch):
    """Take a GPU as a new process would that sees `visible` of the two there are; the GPUs taken before stay taken."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    held = []

    def take(visible: str | None = None) -> str | None:
        monkeypatch.setattr(gpus, "mine", [])
        held.append(gpus.mine)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        return gpus.take_gpu()

    yield take
    for locks in held:
        for lock in locks:
            lock.release()


def test_each_process_gets_a_gpu_of_its_own_and_further_ones_share_evenly(process):
    assert [process() for _ in range(5)] == ["0", "1", "0", "1", "0"]


def test_only_the_gpus_that_a_process_may_use(process):
    assert [process("5,3"), process("5,3"), process("3,7")] == ["5", "3", "7"]


def test_a_process_keeps_its_gpu_for_all_its_jobs(process, monkeypatch):

    assert process() == "0"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    assert gpus.take_gpu() is None


@pytest.mark.parametrize(
    ("count", "accelerator", "asked", "at_once"),
    [(2, "auto", -1, 2), (1, "auto", -1, 4), (0, "auto", -1, 6), (2, "cpu", -1, 6), (2, "auto", 3, 3), (0, "auto", 100, 9)],
)
def test_jobs_at_once(monkeypatch, count, accelerator, asked, at_once):
    monkeypatch.setattr(launch, "core_count", lambda: 6)
    monkeypatch.setattr(launch, "gpu_count", lambda: count)
    choices = {"hydra/launcher": "joblib"}
    hydra = SimpleNamespace(runtime=SimpleNamespace(choices=choices), launcher=SimpleNamespace(n_jobs=asked))
    config = SimpleNamespace(hydra=hydra)
    assert launch.JobLauncher(None, config, None).at_once(9, accelerator) == at_once
    choices["hydra/launcher"] = "basic"
    assert launch.JobLauncher(None, config, None).at_once(9, accelerator) == 1
