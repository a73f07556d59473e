"""Looking after an attempt that is one run at Cloudera's: a training, an export, a comparison, a plan, a whole evaluation."""

from __future__ import annotations

import logging
import time

from core.events import Failure
from core.types import FailureClass
from gpu_runner.cml.copying import copying, look_anew
from gpu_runner.cml.errand import Ending, Errand
from gpu_runner.cml.run import GONE, REFUSED, STALE, Run
from gpu_runner.cml.shares import of_first_pod
from gpu_runner.files import Files, read_json

log = logging.getLogger(__name__)
PART = 0
# Looks (FTS_CML_POLL seconds each) …
OBEYS = {
    "cancel": 12,
    "pause": 120,
}  # … in which a pod does what it is told; a checkpoint of a large model takes its time
LEAVES = 12  # … in which a run is over when its pod has said its last word
LAGS = 3  # … in which that word, of a run that is over, comes over the file system
LEAST_LAG = 2.0  # seconds
AGAIN = 1.0  # seconds between tries to copy what a full disk has no room for
LET_GO, DIED = 0, 1  # exit codes; what happened is in the book
WAITING = {
    "": "is being placed in Cloudera ML",
    "scheduling": "waits for a pod in Cloudera ML",
    "starting": "its pod in Cloudera ML starts",
    "running": "its pod in Cloudera ML runs",
    "stopping": "its run in Cloudera ML is being stopped",
    "unknown": "Cloudera ML does not know how its run is",
}


def look_after(errand: Errand) -> int:
    """Have the attempt run at Cloudera's, to its end; the exit code."""
    raw = read_json(errand.files.spec) or {}
    run = Run(errand, of_first_pod(raw), str(raw.get("kind")))
    with copying(errand.merged, [PART]):
        if not watch(errand, run):
            return LET_GO
        wait_for_last_word(errand)
    return ended(errand, run)


def watch(errand: Errand, run: Run) -> bool:
    """Look at the run until it is over; False when this steward is to leave it alone."""
    orders = Orders(errand)
    while not run.over:
        order, stop = orders.now()
        if errand.signalled and order is None:
            return False
        try:
            run.step(order, stop=stop)
            tell(errand, run)
        except OSError as error:
            errand.say(f"its files can't be written: {error}")
        if not run.over:
            errand.wait(errand.using.cml_poll)
    return True


class Orders:
    """What is ordered, and whether it is time to have the run stopped for it."""

    def __init__(self, errand: Errand) -> None:
        self._errand = errand
        self._order: Ending | None = None
        self._since = time.monotonic()

    def now(self) -> tuple[Ending | None, Ending | None]:
        """The order, and what the run is stopped for now. After a run's last word nothing is to run."""
        finished = self._errand.merged.finished
        order = self._errand.order() or ("stop" if finished else None)
        if order != self._order:
            self._order, self._since = order, time.monotonic()
        return order, order if self._is_due(order, finished=finished) else None

    def _is_due(self, order: Ending | None, *, finished: bool) -> bool:
        waited = (time.monotonic() - self._since) / self._errand.using.cml_poll
        if finished:
            return waited >= LEAVES
        if order in OBEYS:
            begun = self._errand.merged.ends.get(PART, 0) > 0
            return not begun or self._errand.signalled or waited >= OBEYS[order]
        return order is not None


def tell(errand: Errand, run: Run) -> None:
    """Say what is waited for; while the pod speaks itself, nothing."""
    if run.away_since is not None:
        since = time.strftime("%H:%M", time.localtime(run.away_since))
        goes_on = "; the run goes on" if run.state in ("starting", "running") else ""
        errand.say(f"Cloudera's API {run.away} since {since} ({run.why_away}){goes_on}")
    elif run.state in WAITING and not (run.state == "running" and run.number in errand.merged.phases):
        errand.say(WAITING[run.state])
    else:
        errand.unsay(run.number)


def wait_for_last_word(errand: Errand) -> None:
    """The run is over: what its pod wrote last may still be on its way."""
    until = time.monotonic() + max(LEAST_LAG, LAGS * errand.using.cml_poll)
    look_anew(Files(errand.directory, PART))
    spoken = Files(errand.directory, PART).own.is_dir()
    while spoken and not errand.merged.finished and time.monotonic() < until:
        time.sleep(0.1)


def ended(errand: Errand, run: Run) -> int:
    """Say what became of it, unless its pod has, and close the book; the exit code."""
    while not errand.merged.copy_rest(
        PART
    ):  # its last word may be in what waits: without it the job would run once more
        time.sleep(AGAIN)
    code = _word(errand, run)
    errand.book.settle(died=code is None)
    return DIED if code is None else code


def _word(errand: Errand, run: Run) -> int | None:
    """The exit code that goes with the last word; None when there is none: it died, or it is not this runner's to say."""
    if errand.merged.finished:
        told = (read_json(Files(errand.directory, PART).exit) or {}).get("code")
        return told if isinstance(told, int) else 0
    if run.state == REFUSED:
        return errand.finish("failed", _refusal(run))
    if run.state == STALE or "stop" in (run.part.stop, errand.order()):
        return None
    asked = run.part.stop or errand.order()
    if asked or run.state in ("stopped", GONE):
        if asked:
            return errand.finish("paused" if asked == "pause" else "cancelled")
        how = f"its run was {'removed' if run.state == GONE else 'stopped'} in Cloudera ML"
        errand.merged.write("warning", text=how)
        return errand.finish("cancelled", Failure(kind=FailureClass.stopped, message=how))
    if run.state == "timedout":
        return errand.finish("failed", TIMED_OUT)
    text = f"Cloudera ML says that the run {run.part.run_id} {run.state}, and its pod left no last word"
    errand.merged.write("log", level="error", text=text)
    errand.merged.close()
    return None


TIMED_OUT = Failure(
    kind=FailureClass.user_error,
    message="Cloudera ML ended the run: it took longer than it may",
    cause="The time limit is FTS_CML_TIMEOUT, or the workbench's own.",
    hint="Raise FTS_CML_TIMEOUT of the runner (seconds; 0 leaves it to the workbench), start its daemon again, then run the"
    " job again: it goes on from its last checkpoint.",
)


def _refusal(run: Run) -> Failure:
    hint = (
        "Mend what it names (a template job, the resources asked for, a quota of the project), then run the job again."
    )
    return Failure(kind=FailureClass.user_error, message=f"Cloudera ML does not run it: {run.refusal}", hint=hint)
