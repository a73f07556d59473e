"""The runners as scheduling sees them: what each has, what jobs take of it, what is left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from actors.allotting import Holding, Host
from actors.scheduling import Kept, Offer, Room, shape_of
from core import labels
from core.store.tables import Job, JobMember, Runner
from core.types import JobStatus

S = JobStatus
HELD = (S.assigned.value, S.running.value, S.pausing.value, S.cancel_requested.value)
LEAVING = (S.pausing.value, S.cancel_requested.value)
SLACK = 0.5  # GiB
FULL = Room(0, 0, 0)


def needed(job: Job) -> Room:
    """What a job occupies, its workers taken together."""
    return Room(job.cpus * job.workers, job.gpus * job.workers, job.memory * job.workers)


def capacity(runner: Runner) -> Room:
    """All that a runner has; half a GiB more memory, since hosts report a little less than what people call theirs."""
    return Room(runner.cpus, len(runner.gpus or []), runner.memory + SLACK)


def label_of(runner: Runner) -> str | None:
    """What a runner says of accelerator labels (core/labels.py)."""
    return labels.told(runner.labels)


def note_free(runner: Runner, free: Room) -> None:
    """Write down what jobs have left of a runner."""
    runner.free_cpus, runner.free_gpus, runner.free_memory = free.cpus, free.gpus, free.memory


def told_less(free: Room, told: Mapping[str, float]) -> Room:
    """The runner may still be busy with what the store thinks is over, never the other way round; one that takes no more jobs
    has no room, however much of it is free.
    """
    if told.get("jobs", 1) < 1:
        return FULL
    return Room(
        min(free.cpus, told.get("cpus", free.cpus)),
        min(free.gpus, int(told.get("gpus", free.gpus))),
        min(free.memory, told.get("memory", free.memory) + SLACK),
    )


def free_room(runner: Runner, taken: Iterable[Room]) -> Room:
    """What of a runner no job occupies."""
    free = capacity(runner)
    for room in taken:
        free = free.without(room)
    return free


def kept_by(session: Session, runner: Runner) -> Kept | None:
    """The room that the runner keeps for a job that still waits for it."""
    job = session.get(Job, runner.kept_for, options=[defer(Job.spec)]) if runner.kept_for else None
    if job is None or job.status != S.queued:
        return None
    whole = runner.kept_workers >= job.workers
    shape = shape_of(job.shape)
    return Kept(job.id, shape, job.priority, shape.worker.times(runner.kept_workers), whole)


def offer(runner: Runner, free: Room, kept: Kept | None) -> Offer:
    """What the runner has for those who wait."""
    return Offer(capacity(runner), free, frozenset(runner.engines), label_of(runner), kept, apart=runner.kind == "cml")


def all_runners(session: Session) -> list[Runner]:
    """Every registered runner, by id."""
    return list(session.scalars(select(Runner).options(defer(Runner.telemetry)).order_by(Runner.id)))


def hosts(session: Session, runners: Iterable[Runner]) -> list[Host]:
    """Those of the runners that take work, with what they hold."""
    held = held_by_runner(session)
    return [
        _host(session, runner, held.get(runner.id, []))
        for runner in runners
        if runner.trusted and not runner.lost and not runner.draining
    ]


@dataclass(frozen=True)
class Taken:
    """A job, or a part of one, as what it takes of a runner; times as they stand in the job's row."""

    id: str
    room: Room
    priority: int
    since: float
    eta_seconds: float | None
    leaving: bool


def held_by_runner(session: Session) -> dict[str, list[Taken]]:
    """What the runners hold."""
    found: dict[str, list[Taken]] = {}
    parts = _parts(session)
    for job in session.execute(select(*_COLUMNS).where(Job.status.in_(HELD))):
        worker, since = Room(job.cpus, job.gpus, job.memory), job.started_at or job.queued_at
        for runner_id, workers in parts.get((job.id, job.attempt), [(job.runner_id, job.workers)]):
            taken = Taken(job.id, worker.times(workers), job.priority, since, job.eta_seconds, job.status in LEAVING)
            found.setdefault(runner_id, []).append(taken)
    return found


_COLUMNS = (
    Job.id, Job.attempt, Job.runner_id, Job.status, Job.priority, Job.cpus, Job.gpus, Job.memory, Job.workers,
    Job.queued_at, Job.started_at, Job.eta_seconds,
)  # fmt: skip


def _parts(session: Session) -> dict[tuple[str, int], list[tuple[str, int]]]:
    """(runner, workers) of the members of each attempt that several runners have."""
    found: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for job_id, attempt, runner_id, workers in session.execute(
        select(JobMember.job_id, JobMember.attempt, JobMember.runner_id, JobMember.workers)
    ):
        found.setdefault((job_id, attempt), []).append((runner_id, workers))
    return found


def _host(session: Session, runner: Runner, held: list[Taken]) -> Host:
    free = told_less(free_room(runner, (each.room for each in held)), runner.free or {})
    parts = tuple(_holding(each, runner) for each in held)
    return Host(runner.id, offer(runner, free, kept_by(session, runner)), parts)


def _holding(taken: Taken, runner: Runner) -> Holding:
    ends_at = None if taken.eta_seconds is None else runner.last_seen_at + taken.eta_seconds
    return Holding(taken.id, taken.room, taken.priority, taken.since, ends_at, leaving=taken.leaving)
