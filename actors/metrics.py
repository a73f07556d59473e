"""Handlers of a job's numbers and log."""

from __future__ import annotations

from sqlalchemy.orm import Session

from actors.curves import series
from actors.desk import Desk
from actors.handlers import handles
from actors.jobs import target
from actors.logs import PRINTED, SPOOL, Place, lines_after, tail
from actors.world import RealWorld
from core.messages.jobs import GetJobLog, GetJobMetrics, JobLogReply, JobMetricsReply
from core.queue import stream
from core.store.tables import Job


def _job_and_place(desk: Desk, session: Session, id: str) -> tuple[Job, str]:
    """The job (of an evaluation: its batch), and where its stream is to be followed from.

    The place is read first, and the job then as it is now: a record that comes in between is met twice, never missed.
    """
    with desk.store.read() as earlier:
        known = target(earlier, id)[0].id
    records_id = stream.last_record(desk.redis, desk.settings.namespace, known)
    return target(session, id)[0], records_id


@handles(GetJobMetrics)
def get_job_metrics(message: GetJobMetrics, session: Session, world: RealWorld) -> JobMetricsReply:
    """A job's series, downsampled. Where to follow from is read before the snapshot: what comes twice is told by its offset."""
    job, records_id = _job_and_place(world.desk, session, message.id)
    return JobMetricsReply(
        id=job.id,
        attempt=job.attempt,
        offset=job.accepted,
        records_id=records_id,
        series=series(session, job.id, message),
    )


@handles(GetJobLog)
def get_job_log(message: GetJobLog, session: Session, world: RealWorld) -> JobLogReply:
    """Lines of a job's log, of all its attempts in order."""
    desk = world.desk
    job, records_id = _job_and_place(desk, session, message.id)
    directory = desk.settings.artifacts_root / "jobs" / job.id
    anywhere = message.attempt is None or message.offset is None
    place, more = Place(message.attempt or 0, message.offset or 0, 0 if anywhere else message.line), False
    name = PRINTED if message.printed else SPOOL
    if anywhere and message.contains is None:
        lines = tail(directory, message.limit, name)
        place = Place(lines[-1].attempt, lines[-1].offset) if lines else place
    elif message.before and message.contains is None:
        lines = tail(directory, message.limit, name, place)
        more = len(lines) == message.limit
    else:
        lines, place, more = lines_after(directory, place, message.limit, message.contains or "", name)
    told = {"attempt": place.attempt, "offset": place.offset, "line": place.line}
    return JobLogReply(id=job.id, lines=lines, records_id=records_id, has_more=more, **told)
