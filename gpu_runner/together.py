"""An evaluation whose combinations run apart, each in a process of its own: what they say is put together as if they were one.

A part scores its combination and compares it with nothing. Here it is compared with the baseline, as soon as both are
scored, and at the end the files of results are written. That asks no model, so the host needs no GPU.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from core.events import Failure, Finished
from core.spec import Combination, EvaluationSpec
from gpu_runner.answers import read_lines
from gpu_runner.baseline import Baseline, marks_of
from gpu_runner.child import Context
from gpu_runner.failures import JobError, failure_of
from gpu_runner.harness import STOPS
from gpu_runner.keeping import Told, keep_results

Raw = dict[str, Any]  # a record as its spool holds it
LATE = 120.0  # seconds that a file of another host's may come after what is said of it
ENDS = ("succeeded", "failed", "cancelled")
UNSAID = (
    "type",
    "at",
    "offset",
    "part",
    "job_id",
    "status",
    "marks",
)  # of what a part said, what the batch does not say so


@dataclass
class Part:
    """A combination, and how far it is. `told` is what was said when it was scored; compared, it has `statistics`."""

    combination: Combination
    step: int = 0  # rows that are answered
    told: Told | None = None
    said: str = ""  # what the batch has said last of how it is
    late: float = 0.0  # monotonic time since when its answers can't be read, though they are said to be there
    outcome: str = ""  # of its process's last word
    error: str = ""  # why it failed
    failure: Failure | None = None  # why its process failed, when it had not come to the combination yet

    @property
    def over(self) -> bool:
        """Whether its end was said."""
        return self.said in ENDS

    @property
    def open(self) -> bool:
        """Whether it is yet to be scored."""
        return not self.over and self.told is None


class Together:
    """The batch, as the records of its parts make it. Part k + n·i is the (i+1)th try of combination k of n.

    It holds nothing that can't be found again: a new one is given what the batch has said (`recall`), then what the parts
    have said from the beginning (`translate`). Two threads may use it: one that translates, one that does all else.
    """

    def __init__(
        self,
        spec: EvaluationSpec,
        context: Context,
        earlier: dict[str, Told],
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        """`earlier` is what earlier attempts scored: it counts once it is sure that this one asks as many rows. `lock` is
        held by who translates.
        """
        self.spec, self.context, self._lock = spec, context, lock or threading.RLock()
        self.parts = [Part(each) for each in spec.combinations]
        self.rows: int | None = None  # that each combination is asked
        self.began: float | None = None  # unix seconds
        self._by_id = {each.combination.job_id: each for each in self.parts}
        self._earlier = earlier
        self._started = False
        self._warned: set[str] = set()
        self._logged: dict[str, int] = {}  # by which part
        self._holding: set[int] = set()
        self._baseline = Baseline(spec, self.warn)
        self._known = False  # whether that knows the baseline's figures

    # ─── what was said before ─────────────────────────────────────────────────────────────────────

    def recall(self, said: Iterable[Raw]) -> None:
        """Take in what the batch has said in this attempt."""
        for record in said:
            self.began = self.began or record["at"]
            if record["type"] == "scored" and record.get("job_id") in self._by_id:
                part = self._by_id[record["job_id"]]
                part.said = record["status"]
                part.told = record if part.said == "succeeded" else None
                self.rows = record["rows"] if part.told else self.rows
            elif record["type"] == "warning":
                self._warned.add(record["text"])
            elif record["type"] == "started":
                self._started, self.rows = True, record["details"]["rows"]

    # ─── what parts say ───────────────────────────────────────────────────────────────────────────

    def translate(self, number: int, record: Raw) -> Raw | None:
        """What a part's record is in the batch's spool; None when it is nothing there. They come in the order of the part's spool."""
        took = _TAKES.get(record["type"])
        try:
            return took(self, number, record) if took else record
        except (KeyError, TypeError, ValueError):  # a record of another version's: the part's own spool keeps it
            return None

    def _part(self, number: int) -> Part:
        return self.parts[number % len(self.parts)]

    def _begin(self, number: int, record: Raw) -> Raw | None:
        self.began = self.began or record["at"]
        self.rows = self.rows or record.get("details", {}).get("rows")
        if self._started:
            return None
        self._started = True
        details = {**record["details"], "combinations": len(self.parts)}
        return {**record, "total_steps": self.total, "details": details}

    def _progress(self, number: int, record: Raw) -> Raw | None:
        self._part(number).step = record["step"]
        return self.progress(record["at"])

    def _warning(self, number: int, record: Raw) -> Raw | None:
        """A warning that all parts share is told once."""
        if record["text"] in self._warned:
            return None
        self._warned.add(record["text"])
        return record

    def _log(self, number: int, record: Raw) -> Raw | None:
        """So is a line of the log, but for errors, which say of which combination they are."""
        called = self._part(number).combination.called
        if record.get("level") == "error":
            return (
                record
                if record["text"].startswith(f"{called}: ")
                else {**record, "text": f"{called}: {record['text']}"}
            )
        return record if self._logged.setdefault(record["text"], number) == number else None

    def _held(self, number: int, record: Raw) -> Raw | None:
        self._holding.add(number)
        return record if len(self._holding) == 1 else None

    def _unheld(self, number: int, record: Raw) -> Raw | None:
        self._holding.discard(number)
        return None if self._holding else record

    def _scored(self, number: int, record: Raw) -> Raw | None:
        part = self._part(number)
        if not part.open or record.get("job_id") != part.combination.job_id:
            return None
        if record["status"] == "succeeded":
            if self.rows not in (None, record["rows"]):
                text = f"it was asked {record['rows']} rows and others of the batch {self.rows}: the data changed meanwhile"
                return {**self._ended(part, "failed", text), "at": record["at"]}
            part.told = record
            return None  # it is said when it is compared
        part.said, part.error = record["status"], record.get("error") or ""
        return record

    def _finished(self, number: int, record: Raw) -> Raw | None:
        part = self._part(number)
        part.outcome, self._holding = record["outcome"], self._holding - {number}
        if not part.open or part.outcome != "failed":
            return None
        part.failure = Failure.model_validate(record["error"])
        return {**self._ended(part, "failed", whole(part.failure)), "at": record["at"]}

    # ─── what the batch says of itself ────────────────────────────────────────────────────────────

    @property
    def total(self) -> int:
        """Rows of all combinations."""
        return (self.rows or 0) * len(self.parts)

    @property
    def open(self) -> list[int]:
        """The parts that are yet to be run: neither scored, here or by an earlier attempt, nor over otherwise."""
        return [
            number
            for number, each in enumerate(self.parts)
            if each.open and each.combination.job_id not in self._earlier
        ]

    def warn(self, text: str) -> None:
        """Say something once."""
        with self._lock:
            if text not in self._warned:
                self._warned.add(text)
                self.context.spool.warn(text)

    def progress(self, at: float) -> Raw:
        """How far the batch is, and how long it will take when it goes on as it did."""
        done = sum((self.rows or 0) if each.over or each.told else each.step for each in self.parts)
        answered = sum(each.step for each in self.parts)
        eta = None
        if answered and self.began is not None:
            eta = round(max(0.0, at - self.began) / answered * (self.total - done), 1)
        return {"type": "progress", "at": at, "step": done, "total_steps": self.total, "eta_seconds": eta}

    def end(self, number: int, status: str, error: str = "") -> None:
        """A combination ended without saying what became of it: say it in its place."""
        with self._lock:
            if (part := self._part(number)).open:
                self.context.spool.write(**self._ended(part, status, error))
                self.context.spool.write(**self.progress(time.time()))

    def _ended(self, part: Part, status: str, error: str) -> Raw:
        part.said, part.error = status, error
        return {"type": "scored", "job_id": part.combination.job_id, "status": status, "error": error or None}

    def settle(self, look: Callable[[], None]) -> None:
        """Say what can be said by now: what earlier attempts scored, and what is scored and can be compared.

        `look` is called now and then, and may raise to stop.
        """
        with self._lock:
            self._take_over()
        for part in self._ready():
            look()
            try:
                told = self._compared(part, look)
            except STOPS:
                raise
            except Exception as error:
                self._not_compared(part, error)
                continue
            said = {name: value for name, value in told.items() if name not in UNSAID}
            with self._lock:
                part.told, part.said = told, "succeeded"
                self.context.spool.write("scored", job_id=part.combination.job_id, status="succeeded", **said)
                self.context.spool.write(**self.progress(time.time()))

    def _take_over(self) -> None:
        """Count what earlier attempts scored. What they asked of other rows is void."""
        if self.rows is None and not self.open:
            self.rows = next((told["rows"] for told in self._earlier.values()), None)
        if self.rows is None:
            return
        for id, told in self._earlier.items():
            part = self._by_id.get(id)
            if part is not None and part.open and told.get("rows") == self.rows:
                part.told = told
        self._earlier = {}

    def _ready(self) -> Iterator[Part]:
        """What is scored, and its end can be said: the baseline's first, the others' when that is over."""
        first = self._by_id[self.spec.baseline.job_id]
        if first.told is not None and not first.over:
            yield first
        if first.over:
            yield from (each for each in self.parts if each.told is not None and not each.over)

    def _not_compared(self, part: Part, error: Exception) -> None:
        """Answers that another host has written may be seen late. What can't be read for long, or compared, is a failure."""
        part.late = part.late or time.monotonic()
        if isinstance(error, OSError | ValueError) and time.monotonic() < part.late + LATE:
            return
        with self._lock:
            part.told = None
        failure = failure_of(error)
        self.context.spool.log(f"{part.combination.called}: {failure.traceback}", level="error")
        self.end(self.parts.index(part), "failed", f"its answers can't be compared: {failure.message}")

    def _compared(self, part: Part, look: Callable[[], None]) -> Told:
        """What is told of a part, with statistics."""
        assert part.told is not None
        told, first = part.told, self._by_id[self.spec.baseline.job_id]
        if part is not first and first.told is not None and not self._known:
            self._baseline.remember(first.told, self._lines(first.told))
            self._known = True
        if "statistics" in told and "marks" not in told:
            anew = self._baseline.anew(part.combination, told, lambda: self._lines(told), look)
            return {**told, "statistics": anew} if anew is not None else told
        self._known = self._known or part is first
        marks = marks_of(self._lines(told), told["values"], told.get("marks", {}))
        sure = self._baseline.statistics(part.combination, marks, look)
        return {**told, "statistics": {name: each.model_dump() for name, each in sure.items()}}

    def _lines(self, told: Told) -> list[dict[str, Any]]:
        return read_lines(self.context.root / str(told["answers"]))

    # ─── what came of it ──────────────────────────────────────────────────────────────────────────

    def finish(self, look: Callable[[], None]) -> Finished:
        """Write the results; all parts are over. It fails when all of them failed, and is cancelled when none is left."""
        succeeded = {each.combination.job_id: each.told for each in self.parts if each.told is not None}
        failed = [each for each in self.parts if each.said == "failed"]
        if not succeeded and failed:
            return Finished(at=time.time(), outcome="failed", error=_reason(failed))
        if not succeeded:
            return Finished(at=time.time(), outcome="cancelled")
        results = keep_results(self.context, self.spec, succeeded, look)
        summary = {
            "rows": self.rows,
            "seconds": round(time.time() - (self.began or time.time()), 2),
            "evaluated": len(succeeded),
            "failed": len(failed),
            "results": results,
        }
        return Finished(at=time.time(), outcome="succeeded", summary=summary)


def whole(failure: Failure) -> str:
    """A failure in one text."""
    return ". ".join(filter(None, (failure.message, failure.hint)))


def _reason(failed: list[Part]) -> Failure:
    """Why the batch failed: what all of its processes failed of before they came to their combinations, else the first's reason."""
    common = {each.failure.message if each.failure else None for each in failed}
    if len(common) == 1 and failed[0].failure is not None:
        return failed[0].failure
    error = JobError(f"no combination could be evaluated: {failed[0].error}", "The log tells why each one failed.")
    return failure_of(error)


_TAKES: dict[str, Callable[[Together, int, Raw], Raw | None]] = {
    "started": Together._begin,
    "progress": Together._progress,
    "warning": Together._warning,
    "log": Together._log,
    "held": Together._held,
    "unheld": Together._unheld,
    "scored": Together._scored,
    "finished": Together._finished,
}
