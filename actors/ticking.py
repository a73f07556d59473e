"""Once a second: publish, expire, retain. Several processes may tick at once."""

from __future__ import annotations

import time
from contextlib import suppress

from sqlalchemy import delete, func, select, tuple_, update

from actors import freeing, gangs, keeping, kept_room, logs, notifying, planning, promoting, seams
from actors.desk import Desk
from actors.giving_way import give_way
from actors.hosts import HELD
from actors.losing import runner_lost
from actors.making_room import make_room
from core import labels
from core.failing import TAIL
from core.store.session import Unit
from core.store.tables import EventRow, Inbox, Job, JobMember, MessageRow, Meta, Metric, Runner

BATCH = 5_000  # rows that retention deletes in one transaction
RETAIN_EVERY = 60.0  # seconds


def tick(desk: Desk, now: float | None = None) -> None:
    """One turn. `now` in unix seconds is the clock's, or a test's."""
    now = time.time() if now is None else now
    desk.publish()
    # While runners can't be heard no lease ends: the gap of this clock gives them a whole one when they can.
    if _due(desk, now) and desk.hears():
        tails = _tails(desk, now)
        with desk.store.write() as unit:
            unit.now = now
            _expire(desk, unit, tails)
        desk.publish()
    make_room(desk, now)
    seams.mend(desk)
    give_way(desk, now)
    promoting.advance(desk, now)
    if now % RETAIN_EVERY < 1:
        retain(desk, now)


def _due(desk: Desk, now: float) -> bool:
    """Whether there is anything to write: an idle studio's tick only reads."""
    with desk.store.read() as session:
        last = float(session.scalar(select(Meta.value).where(Meta.key == "last_tick")) or 0)
        held = session.scalar(select(func.count()).where(Job.status.in_(HELD)))
        silent = session.scalar(
            select(func.count()).where(Runner.lost.is_(False), Runner.last_seen_at < now - desk.settings.lease_seconds)
        )
    return bool(silent) or (bool(held) and now - last >= 1) or now - last >= desk.settings.lease_seconds / 3


def _tails(desk: Desk, now: float) -> dict[str, list[str]]:
    """The last lines of the logs of jobs that are lost for good now: files are not read while the store is locked."""
    given_up = (Job.lease_expires_at < now, Job.losses >= desk.settings.max_losses)
    with desk.store.read() as session:
        ids = list(session.scalars(select(Job.id).where(Job.status.in_(HELD), *given_up)))
    found = {}
    for id in ids:
        with suppress(OSError):
            lines = logs.tail(desk.settings.artifacts_root / "jobs" / id, TAIL)
            found[id] = [line for each in lines for line in each.text.splitlines()][-TAIL:]
    return found


def _expire(desk: Desk, unit: Unit, tails: dict[str, list[str]]) -> None:
    """Take jobs from runners that said nothing for a lease; after a gap of our own, only when a whole lease has passed again."""
    lease = desk.settings.lease_seconds
    last = float(unit.session.scalar(select(Meta.value).where(Meta.key == "last_tick")) or 0)
    unit.session.merge(Meta(key="last_tick", value=repr(unit.now)))
    if unit.now - last > lease / 3 + 1:
        unit.session.execute(update(Job).where(Job.status.in_(HELD)).values(lease_expires_at=unit.now + lease))
        unit.session.execute(update(JobMember).values(lease_expires_at=unit.now + lease))
        unit.session.execute(update(Runner).where(Runner.lost.is_(False)).values(last_seen_at=unit.now))
        return
    overdue = select(Job).where(Job.status.in_(HELD), Job.lease_expires_at < unit.now).with_for_update(skip_locked=True)
    for job in unit.session.scalars(overdue):
        _lose(desk, unit, job, job.runner_id, tails)
    for job, runner_id in gangs.overdue(unit.session, unit.now):
        _lose(desk, unit, job, runner_id, tails)
    silent = select(Runner).where(Runner.lost.is_(False), Runner.last_seen_at < unit.now - lease)
    for runner in unit.session.scalars(silent.with_for_update(skip_locked=True)):  # one that reports now is not silent
        if labels.is_of_job(
            labels.told(runner.labels)
        ):  # it was there for one job; a pod that is started again comes anew
            unit.session.delete(runner)
            unit.emit("ResourceRemoved", "runners", runner.id, f"{runner.host} is gone", name=runner.host)
            continue
        runner.lost = True
        kept_room.give_up(unit.session, runner)
        unit.emit(
            "RunnerLost",
            "runners",
            runner.id,
            f"runner {runner.host} has said nothing for {lease:g} s",
            level="warning",
            host=runner.host,
        )


def _lose(desk: Desk, unit: Unit, job: Job, runner_id: str | None, tails: dict[str, list[str]]) -> None:
    runner = unit.session.get(Runner, runner_id) if runner_id else None
    runner_lost(desk, unit, job, runner, tails.get(job.id, []))
    gangs.dissolve(desk, unit, job)


def retain(desk: Desk, now: float) -> None:
    """Forget what the settings say may be forgotten, in small transactions."""
    settings = desk.settings
    with desk.store.write() as unit:
        _keep(unit, EventRow, settings.keep_events)
        _keep(unit, MessageRow, settings.keep_messages)
        stale = select(Inbox.key).where(Inbox.at < now - settings.keep_inbox_hours * 3600).limit(BATCH)
        unit.session.execute(delete(Inbox).where(Inbox.key.in_(stale)))
        old = select(Job.id).where(Job.finished_at < now - settings.keep_metrics_days * 86_400)
        key = (Metric.job_id, Metric.name, Metric.step)
        some = select(*key).where(Metric.job_id.in_(old)).limit(BATCH)
        unit.session.execute(delete(Metric).where(tuple_(*key).in_(some)).execution_options(synchronize_session=False))
    planning.forget(desk, now)
    notifying.forget(desk, now)
    keeping.sweep(desk, now)
    freeing.sweep(desk)


def _keep(unit: Unit, table: type[EventRow | MessageRow], number: int) -> None:
    """Forget all but the newest rows of a log, not too many at once."""
    newest, oldest = (unit.session.scalar(select(each)) or 0 for each in (func.max(table.id), func.min(table.id)))
    unit.session.execute(delete(table).where(table.id <= min(newest - number, oldest + BATCH)))
