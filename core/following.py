"""Following the event stream without a gap, and a job's records: the part of the clients that watches.

The stream is quick but short; the log is complete. A watcher reads the stream, goes to the log with ListEvents when
something is missing, and is told by Reset when the store is another one now.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import Unavailable
from core.events import Event
from core.messages.base import AsOf
from core.messages.events import EventsReply, ListEvents
from core.queue import stream
from core.queue.connect import AGAIN, away

if TYPE_CHECKING:
    from core.client import Answer, AsyncStudioClient, StudioClient

PAUSE = 0.1  # seconds between looks when neither stream nor log can tell what is missing
PAGE = 1000


@dataclass(frozen=True)
class Reset:
    """The store is another one now (restored or new), or forgot what came between: ask again for all that you show."""

    as_of: AsOf


@dataclass(frozen=True)
class Away:
    """The studio can't be reached; the watcher tries again by itself. `part` is what is away: queue, actors or store."""

    reason: str
    part: str = "queue"


@dataclass(frozen=True)
class Back:
    """The studio is reachable again, and nothing was missed."""


Seen = Event | Reset | Away | Back
_NOW = ListEvents(last=True, limit=1)


class Watch:
    """Where a watcher is, and what it is to be shown next; it reads nothing itself."""

    def __init__(self, after: AsOf | None) -> None:
        self.place = after
        self.lost = False

    def begin(self, answer: Answer[EventsReply]) -> AsOf:
        """Watch from the state that `answer` reflects."""
        self.place = answer.as_of or AsOf(epoch="", event=0)
        return self.place

    def read(self, found: list[dict[str, Any]]) -> list[Seen]:
        """What came from the stream."""
        shown: list[Seen] = [Back()] if self.lost else []
        self.lost = False
        return shown + [self._moved(Event.model_validate(each)) for each in found]

    def healed(self, answer: Answer[EventsReply]) -> list[Seen]:
        """What the log knows beyond the place; a Reset when it is another log, or no longer reaches back."""
        place, now, found = self.place, answer.as_of, answer.value.events
        if place is None or now is None:
            return []
        if now.epoch != place.epoch or (found and found[0].prev != place.event):
            self.place = now
            return [Reset(now)]
        return [self._moved(each) for each in found]

    def away(self, error: Exception) -> list[Seen]:
        """The studio could not be reached: said once."""
        if self.lost:
            return []
        self.lost = True
        return [Away(str(error), error.part or "store" if isinstance(error, Unavailable) else "queue")]

    def _moved(self, event: Event) -> Event:
        self.place = AsOf(epoch=self.place.epoch if self.place else "", event=event.id)
        return event


def _out() -> tuple[type[Exception], ...]:
    return (*away(), Unavailable)


def follow(studio: StudioClient, after: AsOf | None) -> Iterator[Seen]:
    """Every event after `after` (none: from now on), in order and without a gap, for ever."""
    watch = Watch(after)
    while True:
        try:
            place = watch.place or watch.begin(studio.ask(_NOW))
            found, gap = stream.read_events(studio.redis, studio.ns, place.epoch, place.event)
            yield from watch.read(found)
            if gap is not None and watch.place is not None:
                healed = watch.healed(studio.ask(ListEvents(after=watch.place.event, limit=PAGE)))
                yield from healed
                if not healed:
                    time.sleep(PAUSE)
        except _out() as error:
            yield from watch.away(error)
            time.sleep(AGAIN)


async def follow_async(studio: AsyncStudioClient, after: AsOf | None) -> AsyncIterator[Seen]:
    """The asyncio twin of `follow`."""
    import asyncio  # late, as in all of the clients: scripts that don't wait that way don't pay for it

    watch = Watch(after)
    while True:
        shown: list[Seen] = []
        try:
            place = watch.place or watch.begin(await studio.ask(_NOW))
            found, gap = await stream.read_events_async(studio.redis, studio.ns, place.epoch, place.event)
            shown = watch.read(found)
            if gap is not None and watch.place is not None:
                healed = watch.healed(await studio.ask(ListEvents(after=watch.place.event, limit=PAGE)))
                shown += healed
                if not healed:
                    await asyncio.sleep(PAUSE)
        except _out() as error:
            shown += watch.away(error)
            await asyncio.sleep(AGAIN)
        for each in shown:
            yield each


Entry = dict[str, Any]  # {"attempt", "from", "to", "records"}


def follow_job(studio: StudioClient, job_id: str, records_id: str, block: float) -> Iterator[Entry | None]:
    """Entries of a job's stream after `records_id`, live; None after `block` idle seconds."""
    while True:
        try:
            entries = list(stream.read_records(studio.redis, studio.ns, job_id, records_id, int(block * 1000)))
        except away():
            time.sleep(AGAIN)
            entries = []
        for records_id, entry in entries:  # noqa: B007  # the last one's id is where to go on
            yield entry
        if not entries:
            yield None


async def follow_job_async(
    studio: AsyncStudioClient, job_id: str, records_id: str, block: float
) -> AsyncIterator[Entry | None]:
    """The asyncio twin of `follow_job`."""
    import asyncio

    while True:
        try:
            entries = await stream.read_records_async(studio.redis, studio.ns, job_id, records_id, int(block * 1000))
        except away():
            await asyncio.sleep(AGAIN)
            entries = []
        for records_id, entry in entries:  # noqa: B007  # the last one's id is where to go on
            yield entry
        if not entries:
            yield None
