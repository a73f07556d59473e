"""What nobody looks after at Cloudera's any more: found, and ended, so that it costs no GPU's hours.

Two kinds. Attempts whose book is not settled and whose steward is gone: another steward ends them. And runs that no book
tells of: their attempt's directory is gone, its book is settled, or names another run; those are stopped from here, by a
thread, when they were seen so twice. The same look removes jobs that are not needed any more (clearing.py).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from core.cml import Cloudera, Declined, Missing, RunSeen, connect
from core.errors import Unavailable
from core.settings import Settings
from gpu_runner.attempt import Attempt
from gpu_runner.cml.book import Book, unsettled
from gpu_runner.cml.clearing import Clearing
from gpu_runner.cml.definition import DIRECTORY, STUDIO
from gpu_runner.cml.strays import Strays
from gpu_runner.files import Files, write_json
from gpu_runner.identity import is_held
from gpu_runner.shared import away, read_marker

log = logging.getLogger(__name__)
EVERY = 60.0  # seconds between looks at what is here
THERE = 300.0  # seconds between looks at what is there
QUIET = 1800.0  # seconds between looks at the runs of a job of which nothing ran
OTHERS = 900.0  # seconds in which another runner's daemon is started again


class Settling:
    """Looks for what nobody looks after."""

    def __init__(self, using: Settings) -> None:
        self._using = using
        self._next = self._next_there = 0.0
        self._alone: dict[
            Path, float
        ] = {}  # another runner's attempts that nobody held, by when they were seen so first
        self._there: threading.Thread | None = None
        self._runs = Runs(using)

    def left(self, runner_id: str, held: Collection[tuple[str, int]], now: float) -> Iterator[Attempt]:
        """Attempts of this runner that are not among those it holds, and of runners that are gone. `now` is monotonic."""
        if now < self._next:
            return
        self._next = now + EVERY
        if away(self._using.artifacts_root):
            return
        self._look_there(now)
        try:
            entries = unsettled(self._using.artifacts_root)
        except OSError as error:
            log.warning("what is at Cloudera's can't be looked up now: %s", error)
            return
        for job_id, number, directory in entries:
            if (job_id, number) not in held and self._is_left(directory, runner_id, now):
                attempt = Attempt(job_id, number, Files(directory))
                attempt.adopt()
                attempt.begin_again(0.0)
                yield attempt

    def _is_left(self, directory: Path, runner_id: str, now: float) -> bool:
        """Whether it is to be ended; then the order is written."""
        files = Files(directory)
        try:
            book = Book.read(directory)
            if files.locked():
                self._alone.pop(directory, None)
                return False
            if book is None or book.settled:  # killed before it was written, or before the entry was removed
                Book(directory).entry.unlink(missing_ok=True)
                return False
            since = self._alone.setdefault(directory, now)
            if book.runner_id != runner_id and (is_held(self._using.root, book.runner_id) or now < since + OTHERS):
                return False
            write_json(files.control, {"order": "stop"})
        except OSError as error:
            log.warning("%s can't be ended now: %s", directory, error)
            return False
        self._alone.pop(directory, None)
        return True

    def _look_there(self, now: float) -> None:
        if (self._there is not None and self._there.is_alive()) or now < self._next_there:
            return
        self._next_there = now + (EVERY if self._runs.suspects else THERE)
        self._there = threading.Thread(target=self._runs.look, name="settling", daemon=True)
        self._there.start()


class Runs:
    """The runs of this studio in the project. `suspects` are those that no book told of when it was looked last."""

    def __init__(self, using: Settings) -> None:
        self._using = using
        self.suspects: set[str] = set()
        self._strays = Strays(using.artifacts_root)
        self._clearing = Clearing(using)
        # Jobs of which nothing ran, by when to look again: what runs of them later has a book, which may be removed.
        self._quiet: dict[str, float] = {}

    def look(self) -> None:
        """Look once; stop what was suspect before and still is."""
        try:
            cloudera, marker = connect(self._using), read_marker(self._using.artifacts_root)
            found = {run.id: run for run in self._active(cloudera, marker) if self._is_untold(run)} if marker else {}
            for run in (found[id] for id in found.keys() & self.suspects):
                log.warning("the run %s of job %s is nobody's, and stopped", run.id, run.job_id)
                with contextlib.suppress(Missing, Declined):
                    cloudera.stop_run(run.job_id, run.id)
            self.suspects = set(found)
            if marker and not away(self._using.artifacts_root):
                self._strays.look(cloudera, marker)
                self.suspects |= self._strays.suspects
                self._clearing.look(cloudera)
        except (Unavailable, Missing, Declined, OSError) as error:
            log.info("what runs in Cloudera ML can't be looked up now: %s", error)

    def _active(self, cloudera: Cloudera, marker: str) -> Iterator[RunSeen]:
        for id in self._clearing.due():
            self._quiet.pop(id, None)
        for job in cloudera.jobs():
            now = time.monotonic()
            if job.environment.get(STUDIO) != marker or now < self._quiet.get(job.id, now):
                continue
            try:
                runs = cloudera.runs(job.id)
                running = [each for each in runs if not each.state.over]
            except (Missing, Declined) as error:  # of that job: the others are looked at all the same
                log.info("%s", error)
                continue
            if not running:
                self._quiet[job.id] = now + QUIET
                self._clearing.note(job, runs)
            yield from running

    def _is_untold(self, run: RunSeen) -> bool:
        """Whether no book that is open tells of it. What lies elsewhere than our attempts is not ours to judge."""
        directory = Path(run.environment.get(DIRECTORY, ""))
        if not directory.is_relative_to(self._using.artifacts_root / "jobs") or away(self._using.artifacts_root):
            return False
        book = Book.read(directory)
        if book is None or book.settled:
            return True
        known = {part.run_id for part in book.parts}
        return bool(known) and run.id not in known and "" not in known  # a book that can't be understood names none
