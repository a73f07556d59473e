"""The log of what happened, and its way to the stream: the outbox pattern with the log itself as the outbox."""

from __future__ import annotations

from uuid import uuid4

import redis
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from core.events import Event
from core.queue import stream
from core.store.session import Store, as_of
from core.store.tables import EventRow, Meta

BATCH = 1_000  # events read from the log at once


def events_after(session: Session, after: int, limit: int = BATCH, *, kind: str | None = None, resource_id: str | None = None) -> list[Event]:
    """Events with an id above `after`, oldest first, each with its predecessor's id in the whole log."""
    query = select(EventRow).where(EventRow.id > after).order_by(EventRow.id).limit(limit)
    if kind is not None:
        query = query.where(EventRow.kind == kind)
    if resource_id is not None:
        query = query.where(EventRow.resource_id == resource_id)
    rows = list(session.scalars(query))
    return linked(session, rows, contiguous=kind is None and resource_id is None)


def last_events(session: Session, limit: int, *, kind: str | None = None, resource_id: str | None = None) -> list[Event]:
    """The newest events, oldest first."""
    query = select(EventRow).order_by(EventRow.id.desc()).limit(limit)
    if kind is not None:
        query = query.where(EventRow.kind == kind)
    if resource_id is not None:
        query = query.where(EventRow.resource_id == resource_id)
    rows = list(session.scalars(query))[::-1]
    return linked(session, rows, contiguous=kind is None and resource_id is None)


def linked(session: Session, rows: list[EventRow], *, contiguous: bool) -> list[Event]:
    """Rows as events; `prev` of each is the row before it in the log."""
    events = []
    before = _before(session, rows[0].id) if rows else 0
    for row in rows:
        prev = before if contiguous else _before(session, row.id)
        fields = {column: getattr(row, column) for column in ("id", "at", "type", "level", "message", "kind", "resource_id", "data")}
        events.append(Event(prev=prev, **fields))
        before = row.id
    return events


def _before(session: Session, id: int) -> int:
    return session.scalar(select(func.max(EventRow.id)).where(EventRow.id < id)) or 0


def publish_new(store: Store, client: redis.Redis, ns: str) -> int:
    """Publish what the stream lacks; return its top. Any number of processes may do this at once."""
    with store.read() as session:
        now = as_of(session)
        top = stream.top(client, ns, now.epoch)
        if top > now.event:
            return _went_back(store, client, ns, now.epoch)
        behind = max(top, now.event - stream.EVENTS_KEPT) if top == 0 else top
        found = events_after(session, behind)
    while True:
        sent = [(event.id, event.prev, event.model_dump_json()) for event in found]
        top = stream.publish(client, ns, now.epoch, sent)
        if len(found) < BATCH:
            return top
        with store.read() as session:
            found = events_after(session, top)


def _went_back(store: Store, client: redis.Redis, ns: str, epoch: str) -> int:
    """The stream knows more than the store: the store was restored. A new epoch tells every watcher."""
    with store.write() as unit:
        unit.session.execute(update(Meta).where(Meta.key == "epoch", Meta.value == epoch).values(value=str(uuid4())))
    return publish_new(store, client, ns)


