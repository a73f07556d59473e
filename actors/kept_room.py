"""Room that runners keep for jobs, when one of those jobs begins.

Room is kept for whoever is the oldest of a lane when it is there: a job takes what was kept for a younger one like it,
and leaves to that one what is kept for itself elsewhere. So no job is stuck to a runner that takes long to come free.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from actors.scheduling import shape_of
from core.store.session import Unit
from core.store.tables import Job, Runner
from core.types import JobStatus


def taken(unit: Unit, job: Job, runners: Sequence[Runner]) -> None:
    """Forget what was kept on the runners that a job begins on for it or for one like it, and hand over what it leaves."""
    alike = {other.id: other for runner in runners if (other := _alike(unit, runner, job)) is not None}
    for runner in runners:
        if runner.kept_for == job.id or runner.kept_for in alike:
            runner.kept_for = None
    heir = next(iter(alike.values()), None)
    left = select(Runner).where(Runner.kept_for.in_({job.id, *list(alike)[1:]}))
    others = left.with_for_update(skip_locked=True)  # one that reports meanwhile finds out by itself
    for runner in unit.session.scalars(others.execution_options(populate_existing=True)):
        heir_there = heir if runner.kept_for == job.id else None
        runner.kept_for = heir_there.id if heir_there else None
        if heir_there is not None:
            tell_kept(unit, heir_there, runner, "lets an older one like it go first")


def give_up(session: Session, runner: Runner) -> None:
    """Keep no room on a runner that is gone, drained or another than it was, nor elsewhere for the rest of the same job."""
    if runner.kept_for is None:
        return
    rest = select(Runner).where(Runner.kept_for == runner.kept_for).with_for_update(skip_locked=True)
    for each in (runner, *session.scalars(rest.execution_options(populate_existing=True))):
        each.kept_for = None


def _alike(unit: Unit, runner: Runner, job: Job) -> Job | None:
    """The other job in the same lane that the runner keeps room for."""
    if runner.kept_for in {None, job.id}:
        return None
    other = unit.session.get(Job, runner.kept_for, options=[defer(Job.spec)])
    if other is None or other.status != JobStatus.queued:
        return None
    return other if (shape_of(other.shape), other.priority) == (shape_of(job.shape), job.priority) else None


def tell_kept(unit: Unit, job: Job, runner: Runner, why: str) -> None:
    """Say where room is kept for a job."""
    text = f"{job.name} {why}: room is kept for it on {runner.host}"
    unit.emit("RoomKept", "jobs", job.id, text, runner_id=runner.id, host=runner.host)
