"""The studio as it was: what the log of events says of the queue at a moment."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from core.events import Event
from core.messages.base import Query, Value
from core.messages.common import Limit, Moment
from core.rules import World, rule


class JobThen(Value):
    """A job as it was. Times are unix seconds."""

    id: str
    name: str = ""
    kind: str = ""
    status: str | None = Field(description="None: the log no longer tells.")
    attempt: int = 0
    priority: int = 0
    place: int | None = Field(None, description="Of a queued one: how many had their turn before it.")
    runner_id: str | None = None
    runner: str | None = Field(None, description="The name of that runner, as far as it is known.")
    changed_at: float | None = Field(None, description="When it came into this state.")
    queued_at: float | None = Field(None, description="Since when it waited for its turn.")
    reason: str = Field("", description="What the log says of that.")


class RunnerThen(Value):
    """A runner as it was."""

    id: str
    host: str = ""
    status: str = Field(description="online, draining or lost.")
    jobs: int = 0


class QueueThenReply(Value):
    """The queue after the event `event`, the last one at or before `at`; nothing of the log after it counts."""

    at: float = Field(description="Unix seconds.")
    event: Event | None = Field(None, description="The last event by then; none: the log begins later.")
    earlier: int | None = Field(None, description="The event before it that changed something here, to look at next.")
    later: int | None = Field(None, description="The event after it that changed something here.")
    complete: bool = Field(True, description="The log tells the state of every job that was there.")
    oldest_at: float | None = Field(None, description="When the log begins.")
    counts: dict[str, int] = Field({}, description="How many jobs were in each state; `ended` are those of a minute.")
    queued: list[JobThen] = Field([], description="In the order of their turns.")
    held: list[JobThen] = Field([], description="Those that a runner had, oldest first.")
    paused: list[JobThen] = []
    ended: list[JobThen] = Field([], description="Those that ended in the minute before, newest first.")
    unknown: list[JobThen] = Field([], description="Those whose state then is not in the log any more.")
    runners: list[RunnerThen] = []


class GetQueueAt(Query[QueueThenReply]):
    """Return how the queue looked at a moment, or after an event: what waited in which order, what ran where, what ended."""

    at: Moment = Field(None, description="Unix seconds; none: now.")
    event: int | None = Field(None, ge=0, le=2**31 - 1, description="The event after which it is looked at, instead.")
    limit: Limit = 200


@rule(GetQueueAt, "TM-101", "at", passes=[{}, {"at": 1.0}, {"event": 1}], fails=[{"at": 1.0, "event": 1}])
def _one(message: GetQueueAt, world: World) -> Iterator[str]:
    """a moment is told by its time or by an event, not by both"""
    if message.at is not None and message.event is not None:
        yield "give at or event, not both"
