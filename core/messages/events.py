"""The domain's log, for watchers that fell behind and for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import Field

from core.events import EVENT_TYPES, KINDS, LEVELS, Event
from core.messages.base import Query, Value
from core.messages.common import LARGEST_COUNT, Moment, known
from core.rules import Breach, World, rule


class EventsReply(Value):
    """A page of events in order. `oldest` is the first id still kept: less than that is gone."""

    events: list[Event]
    oldest: int = 0
    has_more: bool = False
    has_before: bool = Field(False, description="With `last`: there are earlier ones; `before` the first of these.")


class ListEvents(Query[EventsReply]):
    """Return what happened after the event `after`, oldest first; with `last`, the newest `limit` events."""

    after: int = Field(0, ge=0, description="The id of the event after which the page begins.")
    limit: Annotated[int, Field(ge=1, le=5000)] = 500
    last: bool = Field(False, description="The newest events instead of the oldest, still in order.")
    before: int | None = Field(
        None, ge=0, le=LARGEST_COUNT, description="With `last`: the newest events before this one, to page backwards."
    )
    since: Moment = Field(None, description="Only what happened then or later; unix seconds.")
    until: Moment = Field(None, description="Only what happened before; unix seconds.")
    contains: str | None = Field(
        None, max_length=1000, description="Only events whose message, type or ids hold each word of this text."
    )
    plans: bool = Field(True, description="Also events about plans, which are jobs of seconds that nobody keeps.")
    type: str | None = Field(None, description="Only events of this type.", json_schema_extra=known(EVENT_TYPES))
    level: str | None = Field(None, description="Only events of this level.", json_schema_extra=known(LEVELS))
    kind: str | None = Field(
        None, description="Only events about resources of this table.", json_schema_extra=known(KINDS)
    )
    resource_id: str | None = Field(None, description="Only events about this resource.")


@rule(
    ListEvents,
    "MS-107",
    "type",
    passes=[{}, {"type": "JobFailed", "level": "error", "kind": "jobs"}],
    fails=[{"type": "JobExploded"}, {"level": "fatal"}, {"kind": "dataset"}],
)
def _filters(message: ListEvents, world: World) -> Iterator[Breach]:
    """a log is filtered by types, levels and tables that there are"""
    for name, values in (("type", EVENT_TYPES), ("level", LEVELS), ("kind", KINDS)):
        yield from _known(name, getattr(message, name), values)


def _known(name: str, value: str | None, known: Iterable[str]) -> Iterator[Breach]:
    if value is not None and value not in known:
        text = f"{name} must be one of {', '.join(known)}, not {value!r}"
        yield Breach(rule="MS-107", field=name, message=text)
