"""Clients of a studio: typed calls over the queue, and the event stream followed without a gap.

    with StudioClient() as studio:
        dataset = studio.call(AddDataset(type="project_csv", name="tickets", location="tickets.csv")).dataset
        for event in studio.follow():
            print(event.message)

A client finds the studio of FTS_HOME (or FTS_REDIS_URL). Every error is a ValueError (core/errors.py). A call whose
reply was lost on the way is sent again with the same key, so that it is never done twice.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import uuid4

import redis
from pydantic import BaseModel

from core.errors import BY_CODE, Unavailable
from core.events import Event
from core.messages.base import AsOf, Command, Message, Reply
from core.messages.events import ListEvents
from core.queue import stream, wire
from core.queue.connect import connect, connect_async, safe_url
from core.rules import Breach
from core.settings import Settings

if TYPE_CHECKING:
    from core.messages.adapters import AdapterMetadata
    from core.messages.datasets import DatasetMetadata
    from core.messages.evaluation import EvaluationJobMetadata
    from core.messages.fine_tuning import FineTuningJobMetadata
    from core.messages.models import ModelMetadata
    from core.messages.prompts import PromptMetadata

R = TypeVar("R", bound=BaseModel)
AGAIN = 0.5  # seconds between tries while the queue is away
PAGE = 1000
AWAY = (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError)


@dataclass(frozen=True)
class Answer(Generic[R]):
    """A reply's value, what is worth knowing about the request, and which state of the store it reflects."""

    value: R
    breaches: list[Breach]
    as_of: AsOf | None


@dataclass(frozen=True)
class Reset:
    """The store is another one now (restored or new): what a watcher knows is to be asked for again."""

    as_of: AsOf


@dataclass(frozen=True)
class Away:
    """The queue can't be reached; the watcher tries again by itself."""

    reason: str


@dataclass(frozen=True)
class Back:
    """The queue is reachable again, and nothing was missed."""


Seen = Event | Reset | Away | Back


class _Studio:
    """What the clients share."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.url, self.ns = self.settings.redis_url, self.settings.namespace

    def _message(self, message: Message[Any], key: str | None, timeout: float) -> wire.WireMessage:
        kind = type(message)
        payload = message.model_dump(mode="json", exclude_unset=True)
        return wire.new_message(kind.__name__, kind.QUEUE, payload, key=key, expires_at=time.time() + timeout)

    def _timeout(self, message: Message[Any], timeout: float | None) -> float:
        return timeout if timeout is not None else type(message).SECONDS or self.settings.reply_timeout

    def _away(self, error: Exception) -> Unavailable:
        return Unavailable(f"no studio answers at {safe_url(self.url)} ({error}); `fts up` starts one")

    def _silent(self, message: Message[Any], timeout: float) -> Unavailable:
        return Unavailable(
            f"no reply to {type(message).__name__} within {timeout:g} s: the actors are away or busy; "
            "`fts status` shows them, and the same key sends it again without doing it twice"
        )


def _answer(message: Message[R], raw: dict[str, Any]) -> Answer[R]:
    reply = Reply.model_validate(raw)
    if not reply.ok:
        kind = BY_CODE[reply.code] if reply.code is not None else Unavailable
        raise kind(reply.message, reply.breaches)
    value: Any = type(message).REPLY.model_validate(reply.value)
    return Answer(value, reply.breaches, reply.as_of)


def _key(message: Message[Any], key: str | None) -> str | None:
    return key or (str(uuid4()) if isinstance(message, Command) else None)


class StudioClient(_Studio):
    """A client for threads: safe to share, one connection a call under way."""

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self.redis = connect(self.url)

    def __enter__(self) -> StudioClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.redis.close()

    def call(self, message: Message[R], *, key: str | None = None, timeout: float | None = None) -> R:
        """Send the message and return its reply's value; raises the errors of core.errors."""
        return self.ask(message, key=key, timeout=timeout).value

    def ask(self, message: Message[R], *, key: str | None = None, timeout: float | None = None) -> Answer[R]:
        """Like `call`, with the advisory breaches and the state of the store that the reply reflects."""
        key, wait = _key(message, key), self._timeout(message, timeout)
        deadline = time.monotonic() + wait
        while True:
            try:
                raw = wire.ask(self.redis, self.ns, self._message(message, key, wait), max(0.05, deadline - time.monotonic()))
                break
            except AWAY as error:
                if time.monotonic() + AGAIN > deadline or isinstance(error.__cause__ or error.__context__, FileNotFoundError):
                    raise self._away(error) from None
                time.sleep(AGAIN)
        if raw is None:
            raise self._silent(message, wait)
        return _answer(message, raw)

    def send(self, message: Message[Any], *, key: str | None = None) -> str:
        """Put the message into its queue without waiting for a reply; return its key."""
        key = key or str(uuid4())
        payload = message.model_dump(mode="json", exclude_unset=True)
        try:
            wire.enqueue(self.redis, self.ns, wire.new_message(type(message).__name__, type(message).QUEUE, payload, key=key))
        except AWAY as error:
            raise self._away(error) from None
        return key

    def follow(self, after: AsOf | None = None) -> Iterator[Seen]:
        """Every event after `after` (none: from now on), in order and without a gap, for ever.

        What fell out of the stream comes from the log. Away and Back tell of outages, Reset of another store.
        """
        place = after
        away = False
        while True:
            try:
                if place is None:
                    place = self._now()
                events, gap = stream.read_events(self.redis, self.ns, place.epoch, place.event)
                if away:
                    away = False
                    yield Back()
                for event in events:
                    place = AsOf(epoch=place.epoch, event=event["id"])
                    yield Event.model_validate(event)
                if gap is not None:
                    for seen in self._heal(place):
                        place = seen.as_of if isinstance(seen, Reset) else AsOf(epoch=place.epoch, event=seen.id)
                        yield seen
            except (*AWAY, Unavailable) as error:
                if not away:
                    away = True
                    yield Away(str(error))
                time.sleep(AGAIN)

    def _now(self) -> AsOf:
        answer = self.ask(ListEvents(last=True, limit=1))
        return answer.as_of or AsOf(epoch="", event=0)

    def _heal(self, place: AsOf) -> Iterator[Event | Reset]:
        """What the stream lacks, from the log; a Reset when the log is another one or no longer reaches back."""
        after = place.event
        while True:
            answer = self.ask(ListEvents(after=after, limit=PAGE))
            now = answer.as_of or place
            if now.epoch != place.epoch or (answer.value.oldest > after + 1 and after):
                yield Reset(now)
                return
            yield from answer.value.events
            if not answer.value.has_more:
                return
            after = answer.value.events[-1].id

    def follow_job(self, job_id: str, records_id: str = "0-0", *, block: float = 1.0) -> Iterator[dict[str, Any] | None]:
        """Entries {"attempt", "from", "to", "records"} of a job's stream after `records_id`, live; None after `block` idle seconds.

        Offsets tell what was seen before: GetJobMetrics gives (attempt, offset, records_id) to begin with.
        """
        while True:
            try:
                entries = list(stream.read_records(self.redis, self.ns, job_id, records_id, int(block * 1000)))
            except AWAY:
                time.sleep(AGAIN)
                yield None
                continue
            for records_id, entry in entries:
                yield entry
            if not entries:
                yield None

    def get_datasets(self) -> list[DatasetMetadata]:
        """All datasets (guide, convenience methods)."""
        return self._all("ListDatasets", "datasets")

    def get_models(self) -> list[ModelMetadata]:
        """All base models."""
        return self._all("ListModels", "models")

    def get_adapters(self) -> list[AdapterMetadata]:
        """All adapters."""
        return self._all("ListAdapters", "adapters")

    def get_prompts(self) -> list[PromptMetadata]:
        """All prompts."""
        return self._all("ListPrompts", "prompts")

    def get_fine_tuning_jobs(self) -> list[FineTuningJobMetadata]:
        """All fine-tuning jobs, newest first."""
        return self._all("ListFineTuningJobs", "fine_tuning_jobs")

    def get_evaluation_jobs(self) -> list[EvaluationJobMetadata]:
        """All evaluation jobs, newest batch first."""
        return self._all("ListEvaluationJobs", "evaluation_jobs")

    def _all(self, name: str, field: str) -> list[Any]:
        from core.messages import REGISTRY

        rows: list[Any] = []
        while True:
            page: Any = self.call(REGISTRY[name].model_validate({"limit": PAGE, "after": rows[-1].id if rows else None}))
            rows += getattr(page, field)
            if not page.has_more:
                return rows


class AsyncStudioClient(_Studio):
    """The asyncio twin: `await studio.call(...)`, `async for event in studio.follow()`."""

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self.redis = connect_async(self.url)

    async def __aenter__(self) -> AsyncStudioClient:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.redis.aclose()

    async def call(self, message: Message[R], *, key: str | None = None, timeout: float | None = None) -> R:
        """Send the message and return its reply's value; raises the errors of core.errors."""
        return (await self.ask(message, key=key, timeout=timeout)).value

    async def ask(self, message: Message[R], *, key: str | None = None, timeout: float | None = None) -> Answer[R]:
        """Like `call`, with the advisory breaches and the state of the store that the reply reflects."""
        import asyncio

        key, wait = _key(message, key), self._timeout(message, timeout)
        deadline = time.monotonic() + wait
        while True:
            try:
                left = max(0.05, deadline - time.monotonic())
                raw = await wire.ask_async(self.redis, self.ns, self._message(message, key, wait), left)
                break
            except AWAY as error:
                if time.monotonic() + AGAIN > deadline:
                    raise self._away(error) from None
                await asyncio.sleep(AGAIN)
        if raw is None:
            raise self._silent(message, wait)
        return _answer(message, raw)

    async def follow(self, after: AsOf | None = None) -> AsyncIterator[Event | Reset]:
        """Every event after `after` (none: from now on), in order and without a gap; outages are waited out."""
        import asyncio

        place = after
        while True:
            try:
                if place is None:
                    place = (await self.ask(ListEvents(last=True, limit=1))).as_of or AsOf(epoch="", event=0)
                events, gap = await stream.read_events_async(self.redis, self.ns, place.epoch, place.event)
                for event in events:
                    place = AsOf(epoch=place.epoch, event=event["id"])
                    yield Event.model_validate(event)
                while gap is not None:
                    answer = await self.ask(ListEvents(after=place.event, limit=PAGE))
                    now = answer.as_of or place
                    if now.epoch != place.epoch:
                        place = now
                        yield Reset(now)
                        break
                    for each in answer.value.events:
                        place = AsOf(epoch=place.epoch, event=each.id)
                        yield each
                    if not answer.value.has_more:
                        gap = None
            except (*AWAY, Unavailable):
                await asyncio.sleep(AGAIN)
