"""Clients of a studio: typed calls over the queue, and the event stream followed without a gap.

    with StudioClient() as studio:
        dataset = studio.call(AddDataset(type="project_csv", name="tickets", location="tickets.csv")).dataset
        for event in studio.follow():
            print(event.message)

A client finds the studio of FTS_HOME (or FTS_REDIS_URL). `program` is what the log of messages says that a command was
sent with. Every error is a ValueError (core/errors.py). A call whose reply was lost on the way is sent again with the same
key, so that it is never done twice.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import uuid4

from pydantic import BaseModel

from core import sender
from core.errors import BY_CODE, Unavailable
from core.messages.base import AsOf, Command, Message, Reply
from core.queue import wire
from core.queue.connect import AGAIN, away, connect, connect_async, is_full, refused, safe_url
from core.rules import Breach
from core.settings import Settings, read

if TYPE_CHECKING:
    from core.following import Entry, Seen
    from core.messages.adapters import AdapterMetadata
    from core.messages.datasets import DatasetMetadata
    from core.messages.evaluation import EvaluationJobMetadata
    from core.messages.fine_tuning import FineTuningJobMetadata
    from core.messages.models import ModelMetadata
    from core.messages.prompts import PromptMetadata

R = TypeVar("R", bound=BaseModel)
PAGE = 1000  # rows of a list that are asked for at once
PATIENCE = 3.0  # seconds that the first call waits for a studio that doesn't answer; one that was reached comes back


@dataclass(frozen=True)
class Answer(Generic[R]):
    """A reply's value, what is worth knowing about the request, and which state of the store it reflects."""

    value: R
    breaches: list[Breach]
    as_of: AsOf | None


class _Studio:
    """What the clients share."""

    def __init__(self, settings: Settings | None = None, program: str = "python") -> None:
        self.settings = settings or read()
        self.url, self.ns = self.settings.redis_url, self.settings.namespace
        self.sender = sender.options(program)
        self.reached = False

    def _sends(self, message: Message[Any], key: str | None, timeout: float | None) -> _Sends:
        seconds = timeout if timeout is not None else type(message).SECONDS or self.settings.reply_timeout
        return _Sends(self, message, key or (str(uuid4()) if isinstance(message, Command) else None), seconds)

    def _away(self, error: Exception) -> Unavailable:
        cause = error.__cause__ or error.__context__
        why = getattr(cause, "strerror", None) or str(error)
        if self.settings.external_redis_url is not None:
            told = f"no server answers at {safe_url(self.url)} ({why}); FTS_REDIS_URL names it"
        else:
            how = "is not up" if isinstance(cause, FileNotFoundError) else f"does not answer ({why})"
            told = f"the studio of {self.settings.root} {how}; {self.settings.started_by}"
        return Unavailable(told, part="queue")

    def _full(self, error: Exception, again: str = "") -> Unavailable:
        where = safe_url(self.url) if self.settings.external_redis_url is not None else self.settings.root
        return Unavailable(
            f"the queue of {where} takes nothing in ({str(error).partition('MISCONF ')[2] or error}): free some room there{again}",
            part="queue",
        )


class _Sends:
    """One call, however often it is sent: always with the same key, so that it is done once."""

    def __init__(self, studio: _Studio, message: Message[Any], key: str | None, seconds: float) -> None:
        self.studio, self.message, self.key, self.seconds = studio, message, key, seconds
        self.payload = message.model_dump(mode="json", exclude_unset=True)
        self.begun = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds until the caller gives up."""
        return max(0.05, self.begun + self.seconds - time.monotonic())

    def next(self) -> wire.WireMessage:
        """The message as it is sent now. What its sender will have given up on is not run later."""
        kind, until = type(self.message), time.time() + self.left
        told = self.studio.sender if self.key else {}  # what only asks is in no log
        return wire.new_message(kind.__name__, kind.QUEUE, self.payload, key=self.key, expires_at=until, sender=told)

    def failed(self, error: Exception) -> None:
        """Raise Unavailable when it is no use to try again."""
        patience = self.seconds if self.studio.reached else min(self.seconds, PATIENCE)
        nobody = not self.studio.reached and isinstance(error.__cause__ or error.__context__, FileNotFoundError)
        if nobody or time.monotonic() + AGAIN > self.begun + patience:
            raise self.studio._away(error) from None

    def answer(self, raw: dict[str, Any] | None) -> Answer[Any]:
        """The typed answer; raises what the reply says, or Unavailable when there is none."""
        self.studio.reached = True
        if raw is None:
            raise self._silent()
        reply = Reply.model_validate(raw)
        if not reply.ok:
            kind = BY_CODE[reply.code] if reply.code is not None else Unavailable
            raise kind(reply.message, reply.breaches)
        return Answer(type(self.message).REPLY.model_validate(reply.value), reply.breaches, reply.as_of)

    def full(self, error: Exception) -> Unavailable:
        """What is to be raised when the queue takes nothing in; another error of the server's is raised here."""
        if not is_full(error):
            raise error
        return self.studio._full(error, self._again())

    def _again(self) -> str:
        return f"; the key {self.key} sends it again without doing it twice" if self.key else ""

    def _silent(self) -> Unavailable:
        name = type(self.message).__name__
        return Unavailable(
            f"no reply to {name} within {self.seconds:g} s: the actors are away or busy, `fts status` tells{self._again()}",
            part="actors",
        )


class StudioClient(_Studio):
    """A client for threads: safe to share, one connection a call under way."""

    def __init__(self, settings: Settings | None = None, program: str = "python") -> None:
        super().__init__(settings, program)
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
        sends = self._sends(message, key, timeout)
        while True:
            try:
                return sends.answer(wire.ask(self.redis, self.ns, sends.next(), sends.left))
            except away() as error:
                sends.failed(error)
                time.sleep(AGAIN)
            except refused() as error:
                raise sends.full(error) from None

    def send(self, message: Message[Any], *, key: str | None = None) -> str:
        """Put the message into its queue without waiting for a reply; return its key."""
        key, kind = key or str(uuid4()), type(message)
        payload = message.model_dump(mode="json", exclude_unset=True)
        try:
            sent = wire.new_message(kind.__name__, kind.QUEUE, payload, key=key, sender=self.sender)
            wire.enqueue(self.redis, self.ns, sent)
        except away() as error:
            raise self._away(error) from None
        except refused() as error:
            raise (self._full(error) if is_full(error) else error) from None
        return key

    def follow(self, after: AsOf | None = None) -> Iterator[Seen]:
        """Every event after `after` (none: from now on), in order and without a gap, for ever.

        What fell out of the stream comes from the log. Away and Back (core/following.py) tell of outages, Reset of another store.
        """
        from core import following  # late: who only asks does not pay for it

        return following.follow(self, after)

    def follow_job(self, job_id: str, records_id: str = "0-0", *, block: float = 1.0) -> Iterator[Entry | None]:
        """Entries {"attempt", "from", "to", "records"} of a job's stream after `records_id`, live; None after `block` idle seconds.

        Offsets tell what was seen before: GetJobMetrics gives (attempt, offset, records_id) to begin with.
        """
        from core import following  # late: who only asks does not pay for it

        return following.follow_job(self, job_id, records_id, block)

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

    def rows(self, name: str, field: str, **filters: Any) -> Iterator[Any]:
        """Every row that the list `name` answers in `field`, page by page, each once; what is removed meanwhile stops nothing."""
        from core.messages import REGISTRY

        seen: set[str] = set()
        place: str | None = None
        while True:
            page: Any = self.call(REGISTRY[name].model_validate({**filters, "limit": PAGE, "after": place}))
            for row in getattr(page, field):
                if row.id not in seen:  # it may have moved behind the place meanwhile
                    seen.add(row.id)
                    yield row
            if not page.has_more or page.ends is None:
                return
            place = page.ends

    def _all(self, name: str, field: str) -> list[Any]:
        return list(self.rows(name, field))


class AsyncStudioClient(_Studio):
    """The asyncio twin: `await studio.call(...)`, `async for event in studio.follow()`."""

    def __init__(self, settings: Settings | None = None, program: str = "python") -> None:
        super().__init__(settings, program)
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

        sends = self._sends(message, key, timeout)
        while True:
            try:
                return sends.answer(await wire.ask_async(self.redis, self.ns, sends.next(), sends.left))
            except away() as error:
                sends.failed(error)
                await asyncio.sleep(AGAIN)
            except refused() as error:
                raise sends.full(error) from None

    def follow(self, after: AsOf | None = None) -> AsyncIterator[Seen]:
        """Every event after `after` (none: from now on), in order and without a gap, for ever; like StudioClient's."""
        from core import following  # late: who only asks does not pay for it

        return following.follow_async(self, after)

    def follow_job(self, job_id: str, records_id: str = "0-0", *, block: float = 1.0) -> AsyncIterator[Entry | None]:
        """A job's records, live; like StudioClient's."""
        from core import following  # late: who only asks does not pay for it

        return following.follow_job_async(self, job_id, records_id, block)
