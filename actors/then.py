"""The studio as it was: the log folded up to a moment, for the jobs that were there then.

Which jobs those were, their rows tell by their times; of removed ones only the log does. What a job was is what its last
event by then led to, so that the answer is a fold of the log and nothing else; a job of whose past the log has lost the
beginning is told as unknown, unless it has been the same ever since.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, Select, or_, select, text, union
from sqlalchemy.orm import Session

from actors.handlers import handles
from actors.jobs import ENDS
from actors.scheduling import Room, Shape, Waiting
from actors.world import RealWorld
from core.events import EVENT_TYPES
from core.messages.then import GetQueueAt, JobThen, QueueThenReply, RunnerThen
from core.store.eventlog import SKEW, linked
from core.store.past import GONE
from core.store.tables import EventRow, Job, Runner
from core.types import JobKind, JobStatus

MINUTE = 60.0  # seconds for which an ended job is shown
AT_ONCE = 1_000  # ids in one question
PRIORITY = "JobPriorityChanged"
STATES = tuple(name for name, told in EVENT_TYPES.items() if name.startswith("Job") and "{status" in told)
FOLDED = (*STATES, PRIORITY)
RENAMED = "ResourceChanged"
RUNNERS = ("RunnerRegistered", "RunnerBack", "RunnerLost", "RunnerDraining")
TURNS = {"new", "resumed", "retried"}  # reasons with which a job comes to the end of the queue
HELD = (JobStatus.assigned, JobStatus.running, JobStatus.pausing, JobStatus.cancel_requested)
_NOTHING = Shape("", Room(0, 0, 0))
_COLUMNS = (EventRow.resource_id, EventRow.id, EventRow.at, EventRow.type, EventRow.message, EventRow.data)


@dataclass
class Past:
    """What the log tells of one job, event by event."""

    id: str
    name: str = ""
    kind: str = ""
    status: str | None = None
    type: str = ""
    attempt: int = 0
    priority: int | None = None
    runner_id: str | None = None
    changed_at: float | None = None
    queued_at: float | None = None
    reason: str = ""

    def take(self, event: Row[Any]) -> None:
        """One more event."""
        data: dict[str, Any] = event.data
        self.priority = data.get("priority", self.priority)
        self.name, self.kind = data.get("name") or self.name, data.get("kind") or self.kind
        if event.type in (PRIORITY, RENAMED):
            return
        self.attempt = data.get("attempt", self.attempt)
        self.status, self.type, self.changed_at, self.reason = data["status"], event.type, event.at, event.message
        if self.status == JobStatus.queued and (self.queued_at is None or data.get("reason") in TURNS):
            self.queued_at = event.at
        if self.status in HELD:
            self.runner_id = data.get("runner_id", self.runner_id)
        else:
            self.runner_id = None

    def shown(self, hosts: dict[str, str], place: int | None = None) -> JobThen:
        """It as it is answered."""
        told = {name: getattr(self, name) for name in JobThen.model_fields if hasattr(self, name)}
        runner = hosts.get(self.runner_id or "")
        return JobThen(**{**told, "priority": self.priority or 0, "runner": runner, "place": place})


@dataclass
class Moment:
    """A place in the log: the last event that counts, and the time that it is."""

    at: float
    event: EventRow | None
    id: int = field(init=False)

    def __post_init__(self) -> None:
        self.id = self.event.id if self.event is not None else 0


@handles(GetQueueAt)
def get_queue_at(message: GetQueueAt, session: Session, world: RealWorld) -> QueueThenReply:
    """Fold the log up to the moment."""
    then = _moment(session, message)
    oldest = session.scalar(select(EventRow).order_by(EventRow.id).limit(1))
    jobs = _jobs(session, then)
    hosts = {runner.id: runner.host for runner in session.execute(select(Runner.id, Runner.host))}
    unknown = [job for job in jobs if job.status is None]
    queued = _in_turn(jobs, then.at, world.desk.settings.ageing_seconds)
    held = sorted((job for job in jobs if job.status in HELD), key=_changed)
    paused = sorted((job for job in jobs if job.status == JobStatus.paused), key=_changed)
    ended = sorted((job for job in jobs if _just_ended(job, then.at)), key=_changed, reverse=True)
    counts = Counter(job.status for job in jobs if job.status and job.status not in ENDS)
    limit = message.limit
    return QueueThenReply(
        at=then.at,
        event=linked(session, [then.event], contiguous=False)[0] if then.event is not None else None,
        earlier=_neighbour(session, EventRow.id < then.id, EventRow.id.desc()),
        later=_neighbour(session, EventRow.id > then.id, EventRow.id),
        complete=not unknown and (then.event is not None or oldest is None or not _began_late(oldest)),
        oldest_at=oldest.at if oldest is not None else None,
        counts={**counts, "ended": len(ended), "unknown": len(unknown)},
        queued=[job.shown(hosts, place) for place, job in enumerate(queued[:limit])],
        held=[job.shown(hosts) for job in held[:limit]],
        paused=[job.shown(hosts) for job in paused[:limit]],
        ended=[job.shown(hosts) for job in ended[:limit]],
        unknown=[job.shown(hosts) for job in unknown[:limit]],
        runners=_runners(session, then, Counter(job.runner_id for job in held)),
    )


def _moment(session: Session, message: GetQueueAt) -> Moment:
    """Where to look: after an event, or after the last one by a time."""
    if message.event is not None:
        place = select(EventRow).where(EventRow.id <= message.event).order_by(EventRow.id.desc()).limit(1)
        event = session.scalar(place)
        first = select(EventRow.at).order_by(EventRow.id).limit(1)
        return Moment(event.at if event is not None else session.scalar(first) or time.time(), event)
    at = time.time() if message.at is None else message.at
    last = select(EventRow).where(EventRow.at <= at).order_by(EventRow.at.desc(), EventRow.id.desc()).limit(1)
    return Moment(at, session.scalar(last))


def _began_late(oldest: EventRow) -> bool:
    """Whether the log has lost its beginning."""
    return oldest.id > 1


def _changed(job: Past) -> tuple[float, str]:
    return job.changed_at or 0.0, job.id


def _just_ended(job: Past, at: float) -> bool:
    return job.status in ENDS and job.type != "JobImported" and (job.changed_at or 0.0) > at - MINUTE


def _in_turn(jobs: Iterable[Past], at: float, ageing: float) -> list[Past]:
    """The queued ones in the order of their turns then."""

    def turn(job: Past) -> tuple[float, float, str]:
        return Waiting(job.id, _NOTHING, job.priority or 0, job.queued_at or 0.0).turn(at, ageing)

    return sorted((job for job in jobs if job.status == JobStatus.queued), key=turn)


# ─── jobs ─────────────────────────────────────────────────────────────────────────────────────────


def _jobs(session: Session, then: Moment) -> list[Past]:
    """Every job that was there then, and those that had ended a moment before."""
    rows: dict[str, Any] = {job.id: job for job in session.execute(_there(then))}
    removed: dict[str, str] = {id: data.get("name") or "" for id, data in session.execute(_removed_later(then))}
    asked_for = union(
        _there(then).with_only_columns(Job.id), _removed_later(then).with_only_columns(EventRow.resource_id)
    )
    events = select(*_COLUMNS).where(
        EventRow.kind == "jobs", EventRow.type.in_((*FOLDED, RENAMED)), EventRow.id <= then.id
    )
    found: dict[str, Past] = {}
    of_them = events.where(EventRow.resource_id.in_(asked_for.subquery().select()))
    for event in session.execute(of_them.order_by(EventRow.id)):
        found.setdefault(event.resource_id, Past(event.resource_id)).take(event)
    found = {id: past for id, past in found.items() if past.status is not None}
    lost: dict[str, Any] = {id: rows.get(id) for id in (*removed, *rows) if id not in found}
    for past in _without_past(session, then, lost):
        past.name = past.name or removed.get(past.id, "")
        found[past.id] = past
    _find_priorities(session, then, [job for job in found.values() if job.priority is None], rows)
    return list(found.values())


def _there(then: Moment) -> Select[Any]:
    """The jobs whose rows say that they were there."""
    columns: list[Any] = [Job.id, Job.name, Job.kind, Job.status, Job.priority, Job.attempt, Job.runner_id]
    return select(*columns).where(
        Job.kind != JobKind.plan.value,
        Job.created_at <= then.at + SKEW,
        or_(Job.finished_at.is_(None), Job.finished_at > then.at - MINUTE - SKEW),
    )


def _removed_later(then: Moment) -> Select[Any]:
    """The jobs that have no row any more. A plan's own kind is in its event; nobody keeps those."""
    no_plan = EventRow.data["kind"].as_string().is_distinct_from(JobKind.plan.value)
    columns: list[Any] = [EventRow.resource_id, EventRow.data]
    return select(*columns).where(text(GONE), EventRow.id > then.id, no_plan)


def _without_past(session: Session, then: Moment, rows: dict[str, Any]) -> Iterator[Past]:
    """The jobs that have no event by then: not there yet, the same since, or unknown. Removed ones have no row."""
    following_of: dict[str, Any] = {}
    for event in _events_of(session, list(rows), EventRow.type.in_(STATES), EventRow.id > then.id):
        following_of.setdefault(event.resource_id, event)
    for id, row in rows.items():
        following = following_of.get(id)
        if following is not None and (following.type == "JobImported" or following.data.get("reason") == "new"):
            continue
        if row is None:
            yield Past(id, following.data.get("name") or "" if following is not None else "")
        elif following is not None:
            yield Past(id, row.name, row.kind)
        else:
            yield Past(id, row.name, row.kind, row.status, "", row.attempt, row.priority, row.runner_id)


def _events_of(session: Session, ids: Sequence[str], *only: Any) -> Iterator[Row[Any]]:
    """Events of these jobs, of each in order; a database takes no more than so many ids at once."""
    for begin in range(0, len(ids), AT_ONCE):
        some = EventRow.resource_id.in_(ids[begin : begin + AT_ONCE])
        yield from session.execute(select(*_COLUMNS).where(some, EventRow.kind == "jobs", *only).order_by(EventRow.id))


def _find_priorities(session: Session, then: Moment, jobs: Sequence[Past], rows: dict[str, Any]) -> None:
    """Where the log tells no priority by then: what it was before the first change after, else what it is."""
    before: dict[str, int] = {}
    for event in _events_of(session, [job.id for job in jobs], EventRow.type == PRIORITY, EventRow.id > then.id):
        before.setdefault(event.resource_id, event.data.get("before", 0))
    for job in jobs:
        row = rows.get(job.id)
        job.priority = before.get(job.id, row.priority if row is not None else 0)


# ─── runners, and the events around ───────────────────────────────────────────────────────────────


def _runners(session: Session, then: Moment, held: Counter[str | None]) -> list[RunnerThen]:
    """The runners that had registered, and how they were."""
    events = select(*_COLUMNS).where(
        EventRow.resource_id.in_(select(Runner.id)), EventRow.kind == "runners", EventRow.type.in_(RUNNERS)
    )
    found: dict[str, RunnerThen] = {}
    for event in session.execute(events.where(EventRow.id <= then.id).order_by(EventRow.id)):
        id = event.resource_id
        state = {"RunnerLost": "lost", "RunnerDraining": "draining" if event.data.get("draining") else "online"}
        host = event.data.get("host") or ""
        found[id] = RunnerThen(id=id, host=host, status=state.get(event.type, "online"), jobs=held[id])
    return sorted(found.values(), key=lambda each: (each.host, each.id))


def _neighbour(session: Session, side: Any, order: Any) -> int | None:
    """The next event on that side which changed something here."""
    no_plan = EventRow.data["kind"].as_string().is_distinct_from(JobKind.plan.value)
    changing = EventRow.type.in_((*FOLDED, *RUNNERS))
    query = select(EventRow.id).where(side, changing, no_plan).order_by(order).limit(1)
    return session.scalar(query)
