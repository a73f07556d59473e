"""Once a second: what takes a look at all runners at once. Room is kept for jobs that others passed by too long, and made
for more urgent ones where the studio is set so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session, defer

from actors import lanes
from actors.allotting import keep, preemptions
from actors.desk import Desk
from actors.hosts import all_runners, hosts
from actors.jobs import move
from actors.scheduling import Waiting
from core.settings import Settings
from core.store.session import Unit
from core.store.tables import Job, Meta, Runner
from core.types import JobStatus

S = JobStatus
GOING = (S.assigned.value, S.running.value)


@dataclass(frozen=True)
class Plan:
    """What is to be done: (runner, job, workers) of room to be kept, (job, runner, jobs to pause) of room to be made."""

    keeping: list[tuple[str, str, int]] = field(default_factory=list)
    making: list[tuple[Waiting, str, list[str]]] = field(default_factory=list)

    @property
    def runners(self) -> set[str]:
        """The runners that it is about."""
        return {runner_id for runner_id, _, _ in self.keeping} | {runner_id for _, runner_id, _ in self.making}

    def __bool__(self) -> bool:
        return bool(self.keeping or self.making)


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
        for runner_id, job_id, workers in plan.keeping:
            _keep(unit, runners[runner_id], job_id, workers, "has waited long")
        for waiting, runner_id, ids in plan.making:
            _make(desk, unit, waiting, runners[runner_id], ids)
    desk.publish()


def _plan(settings: Settings, session: Session, now: float) -> Plan:
    turns = sorted(lanes.heads(session), key=lambda job: job.turn(now, settings.ageing_seconds))
    patient = _without_room(session, [job for job in turns if now - job.since >= settings.patience_seconds])
    urgent = _above_others(session, turns) if settings.preempt else []
    if not patient and not urgent:
        return Plan()
    there = hosts(session, all_runners(session))
    making = list(preemptions(urgent, there))
    made = {job.id for job, _, _ in making}
    return Plan(keep([job for job in patient if job.id not in made], there), making)


def _without_room(session: Session, jobs: list[Waiting]) -> list[Waiting]:
    """Those of the jobs that no runner that is there keeps room for."""
    if not jobs:
        return []
    keeping = set(session.scalars(select(Runner.kept_for).where(Runner.kept_for.is_not(None), Runner.lost.is_(False))))
    return [job for job in jobs if job.id not in keeping]


def _above_others(session: Session, turns: list[Waiting]) -> list[Waiting]:
    """Those of a higher priority than something that runs."""
    lowest = session.scalar(select(func.min(Job.priority)).where(Job.status.in_(GOING)))
    return [] if lowest is None else [job for job in turns if job.priority > lowest]


def _locked(unit: Unit, ids: Iterable[str]) -> dict[str, Runner]:
    """The runners, locked in the order of their ids, as every unit locks them that needs more than one."""
    found = select(Runner).where(Runner.id.in_(set(ids))).order_by(Runner.id).with_for_update()
    return {runner.id: runner for runner in unit.session.scalars(found)}


def _keep(unit: Unit, runner: Runner, job_id: str, workers: int, why: str) -> bool:
    """Have a runner keep room for a job, unless it has got some meanwhile."""
    job = unit.session.get_one(Job, job_id, options=[defer(Job.spec)], populate_existing=True)
    if job.status != S.queued:
        return False
    runner.kept_for, runner.kept_workers = job_id, workers
    text = f"{job.name} {why}: room is kept for it on {runner.host}"
    unit.emit("RoomKept", "jobs", job_id, text, runner_id=runner.id, host=runner.host)
    return True


def _make(desk: Desk, unit: Unit, waiting: Waiting, runner: Runner, ids: list[str]) -> None:
    """Have the jobs pause, all or none of them."""
    held = select(Job).where(Job.id.in_(ids), Job.runner_id == runner.id, Job.status.in_(GOING)).order_by(Job.id)
    going = list(unit.session.scalars(held.options(defer(Job.spec)).with_for_update(skip_locked=True)))
    if len(going) < len(ids) or not _keep(unit, runner, waiting.id, waiting.shape.workers, "is more urgent"):
        return
    for job in going:
        job.preempted_by = waiting.id
        move(unit, job, S.pausing, f"{job.name} saves a checkpoint and makes room", by=waiting.id)
    desk.wake(unit, runner.id)
