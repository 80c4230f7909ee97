"""What a training computes on: device, processes, threads, precision. Decided before the first tensor is created."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from rnnscope.config.schema import TrainConfig
from rnnscope.errors import UserError, check_choice
from rnnscope.model.cells.registry import find_cell
from rnnscope.model.precision import prepare_torch, resolve_device, resolve_precision, resolve_threads
from rnnscope.training.distributed.processes import Processes, check_world_size, find_processes
from rnnscope.training.optimizers import is_capturable

MOST_THREADS = 4096
# how a step rounds; since version 2, the optimizer reads its learning rate on the GPU, in float32; since version 3, GRU and
# RNN use rnnscope's own functions on a CPU
STEP_VERSIONS = {"cpu": 3, "cuda": 2}
CUDA_GRAPH = ("auto", "always", "never")
DECIDING = ("device", "precision", "threads", "world_size", "step_version", "shared_validation")  # what decides the bits


@dataclass(frozen=True)
class Hardware:
    """The values that `auto` and null under `trainer` stand for on this machine."""

    device: torch.device
    processes: Processes
    threads: int
    precision: str
    step_version: int
    shared_validation: bool  # all processes validate; in runs of older versions, rank 0 alone

    @property
    def capturable(self) -> bool:
        """Whether the optimizer reads its learning rate on the GPU."""
        return self.device.type == "cuda" and self.step_version >= 2

    @property
    def torch_kernels(self) -> bool:
        """Whether torch's own kernels compute all layers."""
        return self.step_version < 3

    def as_record(self) -> dict[str, Any]:
        """Return the entry for run.json: everything that decides the bits of a result."""
        values = (self.device.type, self.precision, self.threads, self.processes.world_size, self.step_version)
        shared = (True,) if self.shared_validation else ()  # recorded only if True
        return dict(zip(DECIDING, values + shared, strict=False))


def find_hardware(config: TrainConfig, recorded: dict[str, Any], say: Callable[[str], None]) -> Hardware:
    """Return what this process computes on, and set up torch for it.

    Args:
        recorded: `resolved` of the run that is resumed or repeated; empty for a new one.

    Raises:
        UserError: if this machine lacks what the config asks for.
    """
    trainer = replace(config.trainer, **recorded_keys(recorded, say))
    device = resolve_device(trainer.accelerator)
    processes = find_processes(trainer, device)
    check_world_size(recorded, processes, trainer)
    device = processes.place(device)
    threads = resolve_threads(trainer.threads)
    threads = processes.threads(threads) if trainer.threads is None else threads
    precision = resolve_precision(trainer.precision, device, find_cell(config.model.cell), config.model.widest)
    prepare_torch(threads, trainer.deterministic)
    shared = processes.world_size > 1 and (not recorded or bool(recorded.get("shared_validation")))
    return Hardware(device, processes, threads, precision, resolve_step_version(recorded, device), shared)


def recorded_keys(resolved: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """Return the keys of `trainer` with which this process computes as the recorded one did; `say` warns if it cannot."""
    keys = {key: resolved[key] for key in ("precision", "threads") if resolved.get(key) is not None}
    if type(keys.get("threads", 1)) is not int or not 0 < keys.get("threads", 1) <= MOST_THREADS:
        raise UserError(
            f"run.json: resolved threads={keys['threads']!r} is not a number of threads; the file was changed by hand"
        )
    if resolved.get("device") == "cuda" and not torch.cuda.is_available():
        say("warning: the run was trained on a GPU, but there is none here; on the CPU, its numbers will differ")
    if resolved.get("device") is not None:
        keys["accelerator"] = "gpu" if resolved["device"] == "cuda" and torch.cuda.is_available() else "cpu"
    return keys


def resolve_step_version(recorded: dict[str, Any], device: torch.device) -> int:
    """Return the step version: as recorded (1 if a record has none), else the best one for this device.

    Raises:
        UserError: for a version that this code does not know.
    """
    best = STEP_VERSIONS[device.type]
    if "step_version" not in recorded:
        return best
    version = recorded["step_version"] or 1
    if type(version) is not int or not 0 < version <= max(STEP_VERSIONS.values()):
        raise UserError(f"run.json: resolved step_version={version!r} is unknown; use the version of rnnscope that wrote it")
    return min(version, best)


def resolve_cuda_graph(wanted: str, optimizer: torch.optim.Optimizer, hardware: Hardware, say: Callable[[str], None]) -> bool:
    """Return whether steps are replayed as a CUDA graph; with `auto`, `say` explains if they cannot be.

    Raises:
        UserError: if `wanted` is `always` and they cannot be.
    """
    check_choice("trainer.cuda_graph", wanted, CUDA_GRAPH)
    cuda = hardware.device.type == "cuda"
    if wanted == "never" or (wanted == "auto" and not cuda):
        return False
    obstacle = None
    if not cuda:
        obstacle = "no GPU is used"
    elif hardware.processes.together:
        obstacle = "processes exchange gradients in the middle of a step (trainer=ddp)"
    elif not is_capturable(optimizer):
        obstacle = f"{type(optimizer).__name__} computes its rate on the host in every step"
    if obstacle and wanted == "always":
        raise UserError(f"trainer.cuda_graph=always is not possible: {obstacle}; use trainer.cuda_graph=auto")
    if obstacle:
        say(f"no CUDA graph: {obstacle}; steps are slower without one")
    return not obstacle
