"""Once a second: what takes a look at all runners at once. Room is kept for jobs that others passed by too long, and made
for more urgent ones where the studio is set so; jobs that no single runner could hold are given to several.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session, defer

from actors import lanes
from actors.allotting import gangs, keep, patient, possible, preemptions, to_begin
from actors.desk import Desk
from actors.gangs import claim
from actors.hosts import all_runners, hosts
from actors.jobs import move
from actors.kept_room import tell_kept
from actors.scheduling import Waiting
from core.settings import Settings
from core.store.session import Unit
from core.store.tables import Job, Meta, Runner
from core.types import JobStatus

S = JobStatus
GOING = (S.assigned.value, S.running.value)


@dataclass(frozen=True)
class Plan:
    """What is to be done: (runner, job, workers) of room to be kept, (job, runner, jobs to pause) of room to be made, (job,
    [(runner, workers)]) of jobs for several, runners that keep what is no use to anyone.
    """

    keeping: list[tuple[str, str, int]] = field(default_factory=list)
    making: list[tuple[Waiting, str, list[str]]] = field(default_factory=list)
    together: list[tuple[Waiting, list[tuple[str, int]]]] = field(default_factory=list)
    torn: set[str] = field(default_factory=set)

    @property
    def runners(self) -> set[str]:
        """The runners that it is about."""
        several = {runner_id for _, parts in self.together for runner_id, _ in parts}
        one = {runner_id for runner_id, _, _ in self.keeping} | {runner_id for _, runner_id, _ in self.making}
        return several | one | self.torn

    def __bool__(self) -> bool:
        return bool(self.keeping or self.making or self.together or self.torn)


def make_room(desk: Desk, now: float) -> None:
    """One turn. While there is nothing to do it only reads."""
    with desk.store.read() as session:
        if not _plan(desk.settings, session, now):
            return
    with desk.store.write() as unit:
        unit.now = now
        unit.session.get(Meta, "last_tick", with_for_update=True)  # processes that tick take turns
        plan = _plan(desk.settings, unit.session, now)  # again: another process may have done it
        runners = _locked(unit, plan.runners)
        for runner_id in plan.torn:
            runners[runner_id].kept_for = None  # the next turn keeps all of it somewhere
        for runner_id, job_id, workers in plan.keeping:
            _keep(unit, runners[runner_id], job_id, workers, "has waited long")
        for waiting, runner_id, ids in plan.making:
            _make(desk, unit, waiting, runners[runner_id], ids)
        for waiting, parts in plan.together:
            _together(desk, unit, waiting, [(runners[runner_id], workers) for runner_id, workers in parts])
    desk.publish()


def _plan(settings: Settings, session: Session, now: float) -> Plan:
    turns = sorted(lanes.heads(session), key=lambda job: job.turn(now, settings.ageing_seconds))
    old = [job for job in turns if now - job.since >= settings.patience_seconds]
    kept, number, torn = _kept(session) if old else (set[str](), 0, set[str]())
    if torn:
        return Plan(torn=torn)
    urgent = _above_others(session, turns) if settings.preempt else []
    if not number and not urgent and not any(job.shape.workers > 1 for job in turns):
        return Plan()
    there = hosts(session, all_runners(session))
    making = list(preemptions(urgent, there))
    made = {job.id for job, _, _ in making}
    together = list(gangs(turns, there))
    begun = made | {job.id for job, _ in together}
    able = [(job, number) for job in old if number and possible(job, there)]
    queued = lanes.oldest(session, able, kept | begun)
    waited = patient(queued, now, settings.patience_seconds, settings.ageing_seconds, number)
    return Plan(keep(waited, there), making, together)


def _kept(session: Session) -> tuple[set[str], int, set[str]]:
    """The jobs that room is kept for, for how many more it may be, and the runners that keep a part of which the rest is gone.

    Full runners don't notice that a job waits no more. A part is left where a runner was just reporting when the rest was
    given up: it keeps the job from being looked at, and would for good.
    """
    waits = and_(Job.id == Runner.kept_for, Job.status == S.queued.value)
    there = select(Runner.id, Runner.kept_workers, Job.id, Job.workers).select_from(Runner).outerjoin(Job, waits)
    rows = session.execute(there.where(Runner.lost.is_(False), Runner.draining.is_(False))).all()
    kept = [(runner_id, job_id, wanted) for runner_id, _, job_id, wanted in rows if job_id is not None]
    workers = Counter[str]()
    for _, number, job_id, _ in rows:
        workers[job_id or ""] += number or 0
    torn = {runner_id for runner_id, job_id, wanted in kept if workers[job_id] < wanted}
    return {job_id for _, job_id, _ in kept}, to_begin(len(rows), len(kept)), torn


def _above_others(session: Session, turns: list[Waiting]) -> list[Waiting]:
    """Those of a higher priority than something that runs."""
    lowest = session.scalar(select(func.min(Job.priority)).where(Job.status.in_(GOING)))
    return [] if lowest is None else [job for job in turns if job.priority > lowest]


def _locked(unit: Unit, ids: Iterable[str]) -> dict[str, Runner]:
    """The runners, locked in the order of their ids, as every unit locks them that needs more than one."""
    found = select(Runner).where(Runner.id.in_(set(ids))).order_by(Runner.id).with_for_update()
    now = found.execution_options(populate_existing=True)
    return {runner.id: runner for runner in unit.session.scalars(now)}


def _keep(unit: Unit, runner: Runner, job_id: str, workers: int, why: str) -> bool:
    """Have a runner keep room for a job, unless it has got some meanwhile."""
    job = unit.session.get_one(Job, job_id, options=[defer(Job.spec)], populate_existing=True)
    if job.status != S.queued:
        return False
    runner.kept_for, runner.kept_workers = job_id, workers
    tell_kept(unit, job, runner, why)
    return True


def _make(desk: Desk, unit: Unit, waiting: Waiting, runner: Runner, ids: list[str]) -> None:
    """Have the jobs pause, all or none of them."""
    held = select(Job).where(Job.id.in_(ids), Job.status.in_(GOING)).order_by(Job.id)
    going = list(unit.session.scalars(held.options(defer(Job.spec)).with_for_update(skip_locked=True)))
    if len(going) < len(ids) or not _keep(unit, runner, waiting.id, waiting.shape.workers, "is more urgent"):
        return
    for job in going:
        job.preempted_by = waiting.id
        move(unit, job, S.pausing, f"{job.name} saves a checkpoint and makes room", by=waiting.id)
        desk.wake(unit, job.runner_id or runner.id)


def _together(desk: Desk, unit: Unit, waiting: Waiting, parts: list[tuple[Runner, int]]) -> None:
    """Give a job to several runners, if all of them still have the room now that nobody else can take it."""
    there = {host.id: host for host in hosts(unit.session, [runner for runner, _ in parts])}
    for runner, workers in parts:
        host = there.get(runner.id)
        if host is None or not host.offer.free_for(waiting).holds(waiting.shape.worker.times(workers)):
            return
    queued = select(Job).where(Job.id == waiting.id, Job.status == S.queued.value).options(defer(Job.spec))
    job = unit.session.scalar(queued.with_for_update(skip_locked=True).execution_options(populate_existing=True))
    if job is not None:
        claim(desk, unit, job, parts)
