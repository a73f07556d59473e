"""The queue of jobs as the store keeps it: lanes of like ones (shape, priority), so that nobody reads all of it.

Within a lane the oldest goes first. So the heads of the lanes, of which there are a few dozen however many jobs wait, tell
who could be next; they are found by leaps over an index.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import TextClause, select, text, union_all
from sqlalchemy.orm import Session

from actors.scheduling import Offer, Waiting, shape_of
from core.store.tables import Job
from core.types import JobStatus

# The next lane is looked for in two leaps: over both columns at once SQLite would walk to it through all of this one.
_IN_LANE = "ORDER BY shape, priority, queued_at, id LIMIT 1"
_HEADS: TextClause = text(
    f"""
    WITH RECURSIVE lane (id) AS (
        SELECT id FROM (SELECT id FROM jobs WHERE status = 'queued' {_IN_LANE}) AS first
        UNION ALL
        SELECT coalesce(
            (SELECT id FROM jobs
             WHERE status = 'queued' AND shape = this.shape AND priority > this.priority {_IN_LANE}),
            (SELECT id FROM jobs WHERE status = 'queued' AND shape > this.shape {_IN_LANE}))
        FROM lane JOIN jobs AS this ON this.id = lane.id
    )
    SELECT jobs.id, jobs.shape, jobs.priority, jobs.queued_at FROM lane JOIN jobs ON jobs.id = lane.id
    """
)


def heads(session: Session) -> list[Waiting]:
    """The oldest job of each lane."""
    return [_waiting(*row) for row in session.execute(_HEADS)]


def oldest(session: Session, lanes: Iterable[tuple[Waiting, int]], without: Collection[str] = ()) -> list[Waiting]:
    """Of each lane, told by one of its jobs, so many of the oldest; those of the ids `without` are passed over."""
    parts: list[Any] = [_oldest(head, number, without) for head, number in lanes]
    return [_waiting(*row) for row in session.execute(union_all(*parts))] if parts else []


def _oldest(head: Waiting, number: int, without: Collection[str]) -> Any:
    lane = select(Job.id, Job.shape, Job.priority, Job.queued_at).where(
        Job.status == JobStatus.queued.value, Job.shape == head.shape.text, Job.priority == head.priority
    )
    if without:
        lane = lane.where(Job.id.not_in(without))
    return lane.order_by(Job.queued_at, Job.id).limit(number).subquery().select()


def open_to(session: Session, offer: Offer, without: Collection[str] = ()) -> list[Waiting]:
    """The queued jobs that the offer's free room could go to, of each lane as many as it holds."""
    found = [head for head in heads(session) if offer.has_room(head.shape)]
    numbers = [offer.free.count(head.shape.room) for head in found]
    if not without and sum(numbers) == len(found):
        return found
    return oldest(session, zip(found, numbers, strict=True), without)


def _waiting(id: str, shape: str, priority: int, since: float) -> Waiting:
    return Waiting(id, shape_of(shape), priority, since)
