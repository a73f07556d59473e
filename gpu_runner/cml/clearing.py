"""Jobs at Cloudera's that this studio made and nobody needs any more: removed there, so that they don't pile up over months.

Two kinds, neither with a run that is active or an attempt that is not settled. Those whose job the studio has removed, with
its directory. And those whose last run ended more than FTS_CML_KEEP_DAYS ago, when a settled book names them: what is asked
for once more of such a job makes another one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.cml import Cloudera, Declined, JobSeen, Missing, RunSeen
from core.settings import Settings
from gpu_runner.cml.book import Book, unsettled
from gpu_runner.cml.definition import DIRECTORY
from gpu_runner.files import Files
from gpu_runner.shared import removed

log = logging.getLogger(__name__)
DAY = 86_400.0  # seconds
AT_ONCE = 50  # jobs that are removed in one look: the rest waits for the next


@dataclass(frozen=True)
class Candidate:
    """A job of this studio's of which nothing runs; `home` is its job's directory here, `last` the end of its last run (unix
    seconds, 0: not known).
    """

    id: str
    name: str
    home: Path
    last: float
    ran: bool


class Clearing:
    """What may go, of what a look at the project's jobs has found idle."""

    def __init__(self, using: Settings) -> None:
        self._artifacts, self._days = using.artifacts_root, using.cml_keep_days
        self._idle: dict[str, Candidate] = {}  # by their ids at Cloudera's
        self._fresh: set[str] = set()  # those of them that this look has found idle

    def due(self) -> list[str]:
        """A look begins: the jobs that are to be looked at anew, because they may go now. Raises OSError."""
        self._fresh.clear()
        due = [id for id, each in self._idle.items() if self._may_go(each)]
        for id in due:
            del self._idle[id]
        return due

    def note(self, job: JobSeen, runs: Sequence[RunSeen]) -> None:
        """None of the job's runs is active. What lies elsewhere than our attempts is not ours to judge."""
        homes = {Path(run.environment.get(DIRECTORY, "")).parent for run in runs}
        if not runs and Path(job.name).name == job.name:
            homes = {self._artifacts / "jobs" / job.name}
        if len(homes) != 1 or next(iter(homes)).parent != self._artifacts / "jobs":
            return
        ends = [job.created_at, *(run.finished_at or run.created_at for run in runs)]
        last = max((_seconds(each) for each in ends), default=0.0)
        self._idle[job.id] = Candidate(job.id, job.name, homes.pop(), last, bool(runs))
        self._fresh.add(job.id)

    def look(self, cloudera: Cloudera) -> None:
        """Remove those that may go; what can't be removed now is tried again by the next look. Raises Unavailable, OSError."""
        going = [each for each in map(self._idle.__getitem__, sorted(self._fresh)) if self._may_go(each)]
        for each in going[:AT_ONCE]:
            if self._is_open(each):
                continue
            try:
                if any(not run.state.over for run in cloudera.runs(each.id)):
                    continue  # begun by hand since: what was seen of it is as old as the look is long
                cloudera.delete_job(each.id)
            except (Missing, Declined) as error:
                log.info("the job %s (%s) stays in Cloudera ML for now: %s", each.id, each.name, error)
                continue
            del self._idle[each.id]
            log.info("the job %s (%s) is not needed any more, and removed in Cloudera ML", each.id, each.name)

    def _may_go(self, each: Candidate) -> bool:
        """Whether it was removed here, or is old. Raises OSError."""
        age = time.time() - each.last if each.last else 0.0
        if removed(self._artifacts, each.home):
            return each.ran or age > DAY  # an evaluation's part is made before it has a run, under a name of its own
        return 0 < self._days * DAY < age and self._is_settled(each)

    def _is_settled(self, each: Candidate) -> bool:
        """Whether a book names it, and all that are there are settled. Raises OSError."""
        books = [book for attempt in _attempts(each.home) if (book := Book.read(attempt)) is not None]
        named = any(part.job_id == each.id for book in books for part in book.parts)
        return named and all(book.settled for book in books)

    def _is_open(self, each: Candidate) -> bool:
        """Whether a steward may be about to use it: looked at last, right before it goes. Raises OSError."""
        if any(Files(attempt).locked() for attempt in _attempts(each.home)):
            return True
        for _, _, directory in unsettled(self._artifacts):
            book = Book.read(directory)
            if directory.parent == each.home or (
                book is not None and (book.unread or any(each.name == part.name for part in book.parts))
            ):
                return True
        return False


def _attempts(home: Path) -> list[Path]:
    return [each for each in home.glob("*") if each.name.isdecimal()]


def _seconds(at: datetime | None) -> float:
    """Unix seconds; Cloudera's are of UTC. 0 where it is not told."""
    if at is None:
        return 0.0
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
