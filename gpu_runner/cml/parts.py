"""Looking after an evaluation whose combinations are runs of their own at Cloudera's (FTS_CML_EVALUATION=child).

Each pod scores one of them. What they say is put together here as if one process had said it (gpu_runner/together.py), so
that figures, comparisons and files of results are those of a batch in one run.
"""

from __future__ import annotations

import time
from contextlib import suppress

from core.spec import EvaluationSpec
from gpu_runner.child import Context
from gpu_runner.cml.copying import copying
from gpu_runner.cml.errand import Ending, Errand
from gpu_runner.cml.merging import Merged
from gpu_runner.cml.single import DIED, LET_GO, WAITING
from gpu_runner.cml.tries import Try
from gpu_runner.failures import Cancelled, Paused, failure_of
from gpu_runner.files import Files, read_json, read_runs, write_json
from gpu_runner.keeping import records_of, scored_before
from gpu_runner.spool import Silent
from gpu_runner.together import Raw, Together

LONG = 5.0  # seconds after which a look at a run took too long for looking at the others too


def look_after(errand: Errand) -> int:
    """Have the combinations run at Cloudera's, to their ends; the exit code."""
    batch = Batch(errand)
    with copying(errand.merged, batch.numbers):
        if not batch.watch():
            return LET_GO
    return batch.ended()


class Voice(Silent):
    """What the batch says of itself, into the attempt's spool."""

    def __init__(self, merged: Merged) -> None:
        super().__init__()
        self._merged = merged

    def write(self, type: str, **fields: object) -> None:
        """Append a record."""
        self._merged.write(type, **fields)

    def sync(self) -> None:
        """Bring everything to the disk."""
        self._merged.sync()

    @property
    def gone(self) -> bool:
        """Whether the file was removed, the job's directory with it."""
        return not self._merged.directory.is_dir()


class Batch:
    """The combinations, their runs, and what is said of them."""

    def __init__(self, errand: Errand) -> None:
        self.errand = errand
        spec = errand.spec
        assert isinstance(spec, EvaluationSpec)
        self.spec = spec
        self.context = Context(errand.directory, Voice(errand.merged))
        earlier = scored_before(errand.directory, parts=True)
        self.together = Together(spec, self.context, earlier, errand.merged.lock)
        self._go_on()
        for number, each in enumerate(spec.combinations):
            errand.book.part(number, each.job_id)
        self.tries: dict[int, Try] = {}  # the newest of each combination
        self._next = 0  # which of them is looked at first
        self.numbers: list[int] = list(range(len(errand.book.parts)))  # of the parts that are copied
        self.at_once = read_runs(errand.files, 1)

    def _go_on(self) -> None:
        """Where the steward before this one stopped."""
        self.together.recall(records_of(self.errand.files.spool))
        for number, end in self.errand.merged.ends.items():
            for record in records_of(Files(self.errand.directory, number).spool):
                if record["offset"] <= end:
                    self.together.translate(number, record)
        self.errand.merged.translate = self._hear

    def _hear(self, number: int, record: Raw) -> Raw | None:
        """What a part's record is in the batch. What was scored is looked at without waiting."""
        told = self.together.translate(number, record)
        if record["type"] in ("scored", "finished"):
            self.errand.woken.set()
        return told

    # ─── while runs are under way ─────────────────────────────────────────────────────────────────

    def watch(self) -> bool:
        """Look at the runs until they are over; False when this steward is to leave them alone."""
        while True:
            order = self._order()
            if self.errand.signalled and order is None:
                return False
            try:
                self._step(order)
                self._tell()
                self.together.settle(self._look)
            except OSError as error:
                self.errand.say(f"its files can't be written: {error}")
            except Cancelled:
                pass  # the next round has something more urgent to do
            if self._over(order):
                return True
            self._give_back()
            self.errand.wait(self.errand.using.cml_poll)

    def _order(self) -> Ending | None:
        """What is ordered. Nothing is to run after the batch's last word, nor beside a later attempt."""
        stop = self.errand.merged.finished or self._lost()
        return "stop" if stop else self.errand.order()

    def _look(self) -> None:
        """Raise Cancelled when there is something more urgent to do. The pods hear of other orders themselves."""
        if self.errand.signalled or self._order() == "stop":
            raise Cancelled

    def _step(self, order: Ending | None) -> None:
        """Look at every run, and have those begun that there is room for. Raises OSError.

        While Cloudera's API does not answer one of them is looked at and the next time another: there is more to do meanwhile.
        """
        left_out = set((read_json(self.errand.files.control) or {}).get("cancelled", []))
        places = self._places()
        for turn, place in enumerate(places[self._next :] + places[: self._next], self._next + 1):
            began = time.monotonic()
            own = self.spec.combinations[place].job_id in left_out
            each = self.tries.get(place) or self._begun_before(place)
            if each is None and self.together.parts[place].open and order is None:
                each = self._begin(place, left_out=own)
            if each is None or each.over:
                continue
            each.step(order, left_out=own)
            if each.over and each.conclude(order, left_out=own):
                self._begin(place, left_out=False, number=each.number + len(self.spec.combinations))
            if each.run.away_since is not None and time.monotonic() - began > LONG:
                self._next = turn % len(places)
                return
        self._next = 0

    def _places(self) -> list[int]:
        """The combinations, the baseline first: the others wait for it to be compared."""
        first = self.spec.combinations.index(self.spec.baseline)
        return sorted(range(len(self.spec.combinations)), key=lambda place: (place != first, place))

    def _begun_before(self, place: int) -> Try | None:
        """The try that a steward before this one had under way."""
        asked = [number for number, part in enumerate(self.errand.book.parts) if part.asked or part.state]
        numbers = [number for number in asked if number % len(self.spec.combinations) == place]
        return self._try(max(numbers)) if numbers else None

    def _begin(self, place: int, *, left_out: bool, number: int | None = None) -> Try | None:
        """Try a combination; None when that is to wait for room, or it is not wanted any more, or it is known already."""
        if left_out:
            self.together.end(place, "cancelled")
            return None
        if place not in self.together.open or (number is None and self._running() >= self.at_once):
            return None
        return self._try(place if number is None else number)

    def _running(self) -> int:
        return sum(not each.over for each in self.tries.values())

    def _try(self, number: int) -> Try:
        for more, each in enumerate(self.spec.combinations, number - number % len(self.spec.combinations)):
            self.errand.book.part(more, each.job_id)
        made = self.tries[number % len(self.spec.combinations)] = Try(self.errand, self.spec, self.together, number)
        if number not in self.numbers:
            self.numbers.append(number)
        return made

    def _over(self, order: Ending | None) -> bool:
        """Whether no run is under way, and none is to come."""
        if self._running():
            return False
        return order is not None or not self._unsaid()

    def _lost(self) -> bool:
        return any(each.lost for each in self.tries.values())

    def _unsaid(self) -> bool:
        return any(not each.over for each in self.together.parts)

    def _give_back(self) -> None:
        """Let go of room that no combination will need any more: it is another job's then."""
        waiting = sum(each.open for place, each in enumerate(self.together.parts) if place not in self.tries)
        needed = max(1, self._running() + waiting)
        if needed < self.at_once:
            with suppress(OSError):
                write_json(self.errand.files.room, {"runs": needed})
                self.at_once = needed

    def _tell(self) -> None:
        """Say what is waited for; while a pod speaks itself, nothing."""
        runs = [each.run for each in self.tries.values() if not each.over]
        speaking = next((each.number for each in self.tries.values() if each.speaks), None)
        if away := next((each for each in runs if each.away_since is not None), None):
            since = time.strftime("%H:%M", time.localtime(away.away_since))
            goes_on = "; the runs go on" if any(each.state in ("starting", "running") for each in runs) else ""
            self.errand.say(f"Cloudera's API {away.away} since {since}{goes_on}: {away.why_away}")
        elif speaking is not None:
            self.errand.unsay(speaking)
        elif runs and runs[0].state in WAITING:
            self.errand.say(WAITING[runs[0].state])

    # ─── afterwards ───────────────────────────────────────────────────────────────────────────────

    def ended(self) -> int:
        """Say what came of the batch, and close the book; the exit code."""
        code = self._word()
        if code == LET_GO and not self.errand.merged.finished:
            return LET_GO
        self.errand.book.settle(died=code is None)
        return DIED if code is None else code

    def _word(self) -> int | None:
        """The exit code that goes with the last word; None when it is not this runner's to say."""
        errand, order = self.errand, self.errand.order()
        if errand.merged.finished:
            return int((read_json(errand.files.exit) or {}).get("code", 0))
        if order == "stop" or self._lost():
            return None
        if self._unsaid():
            return errand.finish("paused" if order == "pause" else "cancelled")
        try:
            end = self.together.finish(self._leave)
        except (Cancelled, Paused) as stopped:
            if errand.signalled and errand.order() is None:
                return LET_GO
            return errand.finish("paused" if isinstance(stopped, Paused) else "cancelled")
        except Exception as error:
            return errand.finish("failed", failure_of(error))
        return errand.finish(end.outcome, end.error, **end.summary)

    def _leave(self) -> None:
        """Raise Cancelled when the steward is to let go."""
        if self.errand.signalled:
            raise Cancelled
