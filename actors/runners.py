"""What runners say, and what they are told. The reply to a report is the whole truth for a runner: every job that is its own now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from actors import lanes
from actors.desk import Desk
from actors.handlers import handles
from actors.hosts import HELD, SLACK, free_room, held_by_runner, kept_by, needed, offer, told_less
from actors.jobs import move
from actors.losing import died
from actors.pages import found, locked
from actors.records import Intake, clean
from actors.scheduling import choose
from actors.world import RealWorld, as_dict
from core.errors import Conflict
from core.messages.runners import (
    DrainRunner,
    JobOrder,
    JobReport,
    ListRunners,
    RegisteredReply,
    RegisterRunner,
    ReportProgress,
    ReportReply,
    RunnerMetadata,
    RunnerReply,
    RunnersReply,
)
from core.store.session import Unit
from core.store.tables import Job, Meta, Runner
from core.types import JobStatus, Order

S = JobStatus


@handles(RegisterRunner)
def register_runner(message: RegisterRunner, unit: Unit, world: RealWorld) -> RegisteredReply:
    """A daemon begins: a known one keeps its id and its jobs, and its older self is shut up by the incarnation."""
    runner: Runner | None = locked(unit.session, Runner, message.runner_id) if message.runner_id else None
    marker = unit.session.scalar(select(Meta.value).where(Meta.key == "marker"))
    if runner is None:
        runner = Runner(id=message.runner_id or str(uuid4()), incarnation=0, registered_at=unit.now, draining=False)
        unit.session.add(runner)
    offered = message.model_dump(include={"host", "kind", "cpus", "memory", "gpus", "labels", "engines"})
    for name, value in offered.items():
        setattr(runner, name, value)
    runner.incarnation += 1
    runner.trusted, runner.lost, runner.draining = message.marker == marker, False, False
    runner.last_seen_at = unit.now
    for job in _held(unit.session, runner.id):
        _renew(world.desk, job, unit.now)
    unit.session.flush()
    text = (
        f"runner {runner.host} is here"
        if runner.trusted
        else f"runner {runner.host} does not see the studio's artifacts"
    )
    unit.emit("RunnerRegistered", "runners", runner.id, text, host=runner.host, incarnation=runner.incarnation)
    return RegisteredReply(runner_id=runner.id, incarnation=runner.incarnation, next_report_seconds=0)


@handles(ReportProgress)
def report_progress(message: ReportProgress, unit: Unit, world: RealWorld) -> ReportReply:
    """Take a report in, assign what fits, and answer with every job that is the runner's now."""
    desk = world.desk
    runner: Runner | None = locked(unit.session, Runner, message.runner_id)
    if runner is None:
        return ReportReply(known=False, next_report_seconds=0)
    if message.incarnation > runner.incarnation:
        return ReportReply(known=False, next_report_seconds=0)  # the store is older than the runner: it was restored
    if message.incarnation < runner.incarnation:
        raise Conflict("a newer daemon speaks for this runner; the jobs are its own now")
    _seen(unit, runner, message)
    for report in sorted(message.jobs, key=lambda each: each.job_id):  # all lock in one order
        _take(desk, unit, runner, report)
    held = _held(unit.session, runner.id)
    if runner.trusted and not runner.draining:
        held += _assign(desk, unit, runner, held, message.free)
    return ReportReply(
        known=True,
        jobs=_orders(unit.session, runner, held, message),
        draining=runner.draining,
        next_report_seconds=desk.settings.report_seconds,
    )


def _seen(unit: Unit, runner: Runner, message: ReportProgress) -> None:
    if runner.lost:
        runner.lost = False
        unit.emit("RunnerBack", "runners", runner.id, f"runner {runner.host} is back", host=runner.host)
    runner.last_seen_at, runner.free, runner.telemetry = unit.now, message.free, clean(message.telemetry)


def _renew(desk: Desk, job: Job, now: float) -> None:
    job.lease_expires_at = now + desk.settings.lease_seconds


def _take(desk: Desk, unit: Unit, runner: Runner, report: JobReport) -> None:
    """Take what one attempt did since the accepted offset; a stale attempt or a gap changes nothing."""
    job = unit.session.get(Job, report.job_id, with_for_update=True, options=[defer(Job.spec)])
    if job is None or job.runner_id != runner.id or job.attempt != report.attempt or job.status not in HELD:
        return
    _renew(desk, job, unit.now)
    before = job.accepted
    records = _fresh(report, job.accepted)
    if records is None:
        return
    job.accepted = max(job.accepted, report.next_offset)
    Intake(desk, unit, job, draining=runner.draining).take(records)
    if records:
        entry = {"attempt": report.attempt, "from": before, "to": job.accepted, "records": records}
        desk.tell(unit, job.id, entry)
    if not report.alive and report.next_offset >= before and job.status in HELD:
        died(desk, unit, job, report)


def _fresh(report: JobReport, accepted: int) -> list[dict[str, Any]] | None:
    """The records beyond the accepted offset; None when some in between are missing."""
    if report.offset > accepted:
        return None
    return [each for each in report.records if _end(each, report.next_offset) > accepted]


def _end(record: dict[str, Any], otherwise: int) -> int:
    end = record.get("offset")
    return end if isinstance(end, int) else otherwise


def _held(session: Session, runner_id: str) -> list[Job]:
    """The jobs that are the runner's; their specifications stay where they are until one is asked for."""
    own = select(Job).options(defer(Job.spec)).where(Job.runner_id == runner_id, Job.status.in_(HELD))
    return list(session.scalars(own.order_by(Job.id)))


def _assign(desk: Desk, unit: Unit, runner: Runner, held: list[Job], told: dict[str, float]) -> list[Job]:
    """Give the runner what its free room can be used for now; the jobs it got."""
    free = told_less(free_room(runner, held), told)
    if free.cpus < 1:
        return []
    kept = kept_by(unit.session, runner)
    runner.kept_for = kept.id if kept else None
    here, given = offer(runner, free, kept), list[Job]()
    passed: set[str] = set()
    while chosen := choose(lanes.open_to(unit.session, here, passed), here, unit.now, desk.settings.ageing_seconds):
        taken = _take_up(unit.session, chosen)
        for job in taken:
            _give(desk, unit, job, runner)
            here = replace(
                here, free=here.free.without(needed(job)), kept=None if job.id == runner.kept_for else here.kept
            )
        given += taken
        if len(taken) == len(chosen):
            break
        passed.update(chosen)  # another runner was faster with some
    return given


def _take_up(session: Session, ids: list[str]) -> list[Job]:
    """Those of the queued jobs that no other runner takes at this moment, in the order given."""
    free = select(Job).where(Job.id.in_(ids), Job.status == S.queued.value).with_for_update(skip_locked=True)
    return sorted(session.scalars(free), key=lambda job: ids.index(job.id))


def _give(desk: Desk, unit: Unit, job: Job, runner: Runner) -> None:
    job.attempt += 1
    job.accepted, job.runner_id, job.checkpoints_asked = 0, runner.id, 0
    _renew(desk, job, unit.now)
    if runner.kept_for == job.id:
        runner.kept_for = None
    move(unit, job, S.assigned, f"{job.name} goes to {runner.host}", runner_id=runner.id)


def _orders(session: Session, runner: Runner, held: list[Job], message: ReportProgress) -> list[JobOrder]:
    named = {(each.job_id, each.attempt): each for each in message.jobs}
    orders = []
    for job in sorted(held, key=lambda each: each.id):
        told = named.pop((job.id, job.attempt), None)
        orders.append(
            JobOrder(
                job_id=job.id,
                attempt=job.attempt,
                order=_order(job, runner),
                accepted=job.accepted,
                spec=None if told is not None and told.has_spec else job.spec,
                cancelled=job.cancelled or [],
                checkpoint=job.checkpoints_asked,
                fresh=job.fresh,
            )
        )
    return orders + [_stop(session, each) for each in named.values()]


def _order(job: Job, runner: Runner) -> Order:
    if job.status == S.cancel_requested:
        return Order.cancel
    return Order.pause if job.status == S.pausing or runner.draining else Order.run


def _stop(session: Session, report: JobReport) -> JobOrder:
    """Not this runner's any more; what was taken in of an attempt that has ended is told."""
    job = session.get(Job, report.job_id)
    accepted = job.accepted if job is not None and job.attempt == report.attempt else 0
    return JobOrder(job_id=report.job_id, attempt=report.attempt, order=Order.stop, accepted=accepted)


@handles(DrainRunner)
def drain_runner(message: DrainRunner, unit: Unit, world: RealWorld) -> RunnerReply:
    """Ask a runner to give its jobs back, or to take work again."""
    runner: Runner = found(unit.session, Runner, message.id, "runner", lock=True)
    if runner.draining != message.draining:
        runner.draining, runner.kept_for = message.draining, None
        text = f"runner {runner.host} is draining" if message.draining else f"runner {runner.host} takes work again"
        unit.emit("RunnerDraining", "runners", runner.id, text, host=runner.host, draining=message.draining)
        world.desk.wake(unit, runner.id)
    return RunnerReply(runner=metadata(runner, _held(unit.session, runner.id)))


@handles(ListRunners)
def list_runners(message: ListRunners, session: Session, world: RealWorld) -> RunnersReply:
    """Every runner and its load."""
    held = held_by_runner(session)
    runners = session.scalars(select(Runner).order_by(Runner.host, Runner.id))
    return RunnersReply(runners=[metadata(each, held.get(each.id, [])) for each in runners])


def metadata(runner: Runner, held: Sequence[Any]) -> RunnerMetadata:
    """The row as it is answered."""
    status = "online"
    if runner.lost:
        status = "lost"
    elif not runner.trusted:
        status = "no shared artifacts"
    elif runner.draining:
        status = "draining"
    free = free_room(runner, held)
    fields = {
        **as_dict(runner),
        "status": status,
        "jobs": [job.id for job in held],
        "telemetry": runner.telemetry or {},
    }
    fields["free"] = {
        "cpus": max(0, free.cpus),
        "gpus": max(0, free.gpus),
        "memory": round(max(0, free.memory - SLACK), 2),
    }
    return RunnerMetadata.model_validate(fields)
