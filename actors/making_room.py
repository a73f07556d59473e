"""Once a second: what takes a look at all runners at once. Room is kept for jobs that others passed by too long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from actors import lanes
from actors.allotting import keep
from actors.desk import Desk
from actors.hosts import all_runners, hosts
from actors.scheduling import Waiting
from core.settings import Settings
from core.store.session import Unit
from core.store.tables import Job, Meta, Runner


@dataclass(frozen=True)
class Plan:
    """What is to be done: (runner, job, workers) of room to be kept."""

    keeping: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def runners(self) -> set[str]:
        """The runners that it is about."""
        return {runner_id for runner_id, _, _ in self.keeping}

    def __bool__(self) -> bool:
        return bool(self.keeping)


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
            _keep(unit, runners[runner_id], job_id, workers)
    desk.publish()


def _plan(settings: Settings, session: Session, now: float) -> Plan:
    turns = sorted(lanes.heads(session), key=lambda job: job.turn(now, settings.ageing_seconds))
    patient = _without_room(session, [job for job in turns if now - job.since >= settings.patience_seconds])
    if not patient:
        return Plan()
    return Plan(keeping=keep(patient, hosts(session, all_runners(session))))


def _without_room(session: Session, jobs: list[Waiting]) -> list[Waiting]:
    """Those of the jobs that no runner that is there keeps room for."""
    if not jobs:
        return []
    keeping = set(session.scalars(select(Runner.kept_for).where(Runner.kept_for.is_not(None), Runner.lost.is_(False))))
    return [job for job in jobs if job.id not in keeping]


def _locked(unit: Unit, ids: Iterable[str]) -> dict[str, Runner]:
    """The runners, locked in the order of their ids, as every unit locks them that needs more than one."""
    found = select(Runner).where(Runner.id.in_(set(ids))).order_by(Runner.id).with_for_update()
    return {runner.id: runner for runner in unit.session.scalars(found)}


def _keep(unit: Unit, runner: Runner, job_id: str, workers: int) -> None:
    job = unit.session.get_one(Job, job_id, options=[defer(Job.spec)])
    runner.kept_for, runner.kept_workers = job_id, workers
    text = f"{job.name} has waited long: room is kept for it on {runner.host}"
    unit.emit("RoomKept", "jobs", job_id, text, runner_id=runner.id, host=runner.host)
