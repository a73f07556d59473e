"""Jobs that stand still on their runner because its disk is full or away: they keep their lease, and go on by themselves."""

from __future__ import annotations

from core.messages.runners import Short
from core.store.session import Unit
from core.store.tables import Job
from core.text import plain


def hold(unit: Unit, job: Job, reason: str, needed: int, free: int, rank: int = 0) -> None:
    """Note that the job stands still, and say so once. `rank` is that of the runner of several that it waits for."""
    before = job.held
    if before is not None and before.get("rank", 0) != rank:
        return  # it waits for another one already
    since = before["since"] if before else unit.now
    job.held = {"since": since, "reason": reason, "needed": needed, "free": free, "rank": rank}
    if before is None:
        unit.emit(
            "JobHeld", "jobs", job.id, f"{job.name} stands still: {reason}",
            level="warning", attempt=job.attempt, reason=reason, needed=needed, free=free,
        )  # fmt: skip


def go_on(unit: Unit, job: Job, rank: int = 0) -> None:
    """There is room again where it was waited for."""
    if job.held is not None and job.held.get("rank", 0) == rank:
        seconds = round(unit.now - job.held["since"], 1)
        text = f"{job.name} goes on: {'there is room' if job.held['needed'] else 'its files can be reached'} again"
        job.held = None
        unit.emit("JobHasRoom", "jobs", job.id, text, attempt=job.attempt, seconds=seconds)


def before_it_begins(unit: Unit, job: Job, short: Short | None, rank: int = 0, host: str = "") -> None:
    """What the runner says of the room for the files of a job that has yet to begin; of several runners this is one's word."""
    where = f" on {host}" if host else ""
    if short is None:
        go_on(unit, job, rank)
    elif short.away:
        hold(unit, job, plain(short.away) + where, 0, 0, rank)
    else:
        mib = f"{short.needed >> 20} MiB are needed, and {short.free >> 20} MiB are free on the runner's disk"
        hold(unit, job, f"no room to begin{where} ({mib})", short.needed, short.free, rank)
