"""Which queued jobs get a runner's free room: a pure choice.

By turn, then fit. The turn is the priority, to which waiting adds a step a day (`ageing`), so that no stream of better
ones keeps a job waiting for ever; of equal priority the older goes first. A smaller job may pass one that does not fit;
past PATIENCE room is kept for that one on a runner (allotting.py), and only a higher priority passes it there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from core import labels

AGEING = 86_400.0  # seconds of waiting that count as one step of priority
NEVER = 1 << 30  # more of anything than a runner has


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

    def plus(self, other: Room) -> Room:
        """Both together."""
        return Room(self.cpus + other.cpus, self.gpus + other.gpus, self.memory + other.memory)

    def times(self, number: int) -> Room:
        """So many of this."""
        return Room(self.cpus * number, self.gpus * number, self.memory * number)

    def count(self, other: Room) -> int:
        """How many of `other` fit into this."""
        parts = ((self.cpus, other.cpus), (self.gpus, other.gpus), (self.memory, other.memory))
        return max(0, min(int(has // each) if each else NEVER for has, each in parts))


@dataclass(frozen=True)
class Shape:
    """What a job asks of its runners: an engine, the room of a worker, how many, and the accelerator's label."""

    engine: str
    worker: Room
    workers: int = 1
    label: str | None = None
    text: str = field(default="", compare=False)  # as a job's row tells it (core.store.work.shape_text)

    @cached_property
    def room(self) -> Room:
        """What its workers take together."""
        return self.worker.times(self.workers)


@lru_cache(maxsize=4096)
def shape_of(text: str) -> Shape:
    """The shape that a job's row tells."""
    engine, cpus, gpus, memory, workers, label = json.loads(text)
    return Shape(engine, Room(cpus, gpus, memory), workers, None if label is None else str(label), text)


@dataclass(frozen=True)
class Waiting:
    """A queued job; `since` in unix seconds. Those of one shape and priority wait in one lane."""

    id: str
    shape: Shape
    priority: int
    since: float

    def turn(self, now: float, ageing: float = AGEING) -> tuple[float, float, str]:
        """What puts jobs in order: the smallest goes first. Without `ageing` (0) waiting adds nothing to a priority."""
        waited = max(0.0, now - self.since) / ageing if ageing else 0.0
        return -(self.priority + waited), self.since, self.id


@dataclass(frozen=True)
class Kept:
    """Room that a runner keeps for a queued job: all that it asks for (`whole`), or that of some of its workers."""

    id: str
    shape: Shape
    priority: int
    room: Room
    whole: bool = True

    def alike(self, job: Waiting) -> bool:
        """Whether the job waits in the same lane: the oldest there takes the room, and leaves its own to the other."""
        return job.priority == self.priority and job.shape == self.shape


@dataclass(frozen=True)
class Offer:
    """A runner's whole capacity, what of it is free, the engines it runs, its accelerator label, what it keeps.

    One that is `apart` takes no part in a job of several runners.
    """

    capacity: Room
    free: Room
    engines: frozenset[str]
    label: str | None = None
    kept: Kept | None = None
    apart: bool = False

    def serves(self, shape: Shape) -> bool:
        """Whether the runner has the engine and the label."""
        return shape.engine in self.engines and labels.serves(self.label, shape.label)

    def can_ever_run(self, shape: Shape) -> bool:
        """Whether the job fits the runner when it is empty."""
        return self.capacity.holds(shape.room) and self.serves(shape)

    def has_room(self, shape: Shape) -> bool:
        """Whether such a job fits what is free."""
        return self.free.holds(shape.room) and self.serves(shape)

    def free_for(self, job: Waiting) -> Room:
        """What is free for the job: without what is kept for one unlike it, unless its own priority is higher."""
        kept = self.kept
        if kept is None or kept.priority < job.priority or kept.alike(job):
            return self.free
        return self.free.without(kept.room) if self.free.holds(kept.room) else Room(0, 0, 0)


def choose(queued: Iterable[Waiting], offer: Offer, now: float, ageing: float = AGEING) -> list[str]:
    """Return the ids of the jobs that the runner gets now, in order; never more than its free room holds.

    Of each lane the oldest are enough, as many as the free room holds.
    """
    turns = sorted((job for job in queued if offer.can_ever_run(job.shape)), key=lambda job: job.turn(now, ageing))
    kept = offer.kept
    if kept is None:
        return _fit(turns, offer.free)[0]
    chosen, free = _fit([job for job in turns if job.priority > kept.priority and job.id != kept.id], offer.free)
    if not free.holds(kept.room):
        return chosen  # what is free is kept until there is enough of it
    own = [_first(turns, kept)] if kept.whole else []
    others = [job for job in turns if job.priority <= kept.priority and job.id not in own]
    return chosen + own + _fit(others, free.without(kept.room))[0]


def _first(turns: Sequence[Waiting], kept: Kept) -> str:
    """Who gets the kept room: the oldest of its lane, though another runner keeps some for that one, which is not there yet."""
    return next((job.id for job in turns if kept.alike(job)), kept.id)


def _fit(turns: Sequence[Waiting], free: Room) -> tuple[list[str], Room]:
    chosen = []
    for job in turns:
        if free.holds(job.shape.room):
            chosen.append(job.id)
            free = free.without(job.shape.room)
    return chosen, free
