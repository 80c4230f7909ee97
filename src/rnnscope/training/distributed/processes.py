"""The processes of a training: one, or with trainer=ddp several that train one model; what starts them, their ranks."""

import os
import warnings
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from rnnscope.errors import UserError, unknown_value
from rnnscope.training.config import TrainerConfig

STRATEGIES = ("single", "ddp")


class ThisMachine(LightningEnvironment):
    """All processes are on this machine, and rank 0 starts the others (see rendezvous.py): Lightning starts none."""

    @property
    def creates_processes_externally(self) -> bool:
        return True


@dataclass(frozen=True)
class Processes:
    """The number of processes that train, and the rank of this one.

    Args:
        together: whether `trainer=ddp` was set, even if there is only one process.
        devices: processes on each machine.
        nodes: machines.
        rank: of this process among all of them; rank 0 writes the run folder.
        local_rank: of this process among those on its machine.
        environment: what starts them: torchrun or Slurm, else rank 0 itself.
    """

    together: bool = False
    devices: int = 1
    nodes: int = 1
    rank: int = 0
    local_rank: int = 0
    environment: ClusterEnvironment = field(default_factory=ThisMachine)

    @property
    def world_size(self) -> int:
        return self.devices * self.nodes

    def place(self, device: torch.device) -> torch.device:
        """Return the device of this process: with several GPUs, its own one."""
        if not self.together or device.type != "cuda":
            return device
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def threads(self, cores: int) -> int:
        """Return this process's share of the `cores` that it may use; Slurm divides them itself."""
        return cores if isinstance(self.environment, SLURMEnvironment) else max(1, cores // self.devices)


def find_processes(trainer: TrainerConfig, device: torch.device) -> Processes:
    """Return the processes that the keys of `trainer` ask for.

    Raises:
        UserError: for a number of processes that this machine, or the cluster, does not have.
    """
    if trainer.strategy not in STRATEGIES:
        raise UserError(unknown_value("trainer.strategy", trainer.strategy, STRATEGIES))
    if trainer.strategy == "single":
        if trainer.devices is not None:
            raise UserError(f"trainer.devices={trainer.devices} needs trainer=ddp: without it, a single process trains")
        return Processes()
    environment = cluster()
    started = started_on_this_machine(environment)
    devices = count_devices(trainer.devices, device, started)
    nodes = environment.world_size() // devices if started else 1
    return Processes(True, devices, nodes, rank_in(environment), environment.local_rank(), environment)


def count_devices(wanted: int | None, device: torch.device, started: int | None) -> int:
    """Return the number of processes on each machine: as wanted, else as many as were started, else one per GPU.

    Raises:
        UserError: if these numbers disagree, or there are fewer GPUs.
    """
    gpus = torch.cuda.device_count() if device.type == "cuda" else None
    count = wanted or started or gpus
    if count is None:
        raise UserError("trainer.devices=null means one process per GPU, but there is no GPU: give a number, trainer.devices=2")
    if gpus is not None and count > gpus:
        raise UserError(f"trainer.devices={count} must be at most {gpus}, the number of GPUs that torch finds here")
    if started not in (None, count):
        raise UserError(f"trainer.devices={count}, but {started} processes were started on this machine: leave it out")
    return count


def cluster() -> ClusterEnvironment:
    """Return what starts the processes: torchrun or Slurm, else rank 0."""
    with warnings.catch_warnings(action="ignore"):  # if srun is installed but not used, Lightning asks why
        try:
            if TorchElasticEnvironment.detect():
                return TorchElasticEnvironment()
            if SLURMEnvironment.detect():
                return SLURMEnvironment(auto_requeue=False)  # `rnnscope resume` continues a run, not Lightning
        except RuntimeError as error:  # Lightning's own advice on how to call srun
            raise UserError(str(error)) from error
    return ThisMachine()


def rank_in(environment: ClusterEnvironment) -> int:
    """Return the rank of this process among all; rank 0 starts processes on one machine only."""
    return environment.local_rank() if isinstance(environment, ThisMachine) else environment.global_rank()


def started_on_this_machine(environment: ClusterEnvironment) -> int | None:
    """Return how many processes torchrun or Slurm started on this machine; None if rank 0 starts them."""
    if isinstance(environment, TorchElasticEnvironment):
        return int(os.environ["LOCAL_WORLD_SIZE"])
    if isinstance(environment, SLURMEnvironment):
        return int(os.environ.get("SLURM_NTASKS_PER_NODE", "1"))
    return None


def check_world_size(recorded: dict[str, Any], processes: Processes, trainer: TrainerConfig) -> None:
    """Refuse to continue or reproduce a run with another number of processes: each carries the state of its own columns.

    Raises:
        UserError: naming the keys.
    """
    before, devices = recorded.get("world_size") or 1, trainer.devices
    if recorded and before != processes.world_size:
        asked = f"trainer.devices={'null' if devices is None else devices} and trainer.strategy={trainer.strategy}"
        raise UserError(
            f"{asked} make world_size={processes.world_size}, but the run was trained with world_size={before}:"
            " only the same number of processes can continue or reproduce it"
        )
