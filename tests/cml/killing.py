"""kill -9 of the daemon and of all stewards at every step of theirs: the first time that each call comes, before its work and after it."""

from __future__ import annotations

import re
import signal
import threading
from contextlib import suppress
from types import TracebackType

import psutil

from gpu_runner.files import Files
from tests.cml.workshop import Workshop

ID = re.compile(r"/[a-z0-9]{4}(-[a-z0-9]{4}){3}(?=/|:|$)")


class Killing:
    """While it lasts, daemon and stewards are killed at each call that has not been met so, and a daemon is started again.

    `done` tells of each: "POST runs after" is a run that was made, of which nobody was told.
    """

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.done: set[str] = set()
        self.lock = threading.Lock()

    def __enter__(self) -> Killing:
        self.workshop.cloudera.watchers.append(self._see)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.workshop.cloudera.watchers.remove(self._see)

    def _see(self, request: str, moment: str) -> None:
        verb, path = request.split(" ", 1)
        step = f"{verb} {ID.sub('', path).rpartition('/')[2]} {moment}"
        with self.lock:
            if step in self.done:
                return
            self.done.add(step)
            self.workshop.end_process("daemon", signal.SIGKILL)
            self._kill_stewards()
            self.workshop.start("daemon")

    def _kill_stewards(self) -> None:
        """At once, as when their host goes down."""
        for lock in self.workshop.settings.artifacts_root.glob("jobs/*/*/lock"):
            files = Files(lock.parent)
            if files.locked() and (child := files.child()) is not None:
                with suppress(psutil.Error):
                    psutil.Process(child.pid).kill()
