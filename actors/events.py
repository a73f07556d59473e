"""The handler of the log."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from actors.handlers import handles
from actors.world import RealWorld
from core.messages.events import EventsReply, ListEvents
from core.store.eventlog import events_after, last_events
from core.store.tables import EventRow


@handles(ListEvents)
def list_events(message: ListEvents, session: Session, world: RealWorld) -> EventsReply:
    """A page of the log."""
    oldest = session.scalar(select(func.min(EventRow.id))) or 0
    only = message.model_dump(include={"type", "level", "kind", "resource_id"})
    if message.last:
        found = last_events(session, message.limit, plans=message.plans, **only)
        return EventsReply(events=found, oldest=oldest)
    found = events_after(session, message.after, message.limit + 1, plans=message.plans, **only)
    return EventsReply(events=found[: message.limit], oldest=oldest, has_more=len(found) > message.limit)
