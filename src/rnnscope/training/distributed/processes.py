"""The processes of a training: one, or with trainer=ddp several that train one model. Who starts them, and which this is."""

import os
import warnings
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from rnnscope.errors import UserError
from rnnscope.training.config import TrainerConfig

STRATEGIES = ("single", "ddp")


class ThisMachine(LightningEnvironment):
    """All processes are on this machine, and rank 0 starts the others (see rendezvous.py): Lightning starts none."""

    @property
    def creates_processes_externally(self) -> bool:
        return True


@dataclass(frozen=True)
class Processes:
    """How many processes train, and which of them this one is.

    Args:
        together: whether they were asked for (`trainer=ddp`), even where there is only one.
        devices: processes on each machine.
        rank: of this process among all of them, and `local_rank` among those of its machine; the one with rank 0 writes.
        environment: who starts them: rank 0 itself, unless torchrun or Slurm did.
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
        """Return the device of this process: on a GPU, the one among them that is its own."""
        if not self.together or device.type != "cuda":
            return device
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def threads(self, cores: int) -> int:
        """Return how many of the cores that this process may use are its own; Slurm shares them out itself."""
        return cores if isinstance(self.environment, SLURMEnvironment) else max(1, cores // self.devices)


def find_processes(trainer: TrainerConfig, device: torch.device) -> Processes:
    """Return the processes that the keys of `trainer` ask for.

    Raises:
        UserError: for a number of processes that this machine, or the cluster, does not have.
    """
    if trainer.strategy not in STRATEGIES:
        raise UserError(f"trainer.strategy={trainer.strategy} is unknown: choose one of {', '.join(STRATEGIES)}")
    if trainer.strategy == "single":
        if trainer.devices is not None:
            raise UserError(f"trainer.devices={trainer.devices} needs trainer=ddp: without it one process trains")
        return Processes()
    environment = cluster()
    started = started_on_this_machine(environment)
    devices = count_devices(trainer.devices, device, started)
    nodes = environment.world_size() // devices if started else 1
    return Processes(True, devices, nodes, rank_in(environment), environment.local_rank(), environment)


def count_devices(wanted: int | None, device: torch.device, started: int | None) -> int:
    """Return the number of processes on each machine: as wanted, else as many as were started, else one for each GPU.

    Raises:
        UserError: when those disagree, or there are fewer GPUs.
    """
    gpus = torch.cuda.device_count() if device.type == "cuda" else None
    count = wanted or started or gpus
    if count is None:
        raise UserError("trainer.devices=null is one process for each GPU, and here is none: say how many, trainer.devices=2")
    if gpus is not None and count > gpus:
        raise UserError(f"trainer.devices={count} is more than the {gpus} GPU(s) that torch finds here")
    if started not in (None, count):
        raise UserError(f"trainer.devices={count}, but {started} processes were started on this machine: leave it out")
    return count


def cluster() -> ClusterEnvironment:
    """Return what starts the processes: torchrun or Slurm where they do, else rank 0."""
    with warnings.catch_warnings(action="ignore"):  # where srun is installed and not used, Lightning asks whether it should be
        try:
            if TorchElasticEnvironment.detect():
                return TorchElasticEnvironment()
            if SLURMEnvironment.detect():
                return SLURMEnvironment(auto_requeue=False)  # `rnnscope resume` goes on, not a checkpoint of Lightning's
        except RuntimeError as error:  # Lightning's own advice on how to call srun
            raise UserError(str(error)) from error
    return ThisMachine()


def rank_in(environment: ClusterEnvironment) -> int:
    """Return the rank of this process among all; rank 0 starts processes on one machine only."""
    return environment.local_rank() if isinstance(environment, ThisMachine) else environment.global_rank()


def started_on_this_machine(environment: ClusterEnvironment) -> int | None:
    """Return how many processes torchrun or Slurm started here, None where rank 0 starts them."""
    if isinstance(environment, TorchElasticEnvironment):
        return int(os.environ["LOCAL_WORLD_SIZE"])
    if isinstance(environment, SLURMEnvironment):
        return int(os.environ.get("SLURM_NTASKS_PER_NODE", "1"))
    return None


def check_world_size(recorded: dict[str, Any], processes: Processes, trainer: TrainerConfig) -> None:
    """Refuse to go on with a run, or to repeat it, with other processes than it had: each carries the state of its columns.

    Raises:
        UserError: naming the keys.
    """
    before, devices = recorded.get("world_size") or 1, trainer.devices
    if recorded and before != processes.world_size:
        asked = f"trainer.devices={'null' if devices is None else devices} and trainer.strategy={trainer.strategy}"
        raise UserError(
            f"{asked} make {processes.world_size} process(es) here, but the run was trained by {before}:"
            " only as many can go on with it or repeat it"
        )
