"""Which queued jobs get a runner's free room: a pure choice.

Priority, then age, then fit. A job that has waited past a bound reserves the room it needs, so that smaller ones behind
it can't take it away again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PATIENCE = 300.0  # seconds after which a job that fits the runner's capacity reserves its next room


@dataclass(frozen=True)
class Room:
    """An amount of a runner: CPU cores, GPUs, memory in GiB."""

    cpus: float
    gpus: int
    memory: float

    def holds(self, other: Room) -> bool:
        """Whether `other` fits into this."""
        return other.cpus <= self.cpus and other.gpus <= self.gpus and other.memory <= self.memory

    def without(self, other: Room) -> Room:
        """What is left when `other` is taken out."""
        return Room(self.cpus - other.cpus, self.gpus - other.gpus, self.memory - other.memory)


@dataclass(frozen=True)
class Waiting:
    """A queued job; `since` in unix seconds; `label` is the accelerator label it asks for."""

    id: str
    room: Room
    engine: str
    priority: int
    since: float
    label: str | None = None


@dataclass(frozen=True)
class Offer:
    """A runner's whole capacity, what of it is free, the engines it runs, and its accelerator label."""

    capacity: Room
    free: Room
    engines: frozenset[str]
    label: str | None = None

    def can_ever_run(self, job: Waiting) -> bool:
        """Whether the job fits the runner when it is empty."""
        labelled = job.label is None or job.label == self.label
        return labelled and job.engine in self.engines and self.capacity.holds(job.room)


def choose(queued: Sequence[Waiting], offer: Offer, now: float) -> list[str]:
    """Return the ids of the jobs that the runner gets now, in order; never more than its free room holds."""
    chosen, free = [], offer.free
    for job in sorted(queued, key=lambda each: (-each.priority, each.since, each.id)):
        if not offer.can_ever_run(job):
            continue
        if free.holds(job.room):
            chosen.append(job.id)
            free = free.without(job.room)
        elif now - job.since >= PATIENCE:
            break  # the room that is free now is kept for it
    return chosen
