"""What goes wrong at Cloudera's, on demand: which requests, how often, and how."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

CODES = {
    400: 3,
    401: 16,
    403: 7,
    404: 5,
    409: 6,
    429: 8,
    500: 13,
    502: 14,
    503: 14,
    504: 4,
}  # gRPC's, as its gateway tells


class Refused(Exception):
    """An answer that is an error, as gRPC's gateway words it."""

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after

    def body(self) -> dict[str, Any]:
        return {"error": self.message, "code": CODES.get(self.status, 2), "message": self.message, "details": []}


class Page(Exception):
    """The answer is a page of something that stands before the API."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class Cut(Exception):
    """The connection ends without an answer."""


@dataclass
class Fault:
    """`where` is searched in "VERB /path"; `kind`: answer or page (with `status`), slow, never, reset (nothing was done), lost (it was)."""

    kind: str
    where: str
    times: float
    status: int = 500
    seconds: float = 0.0
    retry_after: float | None = None


@dataclass
class Faults:
    """The faults that are to come, in the order in which they were asked for."""

    coming: list[Fault] = field(default_factory=list)
    met: list[str] = field(default_factory=list)  # the requests that one met
    lock: threading.Lock = field(default_factory=threading.Lock)
    healed: threading.Event = field(default_factory=threading.Event)
    plan: Callable[[str], Fault | None] | None = None  # asked at each request that no fault was asked for

    def add(self, fault: Fault) -> None:
        with self.lock:
            self.healed.clear()
            self.coming.append(fault)

    def heal(self) -> None:
        """Everything works again; whoever waits for an answer that never comes is cut off."""
        with self.lock:
            self.coming.clear()
            self.healed.set()

    def take(self, asked: str) -> Fault | None:
        """The fault that this request meets."""
        with self.lock:
            for fault in self.coming:
                if re.search(fault.where, asked):
                    fault.times -= 1
                    if fault.times <= 0:
                        self.coming.remove(fault)
                    self.met.append(asked)
                    return fault
        return self.plan(asked) if self.plan else None

    def before(self, fault: Fault) -> None:
        """What happens before the work is done."""
        if fault.kind == "answer":
            raise Refused(fault.status, f"a fault was asked for: {fault.status}", fault.retry_after)
        if fault.kind == "page":
            raise Page(fault.status)
        if fault.kind in {"slow", "never"}:
            self.healed.wait(None if fault.kind == "never" else fault.seconds)
        if fault.kind in {"never", "reset"}:
            raise Cut
