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

from actors.desk import Desk
from actors.pages import locked
from actors.scheduling import Room
from core.errors import NotFound
from core.events import Failure
from core.messages.jobs import JobState
from core.store.session import Unit
from core.store.tables import EvaluationJob, Job, Runner
from core.types import FailureClass, JobKind, JobStatus

S = JobStatus
SLACK = 0.5  # GiB
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
    job.failure_class = failure.kind if failure.kind in set(FailureClass) else FailureClass.bug.value
    move(unit, job, S.failed, f"{job.name} failed: {failure.message}", error=job.error)


def _end_children(unit: Unit, job: Job, to: JobStatus) -> None:
    """The combinations of a batch that ended before their turn end with it."""
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
        move(unit, job, S.cancelled, f"{job.name} was cancelled; {reason}")
        return
    if job.status == S.pausing:
        move(unit, job, S.paused, f"{job.name} is paused; {reason}")
    else:
        move(unit, job, S.queued, f"{job.name} goes back to the queue: {reason}", event=event, reason=reason, **data)
        wake_runners(desk, unit, job)
    for row in unit.session.scalars(select(EvaluationJob).where(EvaluationJob.parent_job_id == job.id)):
        if row.status not in ENDS:
            row.status = job.status


def submit(desk: Desk, unit: Unit, job: Job) -> None:
    """Put a new job into the queue and wake the runners that could take it."""
    job.status, job.queued_at, job.created_at = S.queued.value, unit.now, unit.now
    unit.session.add(job)
    unit.session.flush()
    text = f"{job.name} is queued"
    unit.emit(
        "JobQueued", "jobs", job.id, text, status=S.queued.value, attempt=0, kind=job.kind, name=job.name, reason="new"
    )
    wake_runners(desk, unit, job)


def wake_runners(desk: Desk, unit: Unit, job: Job) -> None:
    """Wake the runners that could take the job."""
    for runner in unit.session.scalars(select(Runner).where(Runner.lost.is_(False), Runner.draining.is_(False))):
        if runner.trusted and job.engine in runner.engines:
            desk.wake(unit, runner.id)


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
    if not runners:
        return "a runner: none has registered; `fts up` starts one"
    trusted = [each for each in runners if each.trusted]
    if not trusted:
        return "a runner that sees the studio's artifacts directory"
    able = [each for each in trusted if job.engine in each.engines]
    if not able:
        return f"a runner that offers {job.engine}: none does"
    need = needed(job)
    if lacking := _lacking(need, [capacity(each) for each in able]):
        return lacking
    fit = [each for each in able if capacity(each).holds(need)]
    if not fit:
        return "a runner that has all it asks for at once: none does"
    if labelled := label_of(job):
        fit = [each for each in fit if has_label(each, labelled)]
        if not fit:
            return f"a runner with accelerator label {labelled}: none has it"
    if all(each.lost for each in fit):
        return "its runners, which can't be reached"
    if all(each.draining or each.lost for each in fit):
        return "its runners, which are draining"
    return "room on " + ", ".join(sorted({each.host for each in fit if not each.lost and not each.draining}))


def _lacking(need: Room, rooms: list[Room]) -> str | None:
    for what, asked, most in (
        ("GPU", need.gpus, max(each.gpus for each in rooms)),
        ("CPU core", need.cpus, max(each.cpus for each in rooms)),
        ("GiB of memory", need.memory, max(each.memory for each in rooms)),
    ):
        if asked > most:
            many = "s" if asked != 1 and not what.startswith("GiB") else ""
            return f"a runner with {asked:g} {what}{many}: the largest has {most:.4g}"
    return None


def needed(job: Job) -> Room:
    """What a job occupies, its workers taken together."""
    return Room(job.cpus * job.workers, job.gpus * job.workers, job.memory * job.workers)


def capacity(runner: Runner) -> Room:
    """All that a runner has; half a GiB more memory, since hosts report a little less than what people call theirs."""
    return Room(runner.cpus, len(runner.gpus or []), runner.memory + SLACK)


def label_of(job: Job) -> str | None:
    """The accelerator label that a job asks for, as runners' labels name it."""
    label = job.spec["resources"].get("gpu_label_id")
    return None if label is None else str(label)


def has_label(runner: Runner, label: str | None) -> bool:
    """Whether a runner serves jobs of that accelerator label; every one serves jobs without."""
    return label is None or (runner.labels or {}).get("gpu_label_id") == label


def all_runners(session: Session) -> list[Runner]:
    """Every registered runner."""
    return list(session.scalars(select(Runner)))


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
