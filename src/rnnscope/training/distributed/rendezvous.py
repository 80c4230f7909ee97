"""How the processes of a training find each other, learn from rank 0 what to train, and notice that one of them has ended.

They share a key-value store of torch, which rank 0 hosts unless torchrun does:

    rank 0           start the others, unless something else did    tell --.              wait for all    form the group
    other ranks      connect                                      hear <---'--> prepare   say ready       form the group

Until the group is formed, a process that ends is noticed here; from then on, the connections of the group break.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import IO, Any, NoReturn, Self

import torch
import torch.distributed
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from rnnscope.errors import UserError
from rnnscope.training.distributed.collectives import LONGEST_WAIT, packed, reaching, unpacked
from rnnscope.training.distributed.processes import Processes, ThisMachine, rank_in

CONNECTING = timedelta(minutes=5)
GRACE = 4.0  # seconds in which processes may end by themselves
STUCK = 15.0  # seconds in which a process can notice that another one has ended; later it never will
POLL = 0.05  # seconds


@dataclass
class Child:
    """A process that rank 0 started. Its stderr goes to a file, whose last line says why it ended."""

    rank: int
    process: subprocess.Popen
    errors: IO[bytes] = field(repr=False)

    def said(self) -> str:
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "replace").strip()

    def why(self) -> str | None:
        """Return why it ended; None while it runs, or if it said nothing: then it ended because of another process."""
        status = self.process.poll()
        if status is None:
            return None
        if status < 0:
            return f"process {self.rank} was killed ({signal.Signals(-status).name})"
        said = self.said()
        return f"process {self.rank} ended: {said.splitlines()[-1][:300]}" if said else None


class Rendezvous:
    """Connects the processes that train together; all of them call it in the same order.

    Args:
        entry: the Python code of the processes that rank 0 starts; `{parent}` becomes the process id of rank 0.
    """

    def __init__(self, environment: ClusterEnvironment, entry: str = "") -> None:
        self.rank, self.entry = rank_in(environment), entry
        self._starts = isinstance(environment, ThisMachine)
        self._store, self._port = open_store(environment, self.rank)
        self._children: list[Child] = []
        self._trainings = 0  # announced so far
        self._over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """End the other processes; after an exception, those that were started here are killed."""
        self._over = True
        self._trainings += 1
        with suppress(RuntimeError):
            self._store.set(self._key("told"), b"")
        leave_group()
        for child in self._children:
            if kind is not None:
                child.process.kill()
            try:
                child.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                child.process.kill()
            if kind is not None and os.environ.get("RNNSCOPE_TRACEBACK"):
                print(child.said(), file=sys.stderr)
            child.errors.close()

    def tell(self, what: dict[str, Any], processes: Processes) -> None:
        """Tell the other processes what to train, and return when all of them are ready.

        Raises:
            UserError: if one of them cannot train, with its reason.
        """
        if self._starts and not self._children:
            self._children = [self._start(rank) for rank in range(1, processes.devices)]
            threading.Thread(target=self._watch, daemon=True).start()
        self._trainings += 1
        self._store.set(self._key("told"), packed(what))
        ready = [self._key(f"ready/{rank}") for rank in range(1, processes.world_size)]
        while not self._store.check(ready):
            why = self._why() or ("a process ended without a message" if self._has_ended() else None)
            if why is not None:
                raise UserError(f"{why} (before the first step)")
            time.sleep(POLL)

    def hear(self) -> dict[str, Any] | None:
        """Wait until rank 0 tells what to train; return None if there is nothing more to train.

        Raises:
            ProcessLost: if rank 0 has ended.
        """
        self._trainings += 1
        with reaching():
            told = self._store.get(self._key("told"))
        return unpacked(told) if told else None

    def ready(self) -> None:
        """Tell rank 0 that this process is ready."""
        with reaching():
            self._store.set(self._key(f"ready/{self.rank}"), b"")

    def fail(self, reason: str) -> NoReturn:
        """Tell rank 0 why this process cannot train, and exit when rank 0 ends the training."""
        self._store.set("failed", f"process {self.rank}: {reason}".encode())
        with suppress(RuntimeError):
            self.hear()
        raise SystemExit(1)

    def form_group(self, world_size: int, device: torch.device) -> None:
        """Form the group in which gradients are summed, as Lightning would. Later trainings use it again."""
        if torch.distributed.is_initialized():
            return
        cuda = device.type == "cuda"
        with reaching():
            torch.distributed.init_process_group(
                "nccl" if cuda else "gloo",
                store=PrefixStore("group", self._store),
                rank=self.rank,
                world_size=world_size,
                timeout=LONGEST_WAIT,
                device_id=device if cuda else None,
            )

    def why_lost(self) -> str:
        """Return why another process ended, after waiting a moment for it to do so."""
        self._over, end = True, time.monotonic() + GRACE
        while (why := self._why()) is None and time.monotonic() < end and self._children:
            time.sleep(POLL)
        return why or "another process ended (it was killed, or printed its reason)"

    def _why(self) -> str | None:
        if self._store.check(["failed"]):
            return self._store.get("failed").decode()
        return next((why for child in self._children if (why := child.why())), None)

    def _has_ended(self) -> bool:
        return any(child.process.poll() is not None for child in self._children)

    def _key(self, name: str) -> str:
        return f"{self._trainings}/{name}"

    def _start(self, rank: int) -> Child:
        place = {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(self._port)}
        code = f"import sys; sys.path[:] = {sys.path!r}; {self.entry.format(parent=os.getpid())}"
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        null = subprocess.DEVNULL
        process = subprocess.Popen(
            [sys.executable, "-c", code], env={**os.environ, **place}, stdin=null, stdout=null, stderr=errors
        )
        return Child(rank, process, errors)

    def _watch(self) -> None:
        """End this process if another one has ended and this one has not noticed: on a GPU it would wait forever."""
        while not self._has_ended():
            time.sleep(1)
        time.sleep(STUCK)
        if not self._over:
            print(f"rnnscope: error: {self._why()}", file=sys.stderr, flush=True)
            os._exit(1)


def open_store(environment: ClusterEnvironment, rank: int) -> tuple[Any, int]:
    """Return the store of all processes, and its port; rank 0 hosts it, unless torchrun does."""
    agent = isinstance(environment, TorchElasticEnvironment) and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    keeps = rank == 0 and not agent
    port = 0 if keeps and isinstance(environment, ThisMachine) else environment.main_port  # 0: any that is free
    store = TCPStore(environment.main_address, port, is_master=keeps, timeout=CONNECTING, wait_for_workers=False)
    store.set_timeout(LONGEST_WAIT)
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # torchrun keeps its store when it restarts all processes
    return PrefixStore(f"rnnscope/{attempt}", store), store.port


def leave_group() -> None:
    """Join the threads behind the groups: one that outlives Python can abort the process on exit."""
    if torch.distributed.is_initialized():
        with suppress(Exception):
            torch.distributed.destroy_process_group()


def leave_with(parent: int) -> None:
    """End this process when the one that started it has ended: it could wait for it forever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
