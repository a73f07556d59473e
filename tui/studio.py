"""The dashboard's end of the queue: calls in threads, and the stream as Textual messages.

Nothing here is imported before the first frame: the client brings pydantic and redis with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from tui import settle
from tui.pump import Coalescer, JobRecords, Lost, Restored, StudioChanged

FIRST = 3  # seconds that the watcher waits for the first answer, to begin where that one ends


class Client(Protocol):
    """What the dashboard needs of a client (core.client.StudioClient)."""

    def ask(self, message: Any, *, key: str | None = None, timeout: float | None = None) -> Any:
        """Send a message; an answer with value, breaches, as_of."""

    def follow(self, after: Any = None) -> Iterator[Any]:
        """Events, and marks of outages."""

    def follow_job(
        self, job_id: str, records_id: str = "0-0", *, block: float = 1.0
    ) -> Iterator[dict[str, Any] | None]:
        """A job's records, live."""


def connect() -> Client:
    """The client of the studio of FTS_HOME or FTS_REDIS_URL."""
    from core.client import StudioClient

    return StudioClient(program="dashboard")


class Studio:
    """One connection for the whole dashboard. `post` hands a Textual message to the app, from any thread."""

    def __init__(self, make: Callable[[], Client], post: Callable[[Any], object], *, readonly: bool = False) -> None:
        self.make, self.post, self.readonly = make, post, readonly
        self.lock = threading.Lock()
        self.made: Client | None = None
        self.closing = threading.Event()
        self.asked = threading.Event()
        self.heard = 0.0  # when the last answer came, in unix seconds
        self.seen: Any = None  # the state that the first answer reflects: events are followed from there

    @property
    def client(self) -> Client:
        """The client, made when it is first needed."""
        with self.lock:
            if self.made is None:
                self.made = self.make()
            return self.made

    def ask(self, name: str, fields: dict[str, Any], timeout: float | None = None, key: str | None = None) -> Any:
        """Send the message `name`; an answer with value and breaches. Blocks: call it in a thread. Raises core.errors.

        A command goes through Dashboard.act; a dashboard that only looks sends none, whoever asks for it.
        """
        from core.messages import parse

        return self.put(parse(name, fields), timeout, key)

    def put(self, message: Any, timeout: float | None = None, key: str | None = None) -> Any:
        """Send a message; like `ask`."""
        from core.messages import Command

        writes = isinstance(message, Command) or getattr(message, "path", None) is not None  # an export into a file
        if self.readonly and writes:
            raise self.refusal()
        answer = self.client.ask(message, key=key, timeout=timeout)
        self.heard = time.time()
        if not self.asked.is_set():
            self.seen = answer.as_of
            self.asked.set()
            settle()
        return answer

    def refusal(self) -> Exception:
        """Why a dashboard that only looks sends nothing."""
        from core.errors import Refused

        return Refused(
            "nothing was sent: this dashboard only looks (--readonly); open one without it to change something"
        )

    def rows(self, name: str, field: str, **fields: Any) -> tuple[list[dict[str, Any]], bool]:
        """The rows of a list message as plain data, and whether there are more."""
        value = self.ask(name, fields, timeout=10).value
        return [row.model_dump(mode="json") for row in getattr(value, field)], bool(getattr(value, "has_more", False))

    def part(self, name: str, field: str, **fields: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """A part of a list as plain data, and what is told of it (core.messages.common.Page)."""
        value = self.ask(name, fields, timeout=10).value.model_dump(mode="json")
        return value.pop(field), value

    def watch(self) -> None:
        """Follow the studio's events in a thread, until closed."""
        threading.Thread(target=self._watch, name="events", daemon=True).start()

    def _watch(self) -> None:
        self.asked.wait(FIRST)  # before the imports, which would slow the first answer down
        from core.events import Event
        from core.following import Away, Back, Reset

        changes = Coalescer(lambda events: self.post(StudioChanged(events)))
        while not self.closing.is_set():
            try:
                for seen in self.client.follow(self.seen):
                    if self.closing.is_set():
                        return
                    if isinstance(seen, Event):
                        changes.add([seen.model_dump(mode="json")])
                    elif isinstance(seen, Away):
                        self.post(Lost(seen.reason, seen.part))
                    elif isinstance(seen, Back | Reset):
                        self.post(Restored())
            except Exception as error:  # the dashboard outlives whatever the connection throws
                self.post(Lost(str(error)))
                self.closing.wait(1)
                self.seen = None
                self.post(Restored())

    def watch_job(self, job_id: str, records_id: str, stop: threading.Event) -> None:
        """Follow a job's records in a thread, until `stop` is set."""

        def watch() -> None:
            records = Coalescer(lambda entries: self.post(JobRecords(job_id, entries)))
            while not (stop.is_set() or self.closing.is_set()):
                try:
                    for entry in self.client.follow_job(job_id, records_id, block=0.5):
                        if stop.is_set() or self.closing.is_set():
                            return
                        if entry is not None:
                            records.add([entry])
                except Exception:  # offsets tell what was seen before, so it begins again
                    stop.wait(1)

        threading.Thread(target=watch, name=f"records {job_id[:8]}", daemon=True).start()

    def close(self) -> None:
        """Let the threads end."""
        self.closing.set()
