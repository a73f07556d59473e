"""When queued jobs might start: a pure guess from when what runs is expected to end.

The jobs are gone through by turn. Each takes the first room that opens for it and is supposed to run for as long as jobs
of late did. What can't be told (nothing that runs says when it ends) is left out, not guessed.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Iterable, Sequence

from actors.allotting import Host
from actors.scheduling import Room, Shape, Waiting


class _Timeline:
    """One runner's room from now on."""

    def __init__(self, host: Host, now: float) -> None:
        self.offer, self.free, self.since, self.turns = host.offer, host.offer.free, now, 0
        self.ends: list[tuple[float, int, Room]] = []
        for number, each in enumerate(host.held):
            if each.ends_at is not None:
                insort(self.ends, (max(now, each.ends_at), number, each.room))

    def opens(self, room: Room) -> float | None:
        """When there is so much room; None when that can't be told."""
        free, at = self.free, self.since
        for ends_at, _, ended in self.ends:
            if free.holds(room):
                break
            free, at = free.plus(ended), ends_at
        return at if free.holds(room) else None

    def take(self, room: Room, at: float, seconds: float | None) -> None:
        """Have a job run from `at` on, to an end that is not known without `seconds`."""
        while self.ends and self.ends[0][0] <= at:
            self.free = self.free.plus(self.ends.pop(0)[2])
        self.free, self.since, self.turns = self.free.without(room), at, self.turns + 1
        if seconds is not None:
            insort(self.ends, (at + seconds, -self.turns, room))


def forecast(turns: Iterable[Waiting], hosts: Sequence[Host], now: float, seconds: float | None) -> dict[str, float]:
    """Unix seconds at which the jobs, given by turn, might start, as far as that can be told.

    `seconds` is how long a job usually runs, None when that is not known. Jobs that need several runners are left out.
    """
    lines = [_Timeline(host, now) for host in hosts]
    openings: dict[Shape, list[tuple[float, int, int]]] = {}
    found: dict[str, float] = {}
    for job in turns:
        if job.shape not in openings:
            openings[job.shape] = _openings(job.shape, lines)
        if (opening := _next(openings[job.shape], job.shape, lines)) is not None:
            found[job.id], place = opening
            lines[place].take(job.shape.room, found[job.id], seconds)
    return found


def _openings(shape: Shape, lines: Sequence[_Timeline]) -> list[tuple[float, int, int]]:
    """(when, runner's place, how many jobs it was given by then) of every runner that could take such a job, as a heap."""
    made = [
        (at, place, line.turns)
        for place, line in enumerate(lines)
        if line.offer.can_ever_run(shape) and (at := line.opens(shape.room)) is not None
    ]
    heapq.heapify(made)
    return made


def _next(heap: list[tuple[float, int, int]], shape: Shape, lines: Sequence[_Timeline]) -> tuple[float, int] | None:
    """The first opening. One that was found before its runner was given a job is looked for again: it is later now."""
    while heap:
        at, place, turns = heap[0]
        line = lines[place]
        if turns == line.turns:
            return at, place
        again = line.opens(shape.room)
        if again is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (again, place, line.turns))
    return None
