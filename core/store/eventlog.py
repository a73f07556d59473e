"""The log of what happened, and its way to the stream: the outbox pattern with the log itself as the outbox."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import redis
from sqlalchemy import and_, false, func, select, update
from sqlalchemy.orm import Session

from core.events import Event
from core.queue import stream
from core.store.session import Store, Unit, as_of
from core.store.tables import EventRow, Meta
from core.types import JobKind

BATCH = 1_000  # events read from the log at once
SKEW = 600.0  # seconds by which the times of events may differ from the order of their ids


def events_after(
    session: Session, after: int, limit: int = BATCH, *more: Any, plans: bool = True, **equal: str | None
) -> list[Event]:
    """Events with an id above `after`, oldest first, each with its predecessor's id in the whole log.

    `equal` are columns and the values asked for (type, level, kind, resource_id); None asks for nothing. `more` are
    conditions on the rows. Without `plans` what happened to plans is left out.
    """
    query = _only(select(EventRow).where(EventRow.id > after, *more).order_by(EventRow.id).limit(limit), equal, plans)
    return linked(session, list(session.scalars(query)), contiguous=_is_all(more, equal, plans))


def last_events(session: Session, limit: int, *more: Any, plans: bool = True, **equal: str | None) -> list[Event]:
    """The newest events, oldest first."""
    query = _only(select(EventRow).where(*more).order_by(EventRow.id.desc()).limit(limit), equal, plans)
    return linked(session, list(session.scalars(query))[::-1], contiguous=_is_all(more, equal, plans))


def between(session: Session, since: float | None, until: float | None) -> Iterator[Any]:
    """The conditions on rows that happened in that time, which an index on it and the order of ids answer together.

    Transactions end in another order than they begin, so that times lag behind ids now and then, but not by much.
    """
    place = select(EventRow.id).limit(1)
    if since is not None:
        first = session.scalar(place.where(EventRow.at >= since - SKEW).order_by(EventRow.at, EventRow.id))
        yield and_(EventRow.at >= since, EventRow.id >= first) if first is not None else false()
    if until is not None:
        behind = place.where(EventRow.at > until + SKEW).order_by(EventRow.at, EventRow.id)
        first = session.scalar(behind)
        yield EventRow.at < until if first is None else and_(EventRow.at < until, EventRow.id < first)


def _is_all(more: tuple[Any, ...], equal: dict[str, str | None], plans: bool) -> bool:
    """Whether nothing of the log is left out in between."""
    return plans and not more and set(equal.values()) <= {None}


def _only(query: Any, equal: dict[str, str | None], plans: bool) -> Any:
    if not plans:  # a plan's own row goes before its events
        query = query.where(EventRow.data["kind"].as_string().is_distinct_from(JobKind.plan.value))
    return query.where(*(getattr(EventRow, name) == value for name, value in equal.items() if value is not None))


def linked(session: Session, rows: list[EventRow], *, contiguous: bool) -> list[Event]:
    """Rows as events; `prev` of each is the row before it in the log."""
    if contiguous:
        return _chained(rows, _before(session, rows[0].id) if rows else 0)
    return [_event(row, _before(session, row.id)) for row in rows]


def _chained(rows: list[EventRow], before: int) -> list[Event]:
    return [_event(row, prev) for row, prev in zip(rows, [before, *(row.id for row in rows)], strict=False)]


def _event(row: EventRow, prev: int) -> Event:
    columns = ("id", "at", "type", "level", "message", "kind", "resource_id", "data")
    return Event(prev=prev, **{column: getattr(row, column) for column in columns})


def _before(session: Session, id: int) -> int:
    return session.scalar(select(func.max(EventRow.id)).where(EventRow.id < id)) or 0


def publish_own(client: redis.Redis, ns: str, epoch: str, unit: Unit) -> bool:
    """Publish what a committed unit did, without a look at the log; tell whether it is on the stream now.

    It is not when an earlier event is missing there: `publish_new` then brings all of them.
    """
    if not unit.events:
        return True
    events = _chained(unit.events, unit.before)
    return stream.publish(client, ns, epoch, _encoded(events)) >= events[-1].id


def _encoded(events: list[Event]) -> list[tuple[int, int, str]]:
    return [(event.id, event.prev, event.model_dump_json()) for event in events]


def publish_new(store: Store, client: redis.Redis, ns: str) -> int:
    """Publish what the stream lacks; return its top. Any number of processes may do this at once.

    The stream's top is read before the snapshot: all that it holds was committed by then, so a snapshot that ends
    earlier, or has lost what follows the top, is another history: the store was restored, or kept too little.
    """
    while True:
        with store.read() as session:
            epoch = as_of(session).epoch
        top = stream.top(client, ns, epoch)
        with store.read() as session:
            now = as_of(session)
            found = events_after(session, top or max(0, now.event - stream.EVENTS_KEPT))
        if now.epoch != epoch:
            continue
        if top > now.event or (top and found and found[0].prev != top):
            _new_epoch(store, epoch)
            continue
        top = stream.publish(client, ns, epoch, _encoded(found))
        if len(found) < BATCH:
            return top


def _new_epoch(store: Store, old: str) -> None:
    """Tell every watcher that this is another history; when two processes do it at once, the first one's epoch holds."""
    with store.write() as unit:
        unit.session.execute(update(Meta).where(Meta.key == "epoch", Meta.value == old).values(value=str(uuid4())))
