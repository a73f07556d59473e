"""Trouble at every step: each call of the API that the studio makes, the first times that it comes.

A call is known by its verb and what it asks for: "POST runs" makes a run.
"""

from __future__ import annotations

import re
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, suppress

import psutil

from gpu_runner.files import Files
from tests.cml.faults import Fault
from tests.cml.workshop import Workshop

ID = re.compile(r"/[a-z0-9]{4}(-[a-z0-9]{4}){3}(?=/|:|$)")
API = "/api/v2/"
FAULTS: tuple[Callable[[], Fault], ...] = (
    lambda: Fault("answer", "", 1, 500),
    lambda: Fault("answer", "", 1, 429, retry_after=0.3),
    lambda: Fault("page", "", 1, 502),
    lambda: Fault("slow", "", 1, seconds=1.0),
    lambda: Fault("reset", "", 1),
    lambda: Fault("lost", "", 1),
    lambda: Fault("never", "", 1),
)


def call_of(request: str) -> str:
    """What a request, "VERB /path", asks for."""
    verb, path = request.split(" ", 1)
    return f"{verb} {ID.sub('', path).rpartition('/')[2]}"


@contextmanager
def failing(workshop: Workshop) -> Iterator[Set[str]]:
    """The API fails in every way, one after the other, at every call of its, which works after that; those calls."""
    left: dict[str, list[Callable[[], Fault]]] = defaultdict(lambda: list(FAULTS))

    def plan(request: str) -> Fault | None:
        waiting = left[call_of(request)] if API in request else None
        return waiting.pop(0)() if waiting else None

    workshop.cloudera.faults.plan = plan
    yield left.keys()
    workshop.cloudera.faults.plan = None


@contextmanager
def killing(workshop: Workshop) -> Iterator[set[str]]:
    """kill -9 of the daemon and all stewards at each call before its work, and again after it; the steps that were met so."""
    done: set[str] = set()
    lock = threading.Lock()

    def see(request: str, moment: str) -> None:
        step = f"{call_of(request)} {moment}"
        with lock:
            if step in done or API not in request:
                return
            done.add(step)
            workshop.end_process("daemon", signal.SIGKILL)
            _kill_stewards(workshop)
            workshop.start("daemon")

    workshop.cloudera.watchers.append(see)
    yield done
    workshop.cloudera.watchers.remove(see)


def _kill_stewards(workshop: Workshop) -> None:
    """At once, as when their host goes down."""
    for lock in workshop.settings.artifacts_root.glob("jobs/*/*/lock"):
        files = Files(lock.parent)
        if files.locked() and (child := files.child()) is not None:
            with suppress(psutil.Error):
                psutil.Process(child.pid).kill()
