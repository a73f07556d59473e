"""A daemon's ways with stewards: their work is at Cloudera's, and goes on without them."""

from __future__ import annotations

import logging
import signal
from collections.abc import Collection, Iterator
from contextlib import suppress

from core.settings import Settings
from core.spec import EvaluationSpec
from gpu_runner.attempt import Attempt, Stage
from gpu_runner.backend import Backend
from gpu_runner.cml.book import Book
from gpu_runner.cml.settling import Settling
from gpu_runner.files import write_json
from gpu_runner.room import Room
from gpu_runner.starter import Starter

log = logging.getLogger(__name__)
PAUSES = (0.0, 1.0, 2.0, 5.0, 15.0, 60.0)  # seconds before a steward that keeps dying is started again
STEADY = 60.0  # seconds after which a steward that dies was none that keeps dying
BEGINNINGS = 3  # times that one may die before it has written down anything


class Stewards(Backend):
    """One attempt, one steward at a time, until nothing of it runs at Cloudera's."""

    elsewhere = True

    def __init__(self, using: Settings, room: Room) -> None:
        self._using, self._room = using, room
        self._settling = Settling(using)
        # Of each attempt: when a steward was started last, and how many have died, each soon after it was started.
        self._begun: dict[tuple[str, int], tuple[float, int]] = {}

    def may_begin(self, attempt: Attempt, held: Collection[Attempt], now: float) -> bool:
        """When its pause is over, and not more runs at once than are wanted; plans take no room, and begin at once."""
        if now < attempt.not_before:
            return False
        if attempt.held.cpus and not self.must_end(attempt):
            others = [each for each in held if each is not attempt and each.held.cpus]
            left = self._using.cml_jobs - sum(each.runs for each in others if self._runs(each))
            if left <= 0:
                return False
            attempt.share(min(left, self._fitting(attempt, others)))
        self._begun[attempt.job_id, attempt.number] = (now, self._deaths(attempt, now))
        return True

    def more(self, held: Collection[Attempt]) -> int | None:
        """Not more than may run at once: what would only wait here another runner may have room for. Plans are beside it."""
        counted = [each for each in held if each.stage is not Stage.over and (each.spec is None or each.held.cpus)]
        return max(0, self._using.cml_jobs - sum(each.runs for each in counted))

    def _fitting(self, attempt: Attempt, others: Collection[Attempt]) -> int:
        """How many combinations of an evaluation there is room for at once; of all else there is one run."""
        spec = attempt.spec
        if not isinstance(spec, EvaluationSpec) or self._using.cml_evaluation != "child":
            return 1
        asked = spec.resources.model_dump(include={"cpus", "memory", "gpus"})
        free = self._room.free(each.held for each in others)
        fitting = [int(free[name] // each) for name, each in asked.items() if each]
        return max(1, min(len(spec.combinations), *fitting))

    def shrunk(self, attempt: Attempt) -> bool:
        """Whether combinations of an evaluation are over, and fewer are left than had room."""
        return attempt.runs > 1 and attempt.shrink()

    def must_end(self, attempt: Attempt) -> bool:
        """Whether something of it may be at Cloudera's. Raises OSError."""
        book = Book.read(attempt.files.directory)
        return book is not None and not book.settled

    def again(self, attempt: Attempt, now: float) -> bool:
        """Whether it is not over: then the run goes on, and another steward takes its book up."""
        deaths = self._deaths(attempt, now)
        if self._is_over(attempt, deaths):
            self._begun.pop((attempt.job_id, attempt.number), None)
            return False
        began = self._begun.get((attempt.job_id, attempt.number), (now, 0))[0]
        self._begun[attempt.job_id, attempt.number] = (began, deaths + 1)
        attempt.begin_again(now + PAUSES[min(deaths, len(PAUSES) - 1)])
        return True

    def code(self, attempt: Attempt, code: int | None) -> int | None:
        """Of a pod that died it is not known; the steward's own is not the job's."""
        with suppress(OSError):
            book = Book.read(attempt.files.directory)
            return None if book is not None and book.died else code
        return None

    def take_away(self, attempt: Attempt) -> None:
        """Have the steward end what runs at Cloudera's, then itself: the order is written, and a signal says so."""
        if attempt.signalled:
            return
        try:
            write_json(attempt.files.control, {"order": "stop"})
        except OSError as error:
            log.warning("%s: it can't be told to end: %s", attempt, error)
            return
        attempt.kill(signal.SIGTERM)
        attempt.signalled = 1

    def end_left(
        self, starter: Starter, runner_id: str, held: Collection[tuple[str, int]], now: float
    ) -> Iterator[Attempt]:
        """Give a steward to attempts that nobody looks after, and that are not this runner's."""
        for attempt in self._settling.left(runner_id, held, now):
            log.warning("%s: nobody's, and not over: it is ended", attempt)
            try:
                if started := starter.start_alone(attempt.files, runner_id):
                    attempt.stage = Stage.running
            except OSError as error:
                log.warning("%s: can't be ended now: %s", attempt, error)
                continue
            if started:
                yield attempt

    def _is_over(self, attempt: Attempt, deaths: int) -> bool:
        """Whether nothing of it runs at Cloudera's; what can't be read may be anything."""
        with suppress(OSError):
            book = Book.read(attempt.files.directory)
            return book.settled if book is not None else deaths >= BEGINNINGS
        return False

    def _runs(self, attempt: Attempt) -> bool:
        return attempt.stage is Stage.running or self.must_end(attempt)

    def _deaths(self, attempt: Attempt, now: float) -> int:
        began, deaths = self._begun.get((attempt.job_id, attempt.number), (now, 0))
        return 0 if now - began > STEADY else deaths
