"""The daemon's line to the studio: register, report, be woken. It outlives any absence of the queue or the actors.

Two threads wait in place of the daemon: one for the reply to what it sent, one for the wake-up. One report is in flight at
a time; while the studio is away the daemon keeps the newest state only, since every report says everything.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import redis
from pydantic import ValidationError

from core import sender
from core.errors import BY_CODE, StudioError, Unavailable
from core.messages.base import Message, Reply
from core.messages.runners import RegisteredReply, RegisterRunner, ReportProgress, ReportReply
from core.queue.connect import connect
from core.queue.stream import await_wake
from core.queue.wire import ask, new_message
from core.text import plain

if TYPE_CHECKING:
    from pydantic import BaseModel

log = logging.getLogger(__name__)
REPLY_SECONDS = 4.0  # a reply that takes longer is not waited for: the next report says the same and more
SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 2.0  # between attempts while the studio is away
LONGEST_WAIT = 10.0  # of one blocking read for a wake-up


@dataclass(frozen=True)
class Registration:
    """Who this daemon is to the studio."""

    runner_id: str
    incarnation: int
    marker: str
    engines: list[str]


class Link:
    """The line. `offer` says what to register with, `keep` hears the id given, `bell` is rung when there is something to take."""

    def __init__(
        self,
        url: str,
        ns: str,
        offer: Callable[[], RegisterRunner],
        keep: Callable[[str], None],
        bell: Callable[[], None],
    ) -> None:
        self._client, self._ns, self._offer, self._keep, self._bell = connect(url), ns, offer, keep, bell
        self.registration: Registration | None = None
        self.next_report_seconds = 1.0
        self._in_flight = False
        self._closed = threading.Event()
        self._woken = threading.Event()
        self._outbox: queue.SimpleQueue[ReportProgress | None] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[ReportReply | None] = queue.SimpleQueue()
        self._away = False
        self._asking: tuple[str, RegisterRunner] | None = None
        for target in (self._talk, self._listen):
            threading.Thread(target=target, name=target.__name__, daemon=True).start()

    @property
    def idle(self) -> bool:
        """Whether a report can be sent now."""
        return self.registration is not None and not self._in_flight

    def send(self, report: ReportProgress) -> None:
        """Send a report; only when idle."""
        self._in_flight = True
        self._woken.clear()
        self._outbox.put(report)

    def take(self) -> tuple[bool, ReportReply | None]:
        """Whether an answer came, and the answer: None when the report failed (the pause after that has passed)."""
        try:
            reply = self._inbox.get_nowait()
        except queue.Empty:
            return False, None
        self._in_flight = False
        return True, reply

    @property
    def woken(self) -> bool:
        """Whether the studio asked for a report since the last one was sent."""
        return self._woken.is_set()

    def register_again(self) -> None:
        """Forget the registration; the next one makes reports of this incarnation stale. Only when idle."""
        self.registration = None
        self._outbox.put(None)

    def close(self) -> None:
        """Say nothing more."""
        self._closed.set()
        self._outbox.put(None)

    def _talk(self) -> None:
        pause = SHORTEST_PAUSE
        while not self._closed.is_set():
            report = self._outbox.get() if self.registration is not None else None
            try:
                if report is not None:
                    self._inbox.put(self._ask(report, ReportReply))
                    pause = SHORTEST_PAUSE
                    self._back()
                elif self.registration is None and not self._closed.is_set():
                    self._register()
            except StudioError as error:
                self._complain(error)
                self._closed.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                if report is not None:
                    self._inbox.put(None)
            self._bell()

    def _register(self) -> None:
        """Register, asking again with the same key and words: a lost reply must not count as a second daemon."""
        key, offer = self._asking = self._asking or (str(uuid4()), self._offer())
        try:
            reply = self._ask(offer, RegisteredReply, key)
        except Unavailable:
            raise
        except StudioError:
            self._asking = None  # it was answered, and not as hoped: the next one is another request
            raise
        self._asking = None
        self._keep(reply.runner_id)
        self.next_report_seconds = reply.next_report_seconds
        self.registration = Registration(reply.runner_id, reply.incarnation, offer.marker, offer.engines)
        log.info("registered as %s, incarnation %d", reply.runner_id, reply.incarnation)

    def _ask(self, message: Message[Any], kind: type[BaseModel], key: str | None = None) -> Any:
        """Send and wait; raise Unavailable without an answer, or the answer's error."""
        payload = message.model_dump(mode="json", exclude_unset=True)
        until, told = time.time() + REPLY_SECONDS, sender.options("runner") if key else {}
        wire = new_message(type(message).__name__, message.QUEUE, payload, key=key, expires_at=until, sender=told)
        try:
            found = ask(self._client, self._ns, wire, REPLY_SECONDS)
        except (redis.RedisError, OSError) as error:
            raise Unavailable(f"the queue can't be reached: {error}") from error
        if found is None:
            raise Unavailable(f"no answer to {wire.name} in {REPLY_SECONDS:.0f} s")
        try:
            reply = Reply.model_validate(found)
            if reply.ok:
                return kind.model_validate(reply.value)
        except ValidationError as error:
            raise Unavailable(f"the answer to {wire.name} can't be read: {error}") from error
        raise BY_CODE[reply.code](reply.message, reply.breaches) if reply.code else Unavailable(reply.message)

    def _listen(self) -> None:
        while not self._closed.is_set():
            registration = self.registration
            if registration is None:
                self._closed.wait(0.2)
                continue
            try:
                if await_wake(self._client, self._ns, registration.runner_id, LONGEST_WAIT):
                    self._woken.set()
                    self._bell()
            except (redis.RedisError, OSError):
                self._closed.wait(LONGEST_PAUSE)  # the talking thread says so

    def _complain(self, error: StudioError) -> None:
        if not self._away:
            log.warning("the studio can't be told, jobs go on and this is tried again: %s", plain(str(error)))
        self._away = True

    def _back(self) -> None:
        if self._away:
            log.info("the studio is told again")
        self._away = False
