"""The states of jobs, and what moves them: the one table of legal transitions, leases, running again.

queued ──> assigned ──> running ──> succeeded | failed | cancelled
 │ ^ ^        │            │ └──> cancel_requested ──> cancelled | succeeded | failed
 │ │ │        │            └────> pausing ──> paused | running (taken back) | queued (drained) | ...
 │ │ └────────┴── lost: the runner is gone, or the child died and may be run again
 │ └── failed | cancelled: someone asked to run it again
 └──> paused ──> queued
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from actors import notifying, questions
from actors.desk import Desk
from actors.pages import locked
from actors.scheduling import Shape, shape_of
from core import labels
from core.errors import NotFound
from core.events import Failure
from core.failing import filled, known
from core.masking import masked
from core.messages.common import LARGEST_COUNT
from core.store.session import Unit
from core.store.tables import Comparison, Endpoint, EvaluationJob, Job, Runner
from core.types import JobKind, JobStatus

S = JobStatus
LOOKED_AT = 100  # runners with room that one is chosen from to be woken
ENDS = {S.succeeded, S.failed, S.cancelled}

LEGAL: dict[JobStatus, set[JobStatus]] = {
    S.queued: {S.assigned, S.paused, S.cancelled, S.failed},
    S.assigned: {S.running, S.queued, S.cancel_requested, S.pausing, *ENDS},
    S.running: {S.queued, S.cancel_requested, S.pausing, *ENDS},
    S.pausing: {S.paused, S.running, S.queued, S.cancel_requested, *ENDS},
    S.paused: {S.queued, S.cancelled},
    S.cancel_requested: ENDS,
    S.succeeded: set(),
    S.failed: {S.queued},
    S.cancelled: {S.queued},
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
    if to is S.cancelled and job.status == S.cancel_requested and _was_to_stop(unit, job):
        to = S.succeeded
    if to not in LEGAL[JobStatus(job.status)]:
        raise Illegal(f"job {job.id} can't go from {job.status} to {to}")
    job.status = to.value
    if to is S.queued:
        job.queued_at = unit.now if not job.attempt else job.queued_at
    if to in ENDS or to in {S.queued, S.paused}:
        job.runner_id, job.lease_expires_at, job.phase, job.eta_seconds = None, None, None, None
        job.preempted_by, job.held = None, None
    if to in ENDS:
        job.finished_at = unit.now
        _end_children(unit, job, to)
        notifying.note(unit, job)
    if to is S.queued:
        data.setdefault("priority", job.priority)
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


def _was_to_stop(unit: Unit, job: Job) -> bool:
    """Whether the job is an endpoint or a session that was stopped, not cancelled: it has done what it was there for."""
    row = _goes_on(unit, job)
    return row is not None and row.stop_asked


def _goes_on(unit: Unit, job: Job) -> Any:
    """The row of a job that goes on until someone ends it: an endpoint, or a session."""
    tables: dict[str, type[Any]] = {JobKind.endpoint: Endpoint, JobKind.comparison: Comparison}
    return unit.session.get(tables[job.kind], job.id) if job.kind in tables else None


def go_on(unit: Unit, job: Job) -> None:
    """It is run again: that someone once ended it counts no more."""
    if (row := _goes_on(unit, job)) is not None:
        row.stop_asked = False


def stop(desk: Desk, unit: Unit, job: Job, before: str, after: str) -> None:
    """End what goes on until someone ends it: one that waits now (`before` says so), one that a runner has when that has.

    One that is being cancelled stays so: it was cancelled, whoever ends it as well.
    """
    status = JobStatus(job.status)
    if status is not S.cancel_requested:
        _goes_on(unit, job).stop_asked = True
    if status in {S.queued, S.paused}:
        move(unit, job, S.cancelled, f"{job.name} {before}")
    elif status is not S.cancel_requested:
        move(unit, job, S.cancel_requested, f"{job.name}: {after}")
        if job.runner_id:
            desk.wake(unit, job.runner_id)


def fail(desk: Desk, unit: Unit, job: Job, failure: Failure) -> None:
    """End a job with the reason and what to do next."""
    error = _why(desk, job, failure)
    move(unit, job, S.failed, f"{job.name} failed: {error['message']}", error=error)


def stopped(desk: Desk, unit: Unit, job: Job, failure: Failure) -> None:
    """End a job that someone ended elsewhere, with where that was."""
    error = _why(desk, job, failure)
    move(unit, job, S.cancelled, f"{job.name} is cancelled: {error['message']}", error=error)


def _why(desk: Desk, job: Job, failure: Failure) -> dict[str, Any]:
    """Write down why a job ends. A library's words may quote a token or a password: they are kept without."""
    job.error = masked(filled(failure).model_dump(), desk.secrets)
    job.failure_class = known(failure.kind).value
    return job.error


def _end_children(unit: Unit, job: Job, to: JobStatus) -> None:
    """The combinations of a batch that ended before their turn end with it; so do the questions of a session."""
    if job.kind == JobKind.comparison:
        questions.close(unit, job, "the session ended before it was answered")
    if job.kind != JobKind.evaluation:
        return
    unit.session.flush()
    for row in unit.session.scalars(select(EvaluationJob).where(EvaluationJob.parent_job_id == job.id)):
        if row.status not in ENDS:
            row.status = (S.failed if to is S.succeeded else to).value
            row.error = row.error or (job.error or {}).get("message") or _unscored(to)
            row.finished_at = unit.now
            told_end(unit, row, row.error or "cancelled")


def _unscored(to: JobStatus) -> str | None:
    return None if to is S.cancelled else "the batch ended before it was scored"


def told_end(unit: Unit, row: EvaluationJob, text: str) -> None:
    """Say in the log that one combination of a batch is over."""
    unit.emit(
        "EvaluationFinished",
        "evaluation_jobs",
        row.id,
        text,
        status=row.status,
        job_id=row.id,
        metrics=row.scores or {},
    )


def requeue(desk: Desk, unit: Unit, job: Job, reason: str, *, event: str | None = None, **data: Any) -> None:
    """Take a held job from its runner: back to the queue, or to the end or pause that was asked for.

    Its next attempt goes on from the last checkpoint. `event` is the type when it goes to the queue, instead of JobQueued.
    """
    if job.status == S.cancel_requested:
        move(unit, job, S.cancelled, f"{job.name} was cancelled")  # however its process went
        return
    if job.status == S.pausing and job.preempted_by is None:
        move(unit, job, S.paused, f"{job.name} is paused; {reason}")
    else:
        if job.preempted_by is not None:
            event, reason, data = "JobPreempted", "a more urgent job needs its room", {"by": job.preempted_by}
        move(unit, job, S.queued, f"{job.name} goes back to the queue: {reason}", event=event, reason=reason, **data)
        wake_runners(desk, unit, job)
    for row in unit.session.scalars(select(EvaluationJob).where(EvaluationJob.parent_job_id == job.id)):
        if row.status not in ENDS:
            row.status = job.status


def lost(
    desk: Desk, unit: Unit, job: Job, reason: str, failure: Failure, *, event: str | None = None, **data: Any
) -> None:
    """An attempt ended without a word: run the job again from its last checkpoint, or fail it when that was of no use.

    `failure` is what a job fails with that was lost more often than the settings allow, with no further checkpoint since.
    """
    if job.status in {S.assigned, S.running}:
        job.losses += 1
        if job.losses > desk.settings.max_losses:
            fail(desk, unit, job, failure)
            return
        job.retries += 1
    requeue(desk, unit, job, reason, event=event, **data)


def of_request(message: Any, spec: Any, *, engine: str | None = None) -> Job:
    """A new job of one worker that does what `spec` says; `submit` queues it.

    It waits for a runner that offers `engine`, by default the one called like its kind.
    """
    return Job(
        id=spec.job_id,
        kind=spec.kind.value,
        name=spec.name,
        engine=engine or spec.kind.value,
        spec=spec.model_dump(mode="json"),
        priority=message.priority,
        cpus=spec.resources.cpus,
        gpus=spec.resources.gpus,
        memory=spec.resources.memory,
        workers=1,
        attempt=0,
        accepted=0,
        losses=0,
        step=0,
    )


def submit(desk: Desk, unit: Unit, job: Job) -> None:
    """Put a new job into the queue and wake the runners that could take it."""
    job.status, job.queued_at, job.created_at = S.queued.value, unit.now, unit.now
    unit.session.add(job)
    unit.session.flush()
    text, told = f"{job.name} is queued", {"kind": job.kind, "name": job.name, "reason": "new"}
    priority = job.priority or 0
    unit.emit("JobQueued", "jobs", job.id, text, status=S.queued.value, attempt=0, priority=priority, **told)
    wake_runners(desk, unit, job)


def wake_runners(desk: Desk, unit: Unit, job: Job) -> None:
    """Wake a runner that has room for the job; one that gets room later reports then."""
    wake_for(desk, unit, shape_of(job.shape))


def wake_for(desk: Desk, unit: Unit, shape: Shape) -> bool:
    """Wake the fullest runner that has room for such a job, so that room for large ones stays whole elsewhere.

    One that keeps room is left alone; whether one was found.
    """
    room = shape.room
    if max(room.gpus, room.cpus) > LARGEST_COUNT:  # PostgreSQL compares no column with more than it holds
        return False
    with_room = (
        Runner.free_gpus >= room.gpus,
        Runner.free_cpus >= room.cpus,
        Runner.free_memory >= room.memory,
        Runner.lost.is_(False),
        Runner.draining.is_(False),
        Runner.trusted.is_(True),
        Runner.kept_for.is_(None),
    )
    fullest = (Runner.free_gpus, Runner.free_cpus, Runner.free_memory, Runner.id)
    columns = (Runner.id, Runner.engines, Runner.labels)
    for id, engines, own in unit.session.execute(
        select(*columns).where(*with_room).order_by(*fullest).limit(LOOKED_AT)
    ):
        if shape.engine in engines and labels.serves(labels.told(own), shape.label):
            desk.wake(unit, id)
            return True
    return False


def target(session: Session, id: str, *, lock: bool = False) -> tuple[Job, EvaluationJob | None]:
    """The job that an id of a job or of one evaluation of a batch means, and that evaluation; raises NotFound."""
    look = locked if lock else Session.get
    job: Job | None = look(session, Job, id)
    if job is not None:
        return job, None
    child = session.get(EvaluationJob, id)
    job = look(session, Job, child.parent_job_id) if child is not None and child.parent_job_id else None
    if job is None:
        raise NotFound(f"there is no job with id {id!r}")
    return job, child
