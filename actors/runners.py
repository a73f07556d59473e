"""What runners say, and what they are told. The reply to a report is the whole truth for a runner: every job that is its own now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from actors import gangs, holding, kept_room, lanes, planning, questions, usage
from actors.desk import Desk
from actors.gangs import Part
from actors.handlers import handles
from actors.hosts import FULL, HELD, SLACK, free_room, held_by_runner, kept_by, needed, note_free, offer, told_less
from actors.jobs import move, wake_for
from actors.losing import died
from actors.numbers import upsert
from actors.pages import Shelf, by, found, locked, page
from actors.places import Key
from actors.records import Intake, clean, fresh_records
from actors.scheduling import Room, choose
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
from core.types import JobKind, JobStatus, Order

S = JobStatus
BLIND = "does not see the studio's artifacts"
LOOKED_FOR = 8  # lanes whose heads a runner is looked for, when one has taken a job


@handles(RegisterRunner)
def register_runner(message: RegisterRunner, unit: Unit, world: RealWorld) -> RegisteredReply:
    """A daemon begins: a known one keeps its id and its jobs, and its older self is shut up by the incarnation."""
    runner: Runner | None = locked(unit.session, Runner, message.runner_id) if message.runner_id else None
    known = runner is not None
    told = runner is not None and _unheard(runner) and not (runner.lost or runner.draining)
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
    kept_room.give_up(unit.session, runner)
    gangs.renew(unit.session, runner.id, unit.now + world.desk.settings.lease_seconds)
    note_free(runner, free_room(runner, (part.room for part in gangs.held(unit.session, runner.id))))
    unit.session.flush()
    # A new one may have looked before the studio, which starts beside it, had marked the artifacts; it looks again soon.
    if not (told and runner.trusted):
        _tell_registered(unit, runner, "is here" if runner.trusted or not known else BLIND)
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
    held = gangs.held(unit.session, runner.id)
    takes_work = runner.trusted and not runner.draining
    if takes_work:
        held += _give_plans(desk, unit, runner, held)
    free = told_less(free_room(runner, (part.room for part in held)), message.free)
    note_free(runner, free)
    if takes_work and free.cpus >= 1:
        held += _assign(desk, unit, runner, free, _more(held, message))
    return ReportReply(
        known=True,
        jobs=_orders(unit.session, runner, held, message),
        draining=runner.draining,
        next_report_seconds=desk.settings.report_seconds,
    )


def _tell_registered(unit: Unit, runner: Runner, what: str) -> None:
    text = f"runner {runner.host} {what}"
    unit.emit("RunnerRegistered", "runners", runner.id, text, host=runner.host, incarnation=runner.incarnation)


def _unheard(runner: Runner) -> bool:
    """Whether it has only registered so far."""
    return runner.last_seen_at == runner.registered_at


def _seen(unit: Unit, runner: Runner, message: ReportProgress) -> None:
    if runner.lost:
        runner.lost = False
        unit.emit("RunnerBack", "runners", runner.id, f"runner {runner.host} is back", host=runner.host)
    if _unheard(runner) and not runner.trusted:  # it looks again before it reports, and would have registered anew
        _tell_registered(unit, runner, BLIND)
    runner.last_seen_at, runner.free, runner.telemetry = unit.now, message.free, clean(message.telemetry)


def _take(desk: Desk, unit: Unit, runner: Runner, report: JobReport) -> None:
    """Take what one attempt did since the accepted offset; a stale attempt or a gap changes nothing."""
    job = unit.session.get(Job, report.job_id, with_for_update=True, options=[defer(Job.spec)])
    if job is None or job.attempt != report.attempt or job.status not in HELD:
        return
    if job.runner_id == runner.id:
        _take_own(desk, unit, runner, job, report)
    elif job.workers > 1:
        gangs.take(desk, unit, runner, job, report)
    gangs.dissolve(desk, unit, job)


def _take_own(desk: Desk, unit: Unit, runner: Runner, job: Job, report: JobReport) -> None:
    job.lease_expires_at = unit.now + desk.settings.lease_seconds
    gangs.renew_first(unit.session, job)
    before = job.accepted
    upsert(unit.session, usage.take(desk, unit, job, report.usage))
    records = fresh_records(report, job.accepted)
    if records is None:
        return
    job.accepted = max(job.accepted, report.next_offset)
    if not before:
        holding.before_it_begins(unit, job, report.short)
    intake = Intake(desk, unit, job, draining=runner.draining)
    intake.take(records)
    if records:
        entry = {"attempt": report.attempt, "from": before, "to": job.accepted, "records": records}
        desk.tell(unit, job.id, entry)
    if intake.listens_at is not None:
        gangs.met(desk, unit, job, intake.listens_at)
    if not report.alive and report.next_offset >= before and job.status in HELD:
        died(desk, unit, job, report)


def _give_plans(desk: Desk, unit: Unit, runner: Runner, held: list[Part]) -> list[Part]:
    """Plans take no room: the runner gets them however busy it is."""
    plans = _take_up(unit.session, planning.queued(unit.session, runner, [part.job for part in held]))
    for job in plans:
        _give(desk, unit, job, runner)
    return list(map(Part, plans))


def _more(held: list[Part], message: ReportProgress) -> int | None:
    """How many jobs the runner takes: what it was given and has not heard of yet is among them. None: as many as have room."""
    if "jobs" not in message.free:
        return None
    named = {(each.job_id, each.attempt) for each in message.jobs}
    unheard = [part for part in held if part.job.cpus and (part.job.id, part.job.attempt) not in named]
    return max(0, int(message.free["jobs"]) - len(unheard))


def _assign(desk: Desk, unit: Unit, runner: Runner, free: Room, most: int | None) -> list[Part]:
    """Give the runner what its free room can be used for now, so many jobs at `most`; the jobs it got."""
    kept = kept_by(unit.session, runner)
    runner.kept_for = kept.id if kept else None
    here, given = offer(runner, free, kept), list[Part]()
    passed: set[str] = set()
    while chosen := choose(lanes.open_to(unit.session, here, passed), here, unit.now, desk.settings.ageing_seconds):
        chosen = chosen if most is None else chosen[: most - len(given)]
        taken = _take_up(unit.session, chosen)
        for job in taken:
            _give(desk, unit, job, runner)
            kept = kept if runner.kept_for else None
            here = replace(here, free=here.free.without(needed(job)), kept=kept)
        given += map(Part, taken)
        if len(taken) == len(chosen):
            break
        passed.update(chosen)  # another runner was faster with some
    if most is not None and len(given) >= most:
        note_free(runner, FULL)
    elif given:
        note_free(runner, here.free)
    if given:
        _wake_next(desk, unit)
    return given


def _wake_next(desk: Desk, unit: Unit) -> None:
    """A runner was woken for one job and took another, whose turn was before: the next that fits elsewhere has its own woken."""
    turns = sorted(lanes.heads(unit.session), key=lambda job: job.turn(unit.now, desk.settings.ageing_seconds))
    any(wake_for(desk, unit, job.shape) for job in turns[:LOOKED_FOR])


def _take_up(session: Session, ids: list[str]) -> list[Job]:
    """Those of the queued jobs that no other runner takes at this moment, in the order given."""
    free = select(Job).where(Job.id.in_(ids), Job.status == S.queued.value).with_for_update(skip_locked=True)
    return sorted(session.scalars(free), key=lambda job: ids.index(job.id))


def _give(desk: Desk, unit: Unit, job: Job, runner: Runner) -> None:
    job.attempt += 1
    job.accepted, job.runner_id, job.checkpoints_asked = 0, runner.id, 0
    job.lease_expires_at = unit.now + desk.settings.lease_seconds
    kept_room.taken(unit, job, [runner])
    move(unit, job, S.assigned, f"{job.name} goes to {runner.host}", runner_id=runner.id)


def _orders(session: Session, runner: Runner, held: list[Part], message: ReportProgress) -> list[JobOrder]:
    named = {(each.job_id, each.attempt): each for each in message.jobs}
    orders = []
    for part in sorted(held, key=lambda each: each.job.id):
        job, told = part.job, named.pop((part.job.id, part.job.attempt), None)
        orders.append(
            JobOrder(
                job_id=job.id,
                attempt=job.attempt,
                order=_order(session, part, runner),
                accepted=part.member.accepted if part.member and part.follows else job.accepted,
                spec=None if told is not None and told.has_spec else job.spec,
                cancelled=job.cancelled or [],
                checkpoint=job.checkpoints_asked,
                fresh=job.fresh,
                gang=gangs.place(session, part),
                asked=questions.asked(session, job, told.asked if told else ())
                if job.kind == JobKind.comparison
                else [],
            )
        )
    return orders + [_stop(session, each) for each in named.values()]


def _order(session: Session, part: Part, runner: Runner) -> Order:
    if part.job.status == S.cancel_requested:
        return Order.cancel
    pauses = part.job.status == S.pausing or runner.draining or gangs.any_draining(session, part)
    return Order.pause if pauses else Order.run


def _stop(session: Session, report: JobReport) -> JobOrder:
    """Not this runner's any more; what was taken in of an attempt that has ended is told."""
    job = session.get(Job, report.job_id)
    accepted = job.accepted if job is not None and job.attempt == report.attempt else 0
    return JobOrder(job_id=report.job_id, attempt=report.attempt, order=Order.stop, accepted=accepted)


@handles(DrainRunner)
def drain_runner(message: DrainRunner, unit: Unit, world: RealWorld) -> RunnerReply:
    """Ask a runner to give its jobs back, or to take work again."""
    runner: Runner = found(unit.session, Runner, message.id, "runner", lock=True)
    held = gangs.held(unit.session, runner.id)
    if runner.draining != message.draining:
        runner.draining = message.draining
        kept_room.give_up(unit.session, runner)
        text = f"runner {runner.host} is draining" if message.draining else f"runner {runner.host} takes work again"
        unit.emit("RunnerDraining", "runners", runner.id, text, host=runner.host, draining=message.draining)
        for id in {runner.id, *(part.job.runner_id for part in held if part.job.runner_id)}:
            world.desk.wake(unit, id)  # who speaks for a job is asked to pause all of it
    return RunnerReply(runner=metadata(runner, [(part.job.id, part.room) for part in held]))


SHELF = Shelf(
    select(Runner),
    Runner.id,
    own=(Key(Runner.host),),
    orders=by(Runner, "host", "cpus", "memory", "registered_at", "last_seen_at"),
    seen=(Runner.host, Runner.kind, Runner.id),
    what="runner",
)


@handles(ListRunners)
def list_runners(message: ListRunners, session: Session, world: RealWorld) -> RunnersReply:
    """Every runner and its load."""
    held = {id: [(each.id, each.room) for each in taken] for id, taken in held_by_runner(session).items()}
    part = page(session, SHELF, message, SHELF.query)
    return RunnersReply(runners=[metadata(each, held.get(each.id, [])) for each in part.rows], **part.told)


def metadata(runner: Runner, held: Sequence[tuple[str, Room]]) -> RunnerMetadata:
    """The row as it is answered."""
    status = "online"
    if runner.lost:
        status = "lost"
    elif not runner.trusted:
        status = "no shared artifacts"
    elif runner.draining:
        status = "draining"
    free = free_room(runner, (room for _, room in held))
    fields = {
        **as_dict(runner),
        "status": status,
        "jobs": [id for id, _ in held],
        "telemetry": runner.telemetry or {},
    }
    fields["free"] = {
        "cpus": max(0, free.cpus),
        "gpus": max(0, free.gpus),
        "memory": round(max(0, free.memory - SLACK), 2),
    }
    return RunnerMetadata.model_validate(fields)
