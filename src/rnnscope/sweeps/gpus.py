"""One GPU for each process that runs jobs; if there are more processes than GPUs, they share evenly."""

import os
import tempfile
from itertools import count
from pathlib import Path

from rnnscope.lock import Lock

mine: list[Lock] = []  # held until the process ends: CUDA cannot switch to a different GPU


def take_gpu() -> str | None:
    """Restrict this process to the least used GPU and return its name; None with fewer than two GPUs."""
    import torch

    if mine or torch.cuda.is_initialized() or torch.cuda.device_count() < 2:
        return None
    names = visible_gpus(torch.cuda.device_count())
    folder = Path(tempfile.gettempdir()) / f"rnnscope-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for level in count():
        for name in names:
            lock = Lock(folder / f"{name}.{level}.lock")
            if not lock.acquire(wait=False):
                continue
            mine.append(lock)
            os.environ["CUDA_VISIBLE_DEVICES"] = name
            return name
    return None


def visible_gpus(number: int) -> list[str]:
    """Return the names of the GPUs that this process may use."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [name.strip() for name in given.split(",")][:number] if given else [str(index) for index in range(number)]
