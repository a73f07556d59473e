"""The processes that train one job together: which of them this one is, and how they agree on what to do."""

from __future__ import annotations

from typing import Any, TypeVar

from gpu_runner.failures import JobError

T = TypeVar("T")


class Team:
    """A process that trains alone. It is told apart from the first of several by `world`."""

    rank = 0
    world = 1

    @property
    def first(self) -> bool:
        """Whether this process speaks for all: it alone writes the spool, checkpoints and results."""
        return self.rank == 0

    def share(self, value: T) -> T:
        """The value that the first process has."""
        return value

    def any(self, value: bool) -> bool:
        """Whether it is so for one of the processes."""
        return value

    def alike(self, what: str, value: Any) -> None:
        """Raise JobError when the processes do not all have the same value."""


class Ranks(Team):
    """One of several processes, over torch.distributed. What is told here goes by gloo, so that no GPU has to wait for it."""

    def __init__(self) -> None:
        import torch.distributed as dist

        self._dist, self._group = dist, dist.new_group(backend="gloo")
        self.rank, self.world = dist.get_rank(), dist.get_world_size()

    def share(self, value: T) -> T:
        """The value that the first process has."""
        held = [value]
        self._dist.broadcast_object_list(held, src=0, group=self._group)
        return held[0]

    def any(self, value: bool) -> bool:
        """Whether it is so for one of the processes; none goes on before all have come this far."""
        found: list[Any] = [None] * self.world
        self._dist.all_gather_object(found, value, group=self._group)
        return any(found)

    def alike(self, what: str, value: Any) -> None:
        """Raise JobError when the processes do not all have the same value."""
        found: list[Any] = [None] * self.world
        self._dist.all_gather_object(found, value, group=self._group)
        for rank, other in enumerate(found):
            if other != found[0]:
                text = f"worker {rank} has another {what} than worker 0: {other}, not {found[0]}"
                raise JobError(text, "Runners that train a job together need the same files, libraries and devices.")
