"""The outbox of what is told outside the studio: written in the transaction that ends a job, sent by actors/delivering.py."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from actors.desk import Desk
from actors.handlers import handles
from actors.pages import Shelf, by, equal, found, page
from actors.places import Key
from actors.world import RealWorld, as_dict
from core.errors import Conflict, Refused
from core.masking import masked_text
from core.messages.notifications import (
    ListNotifications,
    NotificationMetadata,
    NotificationsChangedReply,
    NotificationsReply,
    NotificationsRetriedReply,
    RetryNotifications,
    TestNotifications,
)
from core.rules import Breach
from core.store.session import Unit
from core.store.tables import Job, Notification
from core.text import plain
from core.types import JobKind, JobStatus, NotificationState

S = NotificationState
UNTOLD = {JobKind.plan.value}  # nobody keeps these
STOPPED = {JobKind.endpoint.value, JobKind.comparison.value}  # they go on until someone ends them, who knows then
BATCH = 1_000  # rows that are forgotten at once
AT_ONCE = 500  # that were given up are told once more by one message: others wait for the write lock meanwhile
LONGEST = 2_000  # characters of an error that are told


def note(unit: Unit, job: Job) -> None:
    """Remember that the job has ended for all who are to be told."""
    if job.kind in UNTOLD or (job.kind in STOPPED and job.status != JobStatus.failed):
        return
    for target in unit.targets:
        _add(unit, target, "job.ended", _text(job), job)


def _add(unit: Unit, target: str, type: str, text: str, job: Job | None) -> str:
    id = str(uuid4())
    told = {"id": id, "type": type, "at": unit.now, "text": text, "job": None if job is None else _facts(job)}
    row = Notification(
        id=id,
        target=target,
        job_id=None if job is None else job.id,
        body=told,
        state=S.waiting.value,
        tries=0,
        next_at=unit.now,
        give_up_at=unit.now + unit.told_for,
        created_at=unit.now,
    )
    unit.session.add(row)
    return id


def _text(job: Job) -> str:
    error = (job.error or {}).get("message") if job.status == JobStatus.failed else None
    return plain(masked_text(f"{job.name} {job.status}" + (f": {error}" if error else "")), limit=300)


def _facts(job: Job) -> dict[str, Any]:
    """What is told of a job; a failure without its traceback and log, which may hold what is nobody else's."""
    names = (
        "id",
        "kind",
        "name",
        "status",
        "attempt",
        "created_at",
        "started_at",
        "finished_at",
        "step",
        "total_steps",
    )
    error = {name: (job.error or {}).get(name) for name in ("kind", "message", "hint")} if job.error else None
    if error is not None:
        error["message"] = masked_text(str(error["message"])[: 2 * LONGEST])[:LONGEST]  # half a secret looks like none
    metrics = {name: value for name, value in (job.last_metrics or {}).items() if isinstance(value, int | float)}
    return {**{name: getattr(job, name) for name in names}, "metrics": metrics, "error": error}


def forget(desk: Desk, now: float) -> None:
    """Forget what was told, or given up, long ago."""
    bound = now - desk.settings.keep_notifications_days * 86_400
    over = or_(
        Notification.state != S.waiting.value, Notification.give_up_at < bound
    )  # some wait for what is set no more
    with desk.store.read() as session:
        query = select(Notification.id).where(Notification.created_at < bound, over).limit(BATCH)
        ids = list(session.scalars(query))
    if ids:
        with desk.store.write() as unit:
            unit.session.execute(delete(Notification).where(Notification.id.in_(ids)))


N = Notification
SHELF = Shelf(
    select(N),
    N.id,
    own=(Key(N.created_at, down=True),),
    orders=by(N, "target", "state", "tries", "created_at", "told_at"),
    seen=(N.target, N.state, N.job_id, N.error, N.id),
    what="notification",
)


@handles(ListNotifications)
def list_notifications(message: ListNotifications, session: Session, world: RealWorld) -> NotificationsReply:
    """A page of the outbox, newest first."""
    query = equal(SHELF.query, (N.state, message.state), (N.job_id, message.job_id))
    part = page(session, SHELF, message, query)
    return NotificationsReply(notifications=[_metadata(row) for row in part.rows], **part.told)


def _metadata(row: Notification) -> NotificationMetadata:
    told = {**as_dict(row), "text": str(row.body.get("text", ""))}
    return NotificationMetadata.model_validate({**told, "next_at": row.next_at if row.state == S.waiting else None})


@handles(RetryNotifications)
def retry(message: RetryNotifications, unit: Unit, world: RealWorld) -> NotificationsRetriedReply:
    """Have it told now."""
    rows, left = _given_up(unit) if message.id is None else ([_unsent(unit, message.id)], 0)
    for row in rows:
        row.state, row.next_at, row.give_up_at = S.waiting.value, unit.now, unit.now + unit.told_for
        said(unit, row, "NotificationRetried", f"{row.target}: told once more")
    return NotificationsRetriedReply(ids=[row.id for row in rows], left=left)


def _unsent(unit: Unit, id: str) -> Notification:
    row: Notification = found(unit.session, N, id, "notification", lock=True)
    if row.state == S.sent.value:
        raise Conflict("the notification was sent")
    return row


def _given_up(unit: Unit) -> tuple[list[Notification], int]:
    """The oldest that were given up, and how many there are beside them."""
    over = N.state == S.given_up.value
    oldest = select(N).where(over).order_by(N.created_at, N.id).limit(AT_ONCE).with_for_update()
    rows = list(unit.session.scalars(oldest))
    there = unit.session.scalar(select(func.count()).where(over)) or 0
    return rows, there - len(rows)


@handles(TestNotifications)
def test(message: TestNotifications, unit: Unit, world: RealWorld) -> NotificationsChangedReply:
    """Have a try told to all who would be told of a job's end."""
    if not unit.targets:
        text = "nobody is told of jobs: FTS_NOTIFY_WEBHOOK or FTS_NOTIFY_COMMAND says who is (docs/notifications.md)"
        raise Refused.because([Breach(rule="NT-102", field="", message=text)])
    text = "This is a try of the studio's notifications"
    return NotificationsChangedReply(ids=[_add(unit, target, "test", text, None) for target in unit.targets])


def said(unit: Unit, row: Notification, type: str, text: str, *, level: str = "info", **data: Any) -> None:
    """Write in the log what became of it."""
    unit.emit(type, "notifications", row.id, text, level=level, target=row.target, job_id=row.job_id, **data)
