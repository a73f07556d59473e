"""Handlers of what people ask of jobs that are there: cancel, pause, resume, run again, save now, go before others."""

from __future__ import annotations

from sqlalchemy import select

from actors.desk import Desk
from actors.handlers import handles
from actors.jobs import ENDS, go_on, move, target, told_end, wake_runners
from actors.world import RealWorld
from core.errors import Conflict
from core.messages.job_verbs import CheckpointJob, PauseJob, ResumeJob, RetryJob, SetJobPriority
from core.messages.jobs import CancelJob, JobStateReply
from core.store.session import Unit
from core.store.tables import EvaluationJob, Job
from core.types import JobKind, JobStatus

S = JobStatus


@handles(CancelJob)
def cancel_job(message: CancelJob, unit: Unit, world: RealWorld) -> JobStateReply:
    """A queued or paused job ends now; a held one when its runner has stopped it."""
    job, child = target(unit.session, message.id, lock=True)
    if child is not None and (reply := _cancel_child(world.desk, unit, job, child)) is not None:
        return reply
    status = _unfinished(job)
    if status in {S.queued, S.paused}:
        move(unit, job, S.cancelled, f"{job.name} was cancelled{'' if job.attempt else ' before it ran'}")
    elif status is not S.cancel_requested:
        move(unit, job, S.cancel_requested, f"{job.name}: cancelling was asked for")
        _wake_its_runner(world.desk, unit, job)
    return JobStateReply(id=message.id, status=JobStatus(job.status), priority=job.priority)


def _cancel_child(desk: Desk, unit: Unit, job: Job, child: EvaluationJob) -> JobStateReply | None:
    """Leave one combination out of its batch; None when it is the last one left, and the batch itself is to end."""
    if child.status in ENDS:
        raise Conflict(f"the evaluation has ended: {child.status}")
    if job.status in ENDS:
        return None  # an imported row need not tell its own end
    left_out = {*(job.cancelled or []), child.id}
    if all(row.status in ENDS or row.id in left_out for row in _batch(unit, job)):
        return None
    job.cancelled = sorted(left_out)
    child.status = S.cancelled.value
    child.finished_at = unit.now
    told_end(unit, child, "cancelled")
    _wake_its_runner(desk, unit, job)
    return JobStateReply(id=child.id, status=S.cancelled)


@handles(PauseJob)
def pause_job(message: PauseJob, unit: Unit, world: RealWorld) -> JobStateReply:
    """A queued job is held back now; a held one pauses when its runner has saved a checkpoint."""
    job, _ = target(unit.session, message.id, lock=True)
    status = _unfinished(job)
    if status is S.cancel_requested:
        raise Conflict("the job is being cancelled")
    if status is S.queued:
        move(unit, job, S.paused, f"{job.name} is paused before it ran" if not job.attempt else "")
        _tell_batch(unit, job)
    elif status in {S.assigned, S.running}:
        move(unit, job, S.pausing, f"{job.name} saves a checkpoint and pauses")
        _wake_its_runner(world.desk, unit, job)
    job.preempted_by = None  # it stays paused when it has made room
    return _state(job)


@handles(ResumeJob)
def resume_job(message: ResumeJob, unit: Unit, world: RealWorld) -> JobStateReply:
    """A paused job is queued; one that still pauses goes on, or to the queue when its child has heard of the pause."""
    job, _ = target(unit.session, message.id, lock=True)
    status = _unfinished(job)
    if status is S.cancel_requested:
        raise Conflict("the job is being cancelled")
    if status is S.paused:
        _queue(world.desk, unit, job, f"{job.name} is queued again", reason="resumed")
    elif status is S.pausing and job.preempted_by is None:  # one that makes room for another goes on by itself
        move(unit, job, S.running, f"{job.name}: the pause was taken back", event="JobContinued")
        _wake_its_runner(world.desk, unit, job)
    return _state(job)


@handles(RetryJob)
def retry_job(message: RetryJob, unit: Unit, world: RealWorld) -> JobStateReply:
    """Queue a failed or cancelled job again, under its own id; what it had come to is kept unless it begins anew."""
    job, _ = target(unit.session, message.id, lock=True)
    if job.status not in {S.failed, S.cancelled}:
        raise Conflict(f"only a failed or cancelled job can be run again; this one is {_words(job)}")
    job.error, job.failure_class, job.finished_at, job.losses = None, None, None, 0
    job.retries += 1
    job.fresh = not message.from_checkpoint
    if job.fresh:
        _forget(job)
    _revive_batch(unit, job, anew=not message.from_checkpoint)
    go_on(unit, job)
    how = "from its last checkpoint" if message.from_checkpoint else "anew"
    text = f"{job.name} is run again, {how}"
    _queue(world.desk, unit, job, text, event="JobRetried", reason="retried", from_checkpoint=message.from_checkpoint)
    return _state(job)


def _forget(job: Job) -> None:
    """What the earlier attempts came to counts no more."""
    job.step, job.total_steps, job.tokens_per_second = 0, None, None
    job.last_metrics, job.summary, job.checkpoint = None, None, None


def _revive_batch(unit: Unit, job: Job, *, anew: bool) -> None:
    """Let the combinations that the batch's end took along wait again; those that were left out on purpose stay so."""
    for row in _batch(unit, job):
        if row.id in (job.cancelled or []) or (row.status == S.succeeded and not anew):
            continue
        row.status, row.error, row.started_at, row.finished_at = S.queued.value, None, None, None
        row.scores, row.statistics, row.rows, row.answers = None, None, None, None


@handles(CheckpointJob)
def checkpoint_job(message: CheckpointJob, unit: Unit, world: RealWorld) -> JobStateReply:
    """Count the wish; the runner hands it to the child with its next reply."""
    job, _ = target(unit.session, message.id, lock=True)
    if job.status not in {S.assigned, S.running}:
        raise Conflict(f"only a running job can save a checkpoint; this one is {_words(job)}")
    job.checkpoints_asked += 1
    text = f"{job.name}: a checkpoint was asked for"
    unit.emit("JobCheckpointAsked", "jobs", job.id, text, attempt=job.attempt)
    _wake_its_runner(world.desk, unit, job)
    return _state(job)


@handles(SetJobPriority)
def set_job_priority(message: SetJobPriority, unit: Unit, world: RealWorld) -> JobStateReply:
    """Change the place in the queue, now or when the job comes back to it."""
    job, _ = target(unit.session, message.id, lock=True)
    _unfinished(job)
    before, job.priority = job.priority, message.priority
    if before != message.priority:
        text = f"{job.name} has priority {message.priority}, formerly {before}"
        unit.emit("JobPriorityChanged", "jobs", job.id, text, priority=message.priority, before=before)
        wake_runners(world.desk, unit, job)
    return _state(job)


def _unfinished(job: Job) -> JobStatus:
    """The job's state; raises Conflict when it has ended."""
    status = JobStatus(job.status)
    if status.finished:
        raise Conflict(f"the job has ended: {status.value}")
    return status


def _queue(desk: Desk, unit: Unit, job: Job, text: str, *, event: str | None = None, **data: object) -> None:
    """Put a job back at the end of the queue, with its batch, and wake the runners that could take it."""
    job.queued_at = unit.now
    move(unit, job, S.queued, text, event=event, **data)
    _tell_batch(unit, job)
    wake_runners(desk, unit, job)


def _batch(unit: Unit, job: Job) -> list[EvaluationJob]:
    if job.kind != JobKind.evaluation:
        return []
    return list(unit.session.scalars(select(EvaluationJob).where(EvaluationJob.parent_job_id == job.id)))


def _tell_batch(unit: Unit, job: Job) -> None:
    """The combinations that are still to come are in the batch's state."""
    for row in _batch(unit, job):
        if row.status not in ENDS:
            row.status = job.status


def _wake_its_runner(desk: Desk, unit: Unit, job: Job) -> None:
    if job.runner_id:
        desk.wake(unit, job.runner_id)


def _words(job: Job) -> str:
    return job.status.replace("_", " ")


def _state(job: Job) -> JobStateReply:
    return JobStateReply(id=job.id, status=JobStatus(job.status), priority=job.priority)
