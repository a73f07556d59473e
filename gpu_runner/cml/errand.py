"""What a steward has in hand: the attempt's files and specification, its book, its merged spool, its orders."""

from __future__ import annotations

import threading
import time
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from core.cml import Cloudera, connect
from core.events import Failure
from core.failing import filled
from core.settings import Settings
from core.spec import SPEC, Spec
from gpu_runner.cml.book import Book
from gpu_runner.cml.merging import Merged, Translate, as_it_is
from gpu_runner.files import Files, read_json, write_json
from gpu_runner.shared import read_marker, removed

ORDERS = ("cancel", "pause", "stop")
REMOVED = 2  # looks (FTS_CML_POLL seconds each) for which a directory is not there that counts as removed
Ending = Literal["cancel", "pause", "stop"]
Outcome = Literal["succeeded", "failed", "cancelled", "paused"]


class Errand:
    """One attempt that is run at Cloudera's.

    Everything that a part writes is copied by a thread, while the one that looks after the attempt waits for Cloudera's API.
    """

    def __init__(
        self,
        directory: Path,
        using: Settings,
        runner_id: str,
        token: str | None = None,
        translate: Translate = as_it_is,
    ) -> None:
        self.directory, self.using, self.runner_id, self.token = directory, using, runner_id, token
        self.files = Files(directory)
        self.book = Book.read(directory) or Book(directory, runner_id)
        self.merged = Merged(directory, translate)
        self.woken = threading.Event()
        self.signalled = False  # there is an order to look at, and without one it is to let go
        self._said = ""
        self._missed: float | None = None  # monotonic time since when the directory is not there

    @cached_property
    def spec(self) -> Spec:
        """What is to be done. Raises OSError, ValidationError."""
        return SPEC.validate_json(self.files.spec.read_bytes())

    @property
    def job_id(self) -> str:
        """The job's id, which is its name at Cloudera's."""
        return self.directory.parent.name

    @property
    def attempt(self) -> int:
        """The attempt's number."""
        return int(self.directory.name)

    @cached_property
    def studio(self) -> str:
        """The studio's marker, by which runs of ours are known; raises OSError while the artifacts are away."""
        if marker := read_marker(self.files.root):
            return marker
        raise OSError(f"the artifacts directory {self.files.root} can't be reached")

    @cached_property
    def cloudera(self) -> Cloudera:
        """The project at Cloudera's; raises Unavailable that says what is missing.

        The Hub's token is none of the settings here, and is kept out of what the API says all the same: runs are asked for with it.
        """
        found = connect(self.using)
        found.secrets = [*found.secrets, *([self.token] if self.token else [])]
        return found

    def order(self) -> Ending | None:
        """What the daemon has asked for: to cancel, to pause, to stop what is not this runner's any more; or nothing.

        An attempt whose directory was removed is nobody's any more.
        """
        if not removed(self.files.root, self.directory):
            self._missed = None
        elif self._missed is None:
            self._missed = time.monotonic()
        elif time.monotonic() - self._missed >= REMOVED * self.using.cml_poll:
            return "stop"
        order = (read_json(self.files.control) or {}).get("order")
        return order if order in ORDERS else None

    def signal(self, *_: object) -> None:
        """SIGTERM (a signal's handler: it takes no lock that others hold)."""
        self.signalled = True
        self.woken.set()

    def wait(self, seconds: float) -> None:
        """Wait, unless a signal says that there is an order to look at."""
        self.woken.wait(seconds)
        self.woken.clear()

    def say(self, phase: str) -> None:
        """What is being done now, said once."""
        if phase != self._said:
            self._said = phase
            self.merged.write("phase", name=phase)

    def unsay(self, part: int = 0) -> None:
        """The parts' own words count again: the last one of `part` is said once more when another was said since."""
        if self._said:
            self._said = ""
            if phase := self.merged.phases.get(part):
                self.merged.write("phase", name=phase)

    def finish(self, outcome: Outcome, error: Failure | None = None, **summary: Any) -> int:
        """Write the attempt's last word, in a pod's place; the exit code. Nothing when it is written already."""
        code = 1 if outcome == "failed" else 0
        if not self.merged.finished:
            told = filled(error).model_dump(mode="json") if error is not None else None
            self.merged.write("finished", outcome=outcome, error=told, summary=summary)
        while (
            not self.merged.close()
        ):  # a full disk may get room again; without that record the job would run once more
            time.sleep(1)
        write_json(self.files.exit, {"outcome": outcome, "code": code})
        return code
