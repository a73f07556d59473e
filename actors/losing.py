"""Attempts that ended without a last word: what is told of them, and that their jobs are run again."""

from __future__ import annotations

import signal

from actors.desk import Desk
from actors.jobs import lost
from actors.records import clean
from core.events import Failure
from core.failing import TAIL
from core.messages.runners import JobReport
from core.store.session import Unit
from core.store.tables import Job, Runner
from core.types import FailureClass

KILL, HARD = -signal.SIGKILL, {-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGILL, -signal.SIGFPE}
STARVED = (
    FailureClass.out_of_memory,
    "The kernel ended it because memory ran out, of the host or of the runner's control group (SIGKILL).",
    "",
)
LESS = "If it dies at the same place, lower the batch size or max_length, or ask for more memory."


def died(desk: Desk, unit: Unit, job: Job, report: JobReport) -> None:
    """The child is gone without a last word."""
    how = "the kernel ended it for want of memory" if report.starved else _how(report.exit_code)
    text = f"its process died{_times(job)} ({how})"
    tail = [str(clean(line)) for line in report.log_tail[-TAIL:]]
    kind, cause, hint = STARVED if report.starved else _why(report.exit_code)
    failure = Failure(kind=kind, message=text, cause=cause, hint=hint, log_tail=tail)
    lost(desk, unit, job, f"its process died ({how})", failure)


def runner_lost(desk: Desk, unit: Unit, job: Job, runner: Runner | None, tail: list[str]) -> None:
    """The runner that holds the job has said nothing for a lease; `tail` are the last lines of the job's log."""
    where = runner.host if runner else "its runner"
    reason = f"{where} has said nothing for {desk.settings.lease_seconds:g} s"
    failure = Failure(kind=FailureClass.runner_lost, message=f"{reason}{_times(job)}", log_tail=tail)
    lost(desk, unit, job, reason, failure, event="JobLost", runner_id=job.runner_id)


def _times(job: Job) -> str:
    """How often the job was lost, this time included, when that is more than once."""
    return f"; attempts lost in a row without a further checkpoint: {job.losses + 1}" if job.losses else ""


def _why(code: int | None) -> tuple[FailureClass, str, str]:
    """(class, likely cause, next step) of an exit code; empty texts are those of the class."""
    if code == KILL:
        cause = "The system ended it, mostly because memory ran out, or someone did (SIGKILL)."
        return FailureClass.killed, cause, f"Run it again: it goes on from its last checkpoint. {LESS}"
    if code in HARD:
        cause = "It broke in native code: torch, a kernel or a driver. The end of the log shows where."
        return FailureClass.killed, cause, ""
    if code is not None and code >= 0:
        cause = (
            "It ended before it could say why: something is wrong with the runner's installation, or with the studio."
        )
        return FailureClass.bug, cause, "Look at the last lines of the log; then run it again."
    return FailureClass.killed, "", f"Run it again: it goes on from its last checkpoint. {LESS}"


def _how(exit_code: int | None) -> str:
    if exit_code is None:
        return "killed, or its host restarted"
    if exit_code >= 0:
        return f"exit code {exit_code}"
    known = {each.value: each.name for each in signal.Signals}
    return known.get(-exit_code, f"signal {-exit_code}")
