"""Where the agents of a job's runners meet: one listens and says where, the others come; a rendezvous as torchrun has it."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.elastic.rendezvous import RendezvousHandler, RendezvousInfo, RendezvousStoreInfo

from gpu_runner.child import Context
from gpu_runner.failures import WorkerLost

LOOK = 0.1  # seconds between looks whether all have come
PATIENCE = 600.0  # seconds in which all have to come
REACHED = 60.0  # seconds in which the first must be reached: it listens already
WAYS = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


class Stopped(Exception):
    """The job was asked to pause or to cancel before all had met."""

    def __init__(self, order: str) -> None:
        super().__init__(order)
        self.order = order


@dataclass(frozen=True)
class Place:
    """This runner's place among those of a job. `address` is where the others reach it, `rendezvous` where all meet."""

    workers: int
    node: int = 0
    nodes: int = 1
    address: str = "127.0.0.1"
    rendezvous: str | None = None

    def main_directory(self, own: Path) -> Path:
        """The directory of the attempt, where its first worker writes."""
        return own.with_name(own.name.partition(".")[0])


def name_the_way(place: Place) -> None:
    """Have the libraries take the network that the runner's address is on, unless the environment names one."""
    try:
        own = socket.gethostbyname(place.address)
    except OSError:
        return
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address == own for each in addresses):
            for variable in WAYS:
                os.environ.setdefault(variable, name)


class Meeting(RendezvousHandler):
    """The rendezvous of one attempt: it happens once, and its store is the workers' too."""

    def __init__(self, place: Place, context: Context) -> None:
        self.place, self.context = place, context
        self._run = f"{context.directory.parent.name}-{place.main_directory(context.directory).name}"

    def next_rendezvous(self) -> RendezvousInfo:
        """Meet. Raises Stopped when the job is asked to end meanwhile, WorkerLost when the others don't come."""
        place = self.place
        host, _, port = (place.rendezvous or f"{place.address}:0").rpartition(":")
        held = TCPStore(host, int(port), None, place.node == 0, timedelta(seconds=REACHED), wait_for_workers=False)
        held.set_timeout(timedelta(seconds=PATIENCE))
        store = PrefixStore(self._run, held)
        if place.nodes > 1:
            if place.node == 0:
                self.context.spool.write("rendezvous", address=f"{host}:{held.port}")
            store.set(f"runner {place.node}", "here")
            self._wait_for(store, [f"runner {node}" for node in range(place.nodes)])
            self.context.spool.phase("training with the other runners")
        return RendezvousInfo(store, place.node, place.nodes, RendezvousStoreInfo(host, held.port))

    def _wait_for(self, store: Any, keys: list[str]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not store.check(keys):
            if (order := self.context.order()) is not None:
                raise Stopped(order)
            if time.monotonic() > deadline:
                raise WorkerLost(f"not all of the {self.place.nodes} runners have come within {PATIENCE:.0f} s")
            time.sleep(LOOK)

    def get_backend(self) -> str:
        """What kind of meeting this is."""
        return "studio"

    @property
    def use_agent_store(self) -> bool:
        """The workers talk over the same store."""
        return True

    def is_closed(self) -> bool:
        """Whether nobody can come any more."""
        return False

    def set_closed(self) -> None:
        """Nobody else is to come."""

    def num_nodes_waiting(self) -> int:
        """Who wants in: nobody, the members are fixed."""
        return 0

    def get_run_id(self) -> str:
        """The attempt's name."""
        return self._run

    def shutdown(self) -> bool:
        """There is nothing to give back."""
        return True
