"""For whom room is kept, which jobs are paused for a more urgent one, and how a gang spreads over runners: pure functions.

What one runner's report can't decide, since it takes a look at all runners.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from actors.scheduling import Kept, Offer, Room, Shape, Waiting

SHARED = {"legacy"}  # engines whose workers can be on several runners
KEEPING = 0.25  # of the runners keep room at one time, at most: what waits to be enough is idle (docs/scale.md)
AT_ONCE = 10  # jobs for which room begins to be kept in one turn
SEARCHED = 12  # jobs of a runner among which the fewest to pause are looked for one by one


@dataclass(frozen=True)
class Holding:
    """A job, or its part, on a runner. Times in unix seconds: when it came, and when it ends as far as that is known."""

    id: str
    room: Room
    priority: int
    since: float
    ends_at: float | None = None
    leaving: bool = False  # it was asked to pause or to end


@dataclass(frozen=True)
class Host:
    """A runner that takes work, and what it holds."""

    id: str
    offer: Offer
    held: tuple[Holding, ...] = ()
    _opens: dict[Room, tuple[float, int]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def soon(self) -> Room:
        """What is free, and what will be when all that was asked to leave has left."""
        free = self.offer.free
        for each in self.held:
            free = free.plus(each.room) if each.leaving else free
        return free

    def has_room_for(self, job: Waiting) -> bool:
        """Whether the whole job fits what is free, and is not kept for others."""
        offer, room = self.offer, job.shape.room
        return offer.free.holds(room) and offer.serves(job.shape) and offer.free_for(job).holds(room)

    def opens(self, room: Room) -> tuple[float, int]:
        """When so much is free (0: now, infinity: not known), and how many jobs have to end before."""
        if room not in self._opens:
            self._opens[room] = self._when_open(room)
        return self._opens[room]

    def _when_open(self, room: Room) -> tuple[float, int]:
        free, ended = self.offer.free, 0
        for each in sorted(self.held, key=lambda each: each.ends_at or math.inf):
            if free.holds(room):
                break
            free, ended = free.plus(each.room), ended + 1
            at = each.ends_at or math.inf
        return (at, ended) if ended else (0.0, 0)


def alone(job: Waiting, hosts: Iterable[Host]) -> list[Host]:
    """The runners that could run the whole job when they are empty."""
    return [host for host in hosts if host.offer.can_ever_run(job.shape)]


def can_alone(job: Waiting, hosts: Iterable[Host]) -> bool:
    """Whether there is such a one."""
    return any(host.offer.can_ever_run(job.shape) for host in hosts)


def possible(job: Waiting, hosts: Sequence[Host]) -> bool:
    """Whether a runner, or several together, could run the job when they are empty."""
    if can_alone(job, hosts):
        return True
    if job.shape.workers < 2 or job.shape.engine not in SHARED:
        return False
    return bool(_together(job, [(host, host.offer.capacity) for host in hosts]))


def fits_now(job: Waiting, hosts: Iterable[Host]) -> bool:
    """Whether a runner has room for the whole job now."""
    return any(host.has_room_for(job) for host in hosts)


# ─── room is kept ─────────────────────────────────────────────────────────────────────────────────


def to_begin(runners: int, keeping: int, at_once: int = AT_ONCE) -> int:
    """For how many jobs room may begin to be kept, where so many of the runners keep some."""
    return max(0, min(at_once, max(1, int(KEEPING * runners)) - keeping))


def patient(jobs: Iterable[Waiting], now: float, patience: float, ageing: float, number: int) -> list[Waiting]:
    """Those of the jobs that have waited long enough, by turn, so many."""
    waited = (job for job in jobs if now - job.since >= patience)
    return sorted(waited, key=lambda job: job.turn(now, ageing))[:number]


def keep(patient: Iterable[Waiting], hosts: Sequence[Host]) -> list[tuple[str, str, int]]:
    """(runner, job, workers) of the room to be kept for the jobs, given by turn, that have waited long enough.

    Each gets one runner, where it will be free first, or the few that hold its workers together; a runner keeps room for
    one job.
    """
    patient = list(patient)
    if not patient:
        return []
    have = {host.offer.kept.id for host in hosts if host.offer.kept is not None}
    free = {host.id: host for host in hosts if host.offer.kept is None}
    first: dict[Shape, Iterator[str]] = {}  # runners by when they open for such a job
    fits: dict[tuple[Shape, int], bool] = {}
    kept: list[tuple[str, str, int]] = []
    for job in patient:
        lane = (job.shape, job.priority)
        if lane not in fits:
            fits[lane] = fits_now(job, hosts)
        if job.id in have or fits[lane]:
            continue
        if job.shape not in first:
            first[job.shape] = iter(_by_opening(job, hosts))
        for id, workers in _places(job, first[job.shape], hosts, free):
            kept.append((id, job.id, workers))
            del free[id]
    return kept


def _by_opening(job: Waiting, hosts: Sequence[Host]) -> list[str]:
    able = sorted((*host.opens(job.shape.room), host.id) for host in alone(job, hosts))
    return [id for *_, id in able]


def _places(
    job: Waiting, first: Iterator[str], hosts: Sequence[Host], free: Mapping[str, Host]
) -> list[tuple[str, int]]:
    best = next((id for id in first if id in free), None)
    if best is not None:
        return [(best, job.shape.workers)]
    if job.shape.workers < 2 or can_alone(job, hosts):
        return []
    return _together(job, _whole(job.shape, free.values()))


def _whole(shape: Shape, hosts: Iterable[Host]) -> list[tuple[Host, Room]]:
    """The runners with all that they have, those first that open first for as many of the workers as they hold."""
    rooms = [(host, host.offer.capacity) for host in hosts if host.offer.serves(shape)]
    most = [(host, shape.worker.times(min(room.count(shape.worker), shape.workers))) for host, room in rooms]
    opening = {host.id: host.opens(room) for host, room in most}
    return sorted(rooms, key=lambda each: (opening[each[0].id], each[0].id))


# ─── gangs ────────────────────────────────────────────────────────────────────────────────────────


def spread(job: Waiting, hosts: Sequence[Host]) -> list[tuple[str, int]]:
    """(runner, workers) of a job that no single runner could hold, as few runners as do: all of it, or nothing."""
    return [] if can_alone(job, hosts) else _spread(job, hosts)


def _spread(job: Waiting, hosts: Iterable[Host]) -> list[tuple[str, int]]:
    if job.shape.workers < 2 or job.shape.engine not in SHARED:
        return []
    worker = job.shape.worker
    return _together(job, [(host, host.offer.free_for(job)) for host in hosts if host.offer.free.holds(worker)])


def _together(job: Waiting, rooms: Iterable[tuple[Host, Room]]) -> list[tuple[str, int]]:
    left, parts = job.shape.workers, []
    counted = [(room.count(job.shape.worker), host.id) for host, room in rooms if _takes_part(host, job.shape)]
    for number, id in sorted(counted, key=lambda each: -each[0]):  # of equal ones the first
        if left and number:
            parts.append((id, min(number, left)))
            left -= parts[-1][1]
    return [] if left else parts


def _takes_part(host: Host, shape: Shape) -> bool:
    """Whether the runner can be one of several. Cloudera's pods are launched by one of them, and no other runner's meet them."""
    return host.offer.serves(shape) and not host.offer.apart


def gangs(turns: Iterable[Waiting], hosts: Sequence[Host]) -> Iterator[tuple[Waiting, list[tuple[str, int]]]]:
    """The jobs, given by turn, that can be spread now; what others whose turn is earlier can take is left to them."""
    turns = list(turns)
    wide = [place for place, job in enumerate(turns) if job.shape.workers > 1]
    if not wide:
        return
    now = {host.id: host for host in hosts}
    for job in turns[: wide[-1] + 1]:
        able = can_alone(job, now.values())
        if able:
            first = next((host for host in now.values() if host.has_room_for(job)), None)
            parts = [(first.id, job.shape.workers)] if first else []
        else:
            parts = _spread(job, now.values())
        for id, workers in parts:
            now[id] = _less(now[id], job.shape.worker.times(workers))
        if parts and not able:
            yield job, parts


def _less(host: Host, room: Room) -> Host:
    return replace(host, offer=replace(host.offer, free=host.offer.free.without(room)))


# ─── preemption ───────────────────────────────────────────────────────────────────────────────────


def preempt(job: Waiting, hosts: Sequence[Host]) -> tuple[str, list[str]] | None:
    """(runner, jobs to pause there) so that the job fits: the fewest, of those the least urgent, of those the youngest.

    None when it fits somewhere, now or as soon as those have left that were asked to, or when no pausing would do.
    """
    able = alone(job, hosts)
    if any(_soon_for(host, job).holds(job.shape.room) for host in able):
        return None
    found = [(cost, host.id, ids) for host in able if (cost_ids := victims(job, host)) for cost, ids in [cost_ids]]
    return min(found)[1:] if found else None


def preemptions(jobs: Iterable[Waiting], hosts: Sequence[Host]) -> Iterator[tuple[Waiting, str, list[str]]]:
    """(job, runner, jobs to pause there) for those of the jobs that others are to make room for, the most urgent first."""
    now = {host.id: host for host in hosts}
    for job in sorted(jobs, key=lambda job: (-job.priority, job.since, job.id)):
        if (found := preempt(job, list(now.values()))) is not None:
            now[found[0]] = _making_room(now[found[0]], job, found[1])
            yield job, *found


def _making_room(host: Host, job: Waiting, ids: Sequence[str]) -> Host:
    held = tuple(replace(each, leaving=True) if each.id in ids else each for each in host.held)
    kept = Kept(job.id, job.shape, job.priority, job.shape.room)
    return replace(host, offer=replace(host.offer, kept=kept), held=held)


def _soon_for(host: Host, job: Waiting) -> Room:
    return replace(host.offer, free=host.soon).free_for(job)


Cost = tuple[int, list[int], float]


def victims(job: Waiting, host: Host) -> tuple[Cost, list[str]] | None:
    """What pausing costs (how many, their priorities, seconds of their work), and which jobs of the runner it takes."""
    lower = [each for each in host.held if each.priority < job.priority and not each.leaving]
    lower.sort(key=lambda each: (each.priority, -each.since, each.id))
    free = _soon_for(host, job)
    for size in range(1, len(lower) + 1):
        groups = combinations(lower, size) if len(lower) <= SEARCHED else [tuple(lower[:size])]
        if enough := [group for group in groups if _with(free, group).holds(job.shape.room)]:
            best = min(enough, key=_cost)
            return _cost(best), [each.id for each in best]
    return None


def _with(free: Room, group: Iterable[Holding]) -> Room:
    for each in group:
        free = free.plus(each.room)
    return free


def _cost(group: Sequence[Holding]) -> Cost:
    return len(group), sorted((each.priority for each in group), reverse=True), -sum(each.since for each in group)
