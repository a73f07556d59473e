"""The handler of the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from actors.handlers import handles
from actors.world import RealWorld
from core.messages.events import EventsReply, ListEvents
from core.store.eventlog import between, events_after, last_events
from core.store.tables import EventRow

SEEN = (EventRow.message, EventRow.type, EventRow.resource_id)


@handles(ListEvents)
def list_events(message: ListEvents, session: Session, world: RealWorld) -> EventsReply:
    """A page of the log."""
    oldest = session.scalar(select(func.min(EventRow.id))) or 0
    only = message.model_dump(include={"type", "level", "kind", "resource_id"})
    more = tuple(_more(session, message))
    if message.last:
        found = last_events(session, message.limit + 1, *more, plans=message.plans, **only)
        return EventsReply(events=found[-message.limit :], oldest=oldest, has_before=len(found) > message.limit)
    found = events_after(session, message.after, message.limit + 1, *more, plans=message.plans, **only)
    return EventsReply(events=found[: message.limit], oldest=oldest, has_more=len(found) > message.limit)


def _more(session: Session, message: ListEvents) -> Iterator[Any]:
    """What else of the log is asked for."""
    yield from between(session, message.since, message.until)
    if message.before is not None and message.last:
        yield EventRow.id < message.before
    for word in (message.contains or "").split():
        yield or_(*(column.icontains(word, autoescape=True) for column in SEEN))
