"""A cluster in which nothing runs: runners and jobs by the thousand, and the studio's own choices among them.

Everything that decides is actors/scheduling.py's and actors/allotting.py's. Here are only a clock, a queue in lanes as the
store has it (actors/lanes.py), and runners that report when a job ends, when they are woken, and at the tick.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from actors.allotting import AT_ONCE, Holding, Host, gangs, keep, patient, to_begin
from actors.scheduling import AGEING, Kept, Offer, Room, Shape, Waiting, choose

ENGINES = frozenset({"legacy"})


@dataclass(frozen=True)
class Policy:
    """How room is given; without `keeping` none is kept for anybody. Times in seconds."""

    keeping: bool = True
    patience: float = 300.0
    ageing: float = AGEING
    tick: float = 10.0  # between looks at all runners; the studio's is one second, which is only slower to simulate


@dataclass(frozen=True)
class Coming:
    """A job before it comes: when, how long it runs (seconds), its name among kinds."""

    at: float
    kind: str
    shape: Shape
    priority: int
    seconds: float


@dataclass
class Machine:
    """A runner. `keeping` is the job that it keeps room for, and how many of its workers."""

    id: str
    capacity: Room
    label: str | None
    free: Room
    held: dict[str, Holding] = field(default_factory=dict)
    keeping: tuple[Waiting, int] | None = None

    def offer(self) -> Offer:
        """What it has for those who wait."""
        kept = None
        if self.keeping is not None:
            job, workers = self.keeping
            room = job.shape.worker.times(workers)
            kept = Kept(job.id, job.shape, job.priority, room, workers == job.shape.workers)
        return Offer(self.capacity, self.free, ENGINES, self.label, kept)


class Rooms:
    """Runners by what of them is free: so the fullest that has room for a job is found without asking all."""

    def __init__(self, machines: list[Machine]) -> None:
        self._by_gpus: dict[int, dict[Key, dict[str, Machine]]] = defaultdict(dict)
        for machine in machines:
            self.add(machine)

    def add(self, machine: Machine) -> None:
        """Note what is free of it."""
        self._by_gpus[machine.free.gpus].setdefault(_key(machine), {})[machine.id] = machine

    def drop(self, machine: Machine) -> None:
        """Forget it, before what is free of it changes."""
        alike, key = self._by_gpus[machine.free.gpus], _key(machine)
        del alike[key][machine.id]
        if not alike[key]:
            del alike[key]
        if not alike:
            del self._by_gpus[machine.free.gpus]

    def fullest(self, job: Waiting) -> Machine | None:
        """The one that has the least room beside the job; one that keeps room for a job of less priority only if none else."""
        room, found = job.shape.room, list[tuple[bool, int, float, float, Machine]]()
        for gpus in sorted(gpus for gpus in self._by_gpus if gpus >= room.gpus):
            for (free, label, kept), machines in self._by_gpus[gpus].items():
                if free.holds(room) and job.shape.label in {None, label} and (kept is None or kept < job.priority):
                    found.append((kept is not None, gpus, free.cpus, free.memory, next(iter(machines.values()))))
            if any(not keeps for keeps, *_ in found):
                break
        return min(found, key=lambda each: each[:4])[4] if found else None


Key = tuple[Room, str | None, int | None]


def _key(machine: Machine) -> Key:
    return machine.free, machine.label, machine.keeping[0].priority if machine.keeping else None


@dataclass(repr=False)
class Figures:
    """What a run showed. Waits in seconds by kind and priority; GPUs as shares of all, at ticks while jobs come."""

    waits: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    used: list[float] = field(default_factory=list)
    idle_kept: list[float] = field(default_factory=list)  # of it what is free where room is kept
    choices: int = 0
    choosing: float = 0.0  # seconds of this machine's time
    looks: int = 0
    looking: float = 0.0  # the same for looks at all runners
    kept: int = 0
    after_kept: list[float] = field(
        default_factory=list
    )  # seconds from when room began to be kept for a job to its start
    passed: int = 0  # jobs that began before an older one of their lane that had no room kept
    over: int = 0  # times that more was given than was free
    longest_queue: int = 0
    seconds: float = 0.0  # of simulated time
    ended: int = 0


class Simulation:
    """One run. Times are simulated seconds from 0."""

    def __init__(self, machines: list[Machine], jobs: Iterator[Coming], policy: Policy) -> None:
        self.machines = {each.id: each for each in machines}
        self.policy, self.figures = policy, Figures()
        self.lanes: dict[tuple[Shape, int], list[Waiting]] = {}
        self.kept: dict[str, list[Machine]] = {}  # by job, the runners that keep room for it
        self._known: dict[str, Coming] = {}
        self._waiting: dict[str, Waiting] = {}
        self._arrivals, self._queued = jobs, 0
        self._ends: list[tuple[float, str, list[tuple[Machine, Room]]]] = []
        self._rooms = Rooms(machines)
        self._kinds = set({(each.capacity, each.label): each.id for each in machines}.values())
        self._kept_at: dict[str, float] = {}
        self._hosts: dict[str, Host] = {}
        self._gpus = self._free_gpus = sum(each.capacity.gpus for each in machines)

    def run(self) -> Figures:
        """Go on until every job has ended."""
        never, numbers = float("inf"), itertools.count(1)
        coming, next_tick = next(self._arrivals, None), 0.0
        looks = round(max(1.0, self.policy.tick))  # the studio looks once a second
        while coming is not None or self._ends:
            at = min(coming.at if coming else never, self._ends[0][0] if self._ends else never)
            if next_tick <= at:
                self._tick(next_tick, coming is not None, looks)
                next_tick = (next_tick if self._queued else at) + self.policy.tick
            elif coming is not None and coming.at <= at:
                self._come(Waiting(f"{next(numbers):08}", coming.shape, coming.priority, at), coming)
                coming = next(self._arrivals, None)
            else:
                self._end(*heapq.heappop(self._ends))
            self.figures.seconds = at
        return self.figures

    # ─── what happens ─────────────────────────────────────────────────────────────────────────────

    def _come(self, job: Waiting, told: Coming) -> None:
        self._known[job.id], self._waiting[job.id] = told, job
        lane = self.lanes.setdefault((job.shape, job.priority), [])
        lane.append(job)
        self._queued += 1
        self.figures.longest_queue = max(self.figures.longest_queue, self._queued)
        if len(lane) == 1:  # else nobody has room for it: an older one like it waits
            self._wake(job)

    def _wake(self, job: Waiting) -> None:
        machine = self._rooms.fullest(job)
        if machine is not None:
            self._report(job.since, machine)

    def _end(self, now: float, id: str, parts: list[tuple[Machine, Room]]) -> None:
        for machine, room in parts:
            del machine.held[id]
            self._change(machine, machine.free.plus(room))
        self.figures.ended += 1
        for machine, _ in parts:
            self._report(now, machine)

    def _report(self, now: float, machine: Machine) -> None:
        """The runner gets what the studio would give it."""
        offer = machine.offer()
        lanes = [
            lane[: offer.free.count(shape.room)] for (shape, _), lane in self.lanes.items() if offer.has_room(shape)
        ]
        if not lanes:
            return
        began = time.perf_counter()
        chosen = choose(itertools.chain.from_iterable(lanes), offer, now, self.policy.ageing)
        self.figures.choosing += time.perf_counter() - began
        self.figures.choices += 1
        given = [self._waiting[id] for id in chosen]
        in_vain = [each for job in given for each in self._start(now, job, [(machine, job.shape.workers)])]
        for each in in_vain:
            if each is not machine:
                self._report(now, each)

    def _start(self, now: float, job: Waiting, parts: list[tuple[Machine, int]]) -> list[Machine]:
        """Give a job to runners; those that kept room for it, and do no more."""
        self._leave(job)
        told, _ = self._known.pop(job.id), self._waiting.pop(job.id)
        self.figures.waits[told.kind, told.priority].append(now - told.at)
        if job.id in self._kept_at:
            self.figures.after_kept.append(now - self._kept_at.pop(job.id))
        taken = [(machine, job.shape.worker.times(workers)) for machine, workers in parts]
        for machine, room in taken:
            machine.held[job.id] = Holding(job.id, room, job.priority, now, now + told.seconds)
            self._change(machine, machine.free.without(room))
            self.figures.over += min(machine.free.gpus, machine.free.cpus, machine.free.memory) < 0
        heapq.heappush(self._ends, (now + told.seconds, job.id, taken))
        return self._hand_over(job, [machine for machine, _ in parts])

    def _hand_over(self, job: Waiting, took: list[Machine]) -> list[Machine]:
        """What actors/kept_room.py does; the runners that keep no room any more."""
        others = dict[str, Waiting]()
        for machine in took:
            kept = machine.offer().kept
            if machine.keeping is not None and kept is not None and kept.alike(job):
                if kept.id != job.id:
                    others[kept.id] = machine.keeping[0]
                self._keep(machine, None)
        heir = next(iter(others.values()), None)
        left, in_vain = list(self.kept.get(job.id, [])), list[Machine]()
        for machine in left:
            workers = machine.keeping[1] if machine.keeping else 0
            self._keep(machine, (heir, workers) if heir else None)
        for id in list(others)[1:]:
            in_vain += self.kept.get(id, [])
        for machine in in_vain:
            self._keep(machine, None)
        return in_vain if heir else [*in_vain, *left]

    def _keep(self, machine: Machine, keeping: tuple[Waiting, int] | None) -> None:
        """Have a runner keep room for a job, or for none."""
        if machine.keeping is not None:
            there = self.kept[machine.keeping[0].id]
            there.remove(machine)
            if not there:
                del self.kept[machine.keeping[0].id]
        self._rooms.drop(machine)
        machine.keeping = keeping
        self._rooms.add(machine)
        self._hosts.pop(machine.id, None)
        if keeping is not None:
            self.kept.setdefault(keeping[0].id, []).append(machine)

    def _leave(self, job: Waiting) -> None:
        lane = self.lanes[job.shape, job.priority]
        place = lane.index(job)
        self.figures.passed += any(older.id not in self.kept for older in lane[:place])
        del lane[place]
        if not lane:
            del self.lanes[job.shape, job.priority]
        self._queued -= 1

    def _change(self, machine: Machine, free: Room) -> None:
        """Have so much of it be free."""
        self._rooms.drop(machine)
        self._free_gpus += free.gpus - machine.free.gpus
        machine.free = free
        self._rooms.add(machine)
        self._hosts.pop(machine.id, None)

    # ─── the tick ─────────────────────────────────────────────────────────────────────────────────

    def _tick(self, now: float, measuring: bool, left: int) -> None:
        """What actors/making_room.py does; again as long as it puts gangs together, up to `left` times."""
        if measuring:
            idle_kept = sum(each.free.gpus for each in itertools.chain.from_iterable(self.kept.values()))
            self.figures.used.append(1 - self._free_gpus / self._gpus)
            self.figures.idle_kept.append(idle_kept / self._gpus)
        ageing = self.policy.ageing
        heads = sorted((lane[0] for lane in self.lanes.values()), key=lambda job: job.turn(now, ageing))
        waited = self._waited(now) if self.policy.keeping else []
        wide = [job for job in heads if job.shape.workers > 1]
        if not waited and not wide:
            return
        began = time.perf_counter()
        hosts = [self._host(each) for each in (self.machines.values() if waited else self._with_room(wide))]
        together = list(gangs(heads, hosts))
        begun = {job.id for job, _ in together}
        kept = keep([job for job in waited if job.id not in begun], hosts)
        self.figures.looking += time.perf_counter() - began
        self.figures.looks += 1
        for runner, id, workers in kept:
            self._keep(self.machines[runner], (self._waiting[id], workers))
            self._kept_at[id] = now
            self.figures.kept += 1
        for job, parts in together:  # of each lane the oldest
            for machine in self._start(now, job, [(self.machines[runner], workers) for runner, workers in parts]):
                self._report(now, machine)
        if together and left > 1:
            self._tick(now, False, left - 1)

    def _waited(self, now: float) -> list[Waiting]:
        """Those that have waited long and have no room kept yet, by turn."""
        policy = self.policy
        looks = round(max(1.0, policy.tick))  # the studio looks once a second
        number = to_begin(len(self.machines), sum(map(len, self.kept.values())), looks * AT_ONCE)
        found = list[Waiting]()
        for lane in self.lanes.values():
            without = (job for job in lane if job.id not in self.kept)
            found += itertools.islice(without, number)
        return patient(found, now, policy.patience, policy.ageing, number)

    def _with_room(self, wide: list[Waiting]) -> list[Machine]:
        """All that matters to jobs for several runners: who has room for a worker, and one of each kind of runner."""
        workers = {job.shape.worker for job in wide}
        return [
            each
            for each in self.machines.values()
            if any(each.free.holds(worker) for worker in workers) or each.id in self._kinds
        ]

    def _host(self, machine: Machine) -> Host:
        if machine.id not in self._hosts:
            self._hosts[machine.id] = Host(machine.id, machine.offer(), tuple(machine.held.values()))
        return self._hosts[machine.id]
