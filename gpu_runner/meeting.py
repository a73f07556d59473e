"""Where the agents of a job's runners meet: one listens and says where, the others come; a rendezvous as torchrun has it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.elastic.rendezvous import RendezvousHandler, RendezvousInfo, RendezvousStoreInfo

from gpu_runner.child import Context

LOOK = 0.1  # seconds between looks whether all have come
PATIENCE = 600.0  # seconds in which all have to come


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


class Meeting(RendezvousHandler):
    """The rendezvous of one attempt: it happens once, and its store is the workers' too."""

    def __init__(self, place: Place, context: Context) -> None:
        self.place, self.context = place, context
        self._run = f"{context.directory.parent.name}-{place.main_directory(context.directory).name}"

    def next_rendezvous(self) -> RendezvousInfo:
        """Meet; raises what ends the job when it is asked to end meanwhile, and TimeoutError."""
        place = self.place
        host, _, port = (place.rendezvous or f"{place.address}:0").rpartition(":")
        held = TCPStore(host, int(port), None, place.node == 0, timedelta(seconds=PATIENCE), wait_for_workers=False)
        store = PrefixStore(self._run, held)
        return RendezvousInfo(store, place.node, place.nodes, RendezvousStoreInfo(host, held.port))

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
