"""How the processes of a training find each other, hear from rank 0 what to train, and notice that one of them has ended.

They share a store of torch's. Rank 0 keeps it, or torchrun does:

    rank 0           start the others, unless something else did    tell --.              wait for all    form the group
    other ranks      connect                                      hear <---'--> prepare   say ready       form the group

Until the group is formed a process that ends is noticed here; from then on the connections of the group break.
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
GRACE = 4.0  # seconds that processes have to end by themselves
STUCK = 15.0  # seconds after which a process that has not noticed never will
POLL = 0.05  # seconds


@dataclass
class Child:
    """A process that rank 0 started; what it says goes to a file, and its last line is why it ended."""

    rank: int
    process: subprocess.Popen
    errors: IO[bytes] = field(repr=False)

    def said(self) -> str:
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "replace").strip()

    def why(self) -> str | None:
        """Return why it ended, None while it runs, and where it said nothing: then it ended because of another one."""
        status = self.process.poll()
        if status is None:
            return None
        if status < 0:
            return f"process {self.rank} was killed ({signal.Signals(-status).name})"
        said = self.said()
        return f"process {self.rank} ended: {said.splitlines()[-1][:300]}" if said else None


class Rendezvous:
    """Where processes that train together find each other; all use it in the same order.

    Args:
        entry: Python code that a process runs which rank 0 starts; it takes the `{parent}`.
    """

    def __init__(self, environment: ClusterEnvironment, entry: str = "") -> None:
        self.rank, self.entry = rank_in(environment), entry
        self._starts = isinstance(environment, ThisMachine)
        self._store, self._port = open_store(environment, self.rank)
        self._children: list[Child] = []
        self._trainings = 0  # told or heard of so far
        self._over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Send the other processes home; after an exception those that were started here are killed."""
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
        """Tell the others what to train, and return when all of them are prepared for it.

        Raises:
            UserError: when one of them cannot, with its reason.
        """
        if self._starts and not self._children:
            self._children = [self._start(rank) for rank in range(1, processes.devices)]
            threading.Thread(target=self._watch, daemon=True).start()
        self._trainings += 1
        self._store.set(self._key("told"), packed(what))
        ready = [self._key(f"ready/{rank}") for rank in range(1, processes.world_size)]
        while not self._store.check(ready):
            why = self._why() or ("a process ended without a word" if self._has_ended() else None)
            if why is not None:
                raise UserError(f"{why} (before the first step)")
            time.sleep(POLL)

    def hear(self) -> dict[str, Any] | None:
        """Wait for what rank 0 tells; None when nothing more is trained.

        Raises:
            ProcessLost: when rank 0 is gone.
        """
        self._trainings += 1
        with reaching():
            told = self._store.get(self._key("told"))
        return unpacked(told) if told else None

    def ready(self) -> None:
        """Say that this process is prepared."""
        with reaching():
            self._store.set(self._key(f"ready/{self.rank}"), b"")

    def fail(self, reason: str) -> NoReturn:
        """Leave word why this process cannot train, and end when rank 0 has said so."""
        self._store.set("failed", f"process {self.rank}: {reason}".encode())
        with suppress(RuntimeError):
            self.hear()
        raise SystemExit(1)

    def form_group(self, world_size: int, device: torch.device) -> None:
        """Form the group in which gradients are summed, as Lightning would. It stays for the trainings that follow."""
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
        """Return why another process is gone, waiting a moment for it to end."""
        self._over, end = True, time.monotonic() + GRACE
        while (why := self._why()) is None and time.monotonic() < end and self._children:
            time.sleep(POLL)
        return why or "another process ended (killed, or for the reason that it gave)"

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
        """End this process where another one has ended and it does not notice: on a GPU it would wait forever."""
        while not self._has_ended():
            time.sleep(1)
        time.sleep(STUCK)
        if not self._over:
            print(f"rnnscope: error: {self._why()}", file=sys.stderr, flush=True)
            os._exit(1)


def open_store(environment: ClusterEnvironment, rank: int) -> tuple[Any, int]:
    """Return the store of all processes, and its port: rank 0 keeps it, unless torchrun does."""
    agent = isinstance(environment, TorchElasticEnvironment) and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    keeps = rank == 0 and not agent
    port = 0 if keeps and isinstance(environment, ThisMachine) else environment.main_port  # 0: any that is free
    store = TCPStore(environment.main_address, port, is_master=keeps, timeout=CONNECTING, wait_for_workers=False)
    store.set_timeout(LONGEST_WAIT)
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # torchrun keeps its store when it starts all anew
    return PrefixStore(f"rnnscope/{attempt}", store), store.port


def leave_group() -> None:
    """Join the threads behind the groups: one that outlives Python can abort the process at its very end."""
    if torch.distributed.is_initialized():
        with suppress(Exception):
            torch.distributed.destroy_process_group()


def leave_with(parent: int) -> None:
    """End this process when the one that started it is gone: it could wait for it forever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
