"""Jobs that several runners do together: who has which part, where they meet, and that all of them are stopped as one.

A gang is claimed whole in one transaction, which holds the rows of all its runners, locked by id (actors/making_room.py).
The first member's runner is the job's runner: what its child says is the job's. What one of the others says is that it
has met, that it failed, or that it is gone; then the attempt is over for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy import and_, delete, select, update
from sqlalchemy.orm import Session, defer

from actors import holding, kept_room
from actors.desk import Desk
from actors.hosts import HELD
from actors.jobs import fail, move, requeue
from actors.losing import died
from actors.records import clean, fresh_records
from actors.scheduling import Room
from core.events import RECORD, Failure, Finished, Phase, Warned
from core.masking import masked_text
from core.messages.runners import Gang, JobReport
from core.store.session import Unit
from core.store.tables import Job, JobMember, Runner
from core.types import FailureClass, JobStatus

S = JobStatus
WAITS, WORKS, DONE = "assigned", "running", "done"  # states of a member


@dataclass(frozen=True)
class Part:
    """A job on a runner: all of it, or a member's part."""

    job: Job
    member: JobMember | None = None

    @property
    def follows(self) -> bool:
        """Whether another runner's child speaks for the job."""
        return self.member is not None and self.member.rank > 0

    @property
    def room(self) -> Room:
        """What it takes of the runner."""
        job = self.job
        return Room(job.cpus, job.gpus, job.memory).times(self.member.workers if self.member else job.workers)


_MINE = and_(JobMember.job_id == Job.id, JobMember.attempt == Job.attempt)


def held(session: Session, runner_id: str) -> list[Part]:
    """What is the runner's now; the jobs' specifications stay where they are until one is asked for."""
    joint = select(Job, JobMember).join(JobMember, _MINE).where(JobMember.runner_id == runner_id, Job.status.in_(HELD))
    members = [Part(job, member) for job, member in session.execute(joint.options(defer(Job.spec)))]
    own = select(Job).options(defer(Job.spec)).where(Job.runner_id == runner_id, Job.status.in_(HELD))
    shared = {part.job.id for part in members}
    parts = [*members, *(Part(job) for job in session.scalars(own) if job.id not in shared)]
    return sorted(parts, key=lambda part: part.job.id)


def renew(session: Session, runner_id: str, until: float) -> None:
    """Extend the leases of all that the runner has."""
    for part in held(session, runner_id):
        if part.member is not None:
            part.member.lease_expires_at = until
        if not part.follows:
            part.job.lease_expires_at = until


def renew_first(session: Session, job: Job) -> None:
    """The first member's lease is the job's."""
    if job.workers > 1:
        own = (JobMember.job_id == job.id, JobMember.attempt == job.attempt, JobMember.rank == 0)
        session.execute(update(JobMember).where(*own).values(lease_expires_at=job.lease_expires_at))


def members(session: Session, job: Job) -> list[JobMember]:
    """The members of the job's attempt, the first one first; none when one runner has it."""
    if job.workers < 2:
        return []
    own = (JobMember.job_id == job.id, JobMember.attempt == job.attempt)
    return list(session.scalars(select(JobMember).where(*own).order_by(JobMember.rank)))


def place(session: Session, part: Part) -> Gang | None:
    """A member's place, as its runner is told."""
    if part.member is None:
        return None
    all_members = members(session, part.job)
    return Gang(
        rank=part.member.rank,
        runners=len(all_members),
        workers=part.member.workers,
        rendezvous=all_members[0].rendezvous,
    )


def any_draining(session: Session, part: Part) -> bool:
    """Whether one of the runners that have the job gives its jobs back: then all of the job is given back."""
    if part.member is None:
        return False
    runners = select(Runner.draining).join(JobMember, JobMember.runner_id == Runner.id)
    return any(session.scalars(runners.where(JobMember.job_id == part.job.id, JobMember.attempt == part.job.attempt)))


def claim(desk: Desk, unit: Unit, job: Job, parts: list[tuple[Runner, int]]) -> None:
    """Give a queued job to several runners, the first of which speaks for it. All their rows are locked."""
    job.attempt += 1
    first, lease = parts[0][0], unit.now + desk.settings.lease_seconds
    job.accepted, job.runner_id, job.checkpoints_asked, job.lease_expires_at = 0, first.id, 0, lease
    for rank, (runner, workers) in enumerate(parts):
        unit.session.add(
            JobMember(
                job_id=job.id, attempt=job.attempt, rank=rank, runner_id=runner.id, workers=workers, state=WAITS,
                lease_expires_at=lease, accepted=0,
            )
        )  # fmt: skip
        desk.wake(unit, runner.id)
    kept_room.taken(unit, job, [runner for runner, _ in parts])
    hosts = ", ".join(f"{runner.host} ({workers})" for runner, workers in parts)
    ids = [runner.id for runner, _ in parts]
    move(unit, job, S.assigned, f"{job.name} goes to {hosts}", runner_id=first.id, runners=ids)


def met(desk: Desk, unit: Unit, job: Job, address: str) -> None:
    """The first member listens: the others are told where."""
    for member in members(unit.session, job):
        if member.rank == 0:
            member.rendezvous = address
        else:
            desk.wake(unit, member.runner_id)


def dissolve(desk: Desk, unit: Unit, job: Job) -> None:
    """Forget who had parts of a job that is held no more, and wake them: their next reports tell them to stop."""
    if job.workers < 2 or JobStatus(job.status).held:
        return
    gone = (JobMember.job_id == job.id, JobMember.attempt <= job.attempt)
    for runner_id in unit.session.scalars(select(JobMember.runner_id).where(*gone)):
        desk.wake(unit, runner_id)
    unit.session.execute(delete(JobMember).where(*gone))


def overdue(session: Session, now: float) -> Iterator[tuple[Job, str]]:
    """(job, runner) of members that said nothing for a lease; the jobs are locked, those that are spoken for now left out."""
    late = select(JobMember.job_id, JobMember.attempt, JobMember.runner_id).where(JobMember.lease_expires_at < now)
    for job_id, attempt, runner_id in session.execute(late).all():
        own = select(Job).where(Job.id == job_id, Job.attempt == attempt, Job.status.in_(HELD))
        job = session.scalar(own.with_for_update(skip_locked=True).execution_options(populate_existing=True))
        if job is not None:
            yield job, runner_id


def take(desk: Desk, unit: Unit, runner: Runner, job: Job, report: JobReport) -> None:
    """Take what a member's child said since the accepted offset; of a runner that has no part nothing is taken."""
    own = (JobMember.job_id == job.id, JobMember.attempt == job.attempt, JobMember.runner_id == runner.id)
    member = unit.session.scalar(select(JobMember).where(*own, JobMember.rank > 0))
    if member is None:
        return
    member.lease_expires_at = unit.now + desk.settings.lease_seconds
    records = fresh_records(report, member.accepted)
    if records is None:
        return
    if not member.accepted:
        holding.before_it_begins(unit, job, report.short, member.rank, runner.host)
    member.accepted = max(member.accepted, report.next_offset)
    for raw in records:
        _hear(desk, unit, job, member, raw)
    over = not report.alive and report.next_offset >= member.accepted
    if over and member.state != DONE and JobStatus(job.status).held:
        died(desk, unit, job, report)


def _hear(desk: Desk, unit: Unit, job: Job, member: JobMember, raw: dict[str, object]) -> None:
    try:
        record = RECORD.validate_python(clean(raw))
    except ValidationError:
        return
    if not JobStatus(job.status).held:
        return
    if isinstance(record, Phase):
        member.state = WORKS
    elif isinstance(record, Warned):
        unit.emit(
            "JobWarning",
            "jobs",
            job.id,
            f"{job.name}: {masked_text(record.text, desk.secrets)}",
            level="warning",
            attempt=job.attempt,
        )
    elif isinstance(record, Finished):
        _finished(desk, unit, job, member, record)


def _finished(desk: Desk, unit: Unit, job: Job, member: JobMember, record: Finished) -> None:
    """A member's end is the job's when it failed, or when it never met the others; else the first one's word is waited for."""
    began, member.state = member.state == WORKS, DONE
    if record.outcome == "failed":
        fail(desk, unit, job, record.error or Failure(kind=FailureClass.bug, message="a worker gave no reason"))
    elif not began:
        requeue(desk, unit, job, "one of its runners gave its part back")
