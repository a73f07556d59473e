"""The domain's log, for watchers that fell behind and for people."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.events import Event
from core.messages.base import Query, Value


class EventsReply(Value):
    """A page of events in order. `oldest` is the first id still kept: less than that is gone."""

    events: list[Event]
    oldest: int = 0
    has_more: bool = False


class ListEvents(Query[EventsReply]):
    """Return what happened after the event `after`, oldest first; with `last`, the newest `limit` events."""

    after: int = Field(0, ge=0)
    limit: Annotated[int, Field(ge=1, le=5000)] = 500
    last: bool = False
    kind: str | None = Field(None, description="Only events about this table.")
    resource_id: str | None = Field(None, description="Only events about this resource.")
