"""From streams to Textual messages: bursts become one message, ten times a second at most."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from textual.message import Message

EVERY = 0.1  # seconds between messages of one stream


class StudioChanged(Message):
    """Things happened: events as plain data, in order."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        super().__init__()
        self.events = events

    @property
    def tables(self) -> set[str]:
        """The tables that the events are about."""
        return {str(event["kind"]) for event in self.events}


class JobRecords(Message):
    """A job's child wrote records: entries {"attempt", "from", "to", "records"}, in order."""

    def __init__(self, job_id: str, entries: list[dict[str, Any]]) -> None:
        super().__init__()
        self.job_id, self.entries = job_id, entries


class Lost(Message):
    """The queue, the actors or the store (`part`) can't be reached."""

    def __init__(self, reason: str, part: str = "queue") -> None:
        super().__init__()
        self.reason, self.part = reason, part


class Restored(Message):
    """The connection is back, or the store is another one: what is shown is to be asked for again."""


class Coalescer:
    """Collects what comes; the first goes at once, what follows within a tenth of a second goes together."""

    def __init__(self, send: Callable[[list[Any]], object]) -> None:
        self.send = send
        self.lock = threading.Lock()
        self.waiting: list[Any] = []
        self.last = 0.0
        self.timer: threading.Timer | None = None

    def add(self, items: Sequence[Any]) -> None:
        """Take items in."""
        with self.lock:
            self.waiting += items
            if self.timer is not None:
                return
            left = EVERY - (time.monotonic() - self.last)
            if left > 0:
                self.timer = threading.Timer(left, self._flush)
                self.timer.daemon = True
                self.timer.start()
                return
        self._flush()

    def _flush(self) -> None:
        with self.lock:
            items, self.waiting = self.waiting, []
            self.timer, self.last = None, time.monotonic()
        if items:
            self.send(items)
