"""Sessions that nobody asks make way for jobs that wait: memory held for a talk that is over is memory that lies idle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from actors import lanes, questions
from actors.allotting import Host
from actors.desk import Desk
from actors.hosts import all_runners, hosts
from actors.jobs import stop
from actors.pages import locked
from actors.scheduling import Room, Waiting
from core.settings import Settings
from core.store.session import Unit
from core.store.tables import Comparison, ComparisonQuestion, Job
from core.types import JobStatus

S = JobStatus


@dataclass(frozen=True)
class Quiet:
    """A session that has nothing to do, and what it holds; `since` in unix seconds."""

    id: str
    since: float
    room: Room


def give_way(desk: Desk, now: float) -> None:
    """One turn. While there is nothing to do it only reads."""
    with desk.store.read() as session:
        plan = list(_plan(session, desk.settings, now))
    for id, waiting in plan:
        with desk.store.write() as unit:
            unit.now = now
            _end(desk, unit, id, waiting)
    if plan:
        desk.publish()


def _plan(session: Session, settings: Settings, now: float) -> Iterator[tuple[str, str]]:
    """(session, job that waits) of each that is to end."""
    quiet = _quiet(session, now - settings.comparison_quiet_seconds)
    if not any(quiet.values()):
        return
    there = hosts(session, all_runners(session))
    for job in sorted(lanes.heads(session), key=lambda job: job.turn(now, settings.ageing_seconds)):
        for each in for_one(job, there, quiet):
            quiet = {id: [one for one in held if one.id != each.id] for id, held in quiet.items()}
            yield each.id, job.id


def _quiet(session: Session, before: float) -> dict[str, list[Quiet]]:
    """By runner: the sessions that were of no use since then and have no question open, the longest first."""
    open = select(ComparisonQuestion.number).where(
        ComparisonQuestion.comparison_id == Comparison.id, ComparisonQuestion.done.is_(False)
    )
    columns = (Job.runner_id, Job.id, Comparison.active_at, Job.started_at, Job.cpus, Job.gpus, Job.memory)
    found = (
        select(*columns).join(Comparison, Comparison.id == Job.id).where(Job.status == S.running.value, ~open.exists())
    )
    made: dict[str, list[Quiet]] = {}
    for runner_id, id, active_at, started_at, *amounts in session.execute(found):
        since = max(active_at, started_at or active_at)
        if since < before:
            made.setdefault(runner_id or "", []).append(Quiet(id, since, Room(*amounts)))
    return {runner_id: sorted(held, key=lambda each: each.since) for runner_id, held in made.items()}


def for_one(job: Waiting, there: Sequence[Host], quiet: Mapping[str, Sequence[Quiet]]) -> list[Quiet]:
    """The fewest sessions whose end makes room for the job on one runner; none where it has room, or gets it anyway."""
    able = [host for host in there if host.offer.can_ever_run(job.shape)]
    if any(host.soon.holds(job.shape.room) for host in able):
        return []
    found = filter(None, (_enough(job, host, quiet.get(host.id, ())) for host in able))
    return min(found, key=len, default=[])


def _enough(job: Waiting, host: Host, quiet: Sequence[Quiet]) -> list[Quiet]:
    free = host.soon
    for number, each in enumerate(quiet, 1):
        free = free.plus(each.room)
        if free.holds(job.shape.room):
            return list(quiet[:number])
    return []


def _end(desk: Desk, unit: Unit, id: str, waiting: str) -> None:
    """End it, unless it was asked something, or the other got room elsewhere, meanwhile."""
    job: Job | None = locked(unit.session, Job, id)
    other = unit.session.get(Job, waiting)
    if job is None or other is None or other.status != S.queued or job.status != S.running:
        return
    if questions.open_ones(unit.session, id):
        return
    stop(desk, unit, job, "", f"nobody asks it, and {other.name} needs its room")
