"""The states of jobs, and what moves them: the one table of legal transitions, leases, cancelling.

queued ──> assigned ──> running ──> succeeded | failed | cancelled
  ^           │            │ └──> cancel_requested ──> cancelled | succeeded | failed
  │           │            └────> pausing ──> paused | queued (drained) | ...
  └───────────┴── lost: the runner is gone, or the child died and may be run again
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from actors.desk import Desk
from actors.handlers import handles
from actors.world import RealWorld
from core.errors import Conflict, NotFound
from core.events import Failure
from core.messages.jobs import CancelJob, JobState, JobStateReply
from core.store.session import Unit
from core.store.tables import EvaluationJob, Job, Runner
from core.types import JobKind, JobStatus

S = JobStatus
ENDS = {S.succeeded, S.failed, S.cancelled}

LEGAL: dict[JobStatus, set[JobStatus]] = {
    S.queued: {S.assigned, S.cancelled, S.failed},
    S.assigned: {S.running, S.queued, S.cancel_requested, S.pausing, *ENDS},
    S.running: {S.queued, S.cancel_requested, S.pausing, *ENDS},
    S.pausing: {S.paused, S.queued, S.cancel_requested, *ENDS},
    S.paused: {S.queued, S.cancelled},
    S.cancel_requested: ENDS,
    S.succeeded: set(),
    S.failed: set(),
    S.cancelled: set(),
}
EVENT: dict[JobStatus, str] = {
    S.queued: "JobQueued",
    S.assigned: "JobAssigned",
    S.running: "JobStarted",
    S.cancel_requested: "JobCancelRequested",
    S.paused: "JobPaused",
    S.pausing: "JobPausing",
    S.succeeded: "JobSucceeded",
    S.failed: "JobFailed",
    S.cancelled: "JobCancelled",
}


class Illegal(RuntimeError):
    """A transition that the table does not have: a fault of ours."""


def move(unit: Unit, job: Job, to: JobStatus, message: str = "", *, event: str | None = None, **data: Any) -> None:
    """Change a job's status, the only way it changes, and say so in the log; raises Illegal."""
    if to not in LEGAL[JobStatus(job.status)]:
        raise Illegal(f"job {job.id} can't go from {job.status} to {to}")
    job.status = to.value
    if to is S.queued:
        job.queued_at = unit.now if not job.attempt else job.queued_at
    if to in ENDS or to in {S.queued, S.paused}:
        job.runner_id, job.lease_expires_at, job.phase, job.eta_seconds = None, None, None, None
    if to in ENDS:
        job.finished_at = unit.now
        _end_children(unit, job, to)
    level = "error" if to is S.failed else "info"
    text = message or f"{job.name}: {to.value.replace('_', ' ')}"
    unit.emit(
        event or EVENT[to],
        "jobs",
        job.id,
        text,
        level=level,
        status=to.value,
        attempt=job.attempt,
        kind=job.kind,
        name=job.name,
        **data,
    )


def fail(unit: Unit, job: Job, failure: Failure) -> None:
    """End a job with the reason and what to do next."""
    job.error = failure.model_dump()
    move(unit, job, S.failed, f"{job.name} failed: {failure.message}", error=job.error)


def _end_children(unit: Unit, job: Job, to: JobStatus) -> None:
    """The combinations of a batch that ended before their turn end with it."""
    if job.kind != JobKind.evaluation:
        return
    unit.session.flush()
    for row in unit.session.scalars(select(EvaluationJob).where(EvaluationJob.parent_job_id == job.id)):
        if row.status not in ENDS:
            row.status = (S.failed if to is S.succeeded else to).value
            row.error = row.error or (job.error or {}).get("message")
            row.finished_at = unit.now


def requeue(unit: Unit, job: Job, reason: str, *, event: str | None = None, **data: Any) -> None:
    """Give a held job back to the queue; its next attempt goes on from the last checkpoint."""
    if job.status == S.cancel_requested:
        move(unit, job, S.cancelled, f"{job.name} was cancelled; {reason}")
        return
    move(unit, job, S.queued, f"{job.name} goes back to the queue: {reason}", event=event, reason=reason, **data)
    for row in unit.session.scalars(select(EvaluationJob).where(EvaluationJob.parent_job_id == job.id)):
        if row.status not in ENDS:
            row.status = S.queued.value


def submit(desk: Desk, unit: Unit, job: Job) -> None:
    """Put a new job into the queue and wake the runners that could take it."""
    job.status, job.queued_at, job.created_at = S.queued.value, unit.now, unit.now
    unit.session.add(job)
    unit.session.flush()
    text = f"{job.name} is queued"
    unit.emit(
        "JobQueued", "jobs", job.id, text, status=S.queued.value, attempt=0, kind=job.kind, name=job.name, reason="new"
    )
    wake_runners(desk, unit)


def wake_runners(desk: Desk, unit: Unit) -> None:
    """Wake every runner that may have room."""
    for id in unit.session.scalars(select(Runner.id).where(Runner.lost.is_(False), Runner.draining.is_(False))):
        desk.wake(unit, id)


def state(job: Job | None, runners: list[Runner] | None = None) -> dict[str, Any]:
    """The fields of core.messages.jobs.JobState from a job's row."""
    if job is None:
        return {}
    names = set(JobState.model_fields) - {"waiting_for", "last_metrics"}
    fields = {name: getattr(job, name) for name in names}
    waiting = waiting_for(job, runners) if runners is not None and job.status == S.queued else None
    return {**fields, "last_metrics": job.last_metrics or {}, "waiting_for": waiting}


def waiting_for(job: Job, runners: list[Runner]) -> str:
    """Why a queued job does not run yet, for people."""
    fit = [each for each in runners if each.trusted]
    if not runners:
        return "no runner has registered; `fts up` starts one"
    if not fit:
        return "no runner sees the studio's artifacts directory"
    able = [each for each in fit if job.engine in each.engines]
    if not able:
        return f"no runner offers {job.engine}"
    for need, has, what in (
        (job.gpus, max(_gpus(each) for each in able), "GPUs"),
        (job.cpus, max(each.cpus for each in able), "CPU cores"),
        (job.memory, max(each.memory for each in able), "GiB of memory"),
    ):
        if need > has + (0.5 if what.startswith("GiB") else 0):
            return f"no runner has {need} {what}: the largest has {has:g}"
    if all(each.lost for each in able):
        return "its runners are not reachable"
    if all(each.draining or each.lost for each in able):
        return "its runners are draining"
    return "a runner with room"


def _gpus(runner: Runner) -> int:
    return len(runner.gpus or [])


def all_runners(session: Session) -> list[Runner]:
    """Every registered runner."""
    return list(session.scalars(select(Runner)))


def extend_lease(job: Job, now: float | None, seconds: float) -> None:
    """The runner keeps the job that much longer."""
    job.lease_expires_at = (time.time() if now is None else now) + seconds


@handles(CancelJob)
def cancel_job(message: CancelJob, unit: Unit, world: RealWorld) -> JobStateReply:
    """A queued or paused job ends now; a held one when its runner has stopped it."""
    job, child = _target(unit.session, message.id)
    if child is not None and (reply := _cancel_child(world.desk, unit, job, child)) is not None:
        return reply
    _cancel(world.desk, unit, job)
    return JobStateReply(id=message.id, status=JobStatus(job.status))


def _target(session: Session, id: str) -> tuple[Job, EvaluationJob | None]:
    job = session.get(Job, id)
    if job is not None:
        return job, None
    child = session.get(EvaluationJob, id)
    job = session.get(Job, child.parent_job_id) if child is not None and child.parent_job_id else None
    if job is None:
        raise NotFound(f"there is no job with id {id!r}")
    return job, child


def _cancel(desk: Desk, unit: Unit, job: Job) -> None:
    status = JobStatus(job.status)
    if status.finished:
        raise Conflict(f"the job has ended: {status.value}")
    if status in {S.queued, S.paused}:
        move(unit, job, S.cancelled, f"{job.name} was cancelled before it ran")
    elif status is not S.cancel_requested:
        move(unit, job, S.cancel_requested, f"{job.name}: cancelling was asked for")
        if job.runner_id:
            desk.wake(unit, job.runner_id)


def _cancel_child(desk: Desk, unit: Unit, job: Job, child: EvaluationJob) -> JobStateReply | None:
    """Leave one combination out of its batch; None when it is the last one left, and the batch itself is to end."""
    if child.status in ENDS:
        raise Conflict(f"the evaluation has ended: {child.status}")
    siblings = unit.session.scalars(select(EvaluationJob).where(EvaluationJob.parent_job_id == job.id))
    left_out = {*(job.cancelled or []), child.id}
    if all(row.status in ENDS or row.id in left_out for row in siblings):
        return None
    job.cancelled = sorted(left_out)
    child.status = S.cancelled.value
    child.finished_at = unit.now
    unit.emit("EvaluationFinished", "evaluation_jobs", child.id, "cancelled", status=S.cancelled.value, job_id=child.id)
    if job.runner_id:
        desk.wake(unit, job.runner_id)
    return JobStateReply(id=child.id, status=S.cancelled)
