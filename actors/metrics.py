"""Handlers of a job's numbers and log."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from actors.desk import Desk
from actors.handlers import handles
from actors.jobs import target
from actors.logs import PRINTED, SPOOL, Place, lines_after, tail
from actors.world import RealWorld
from core.messages.jobs import GetJobLog, GetJobMetrics, JobLogReply, JobMetricsReply, MetricSeries
from core.queue import stream
from core.store.tables import Job, Metric

Point = tuple[int, float, float]  # step, value, unix seconds


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
    desk = world.desk
    job, records_id = _job_and_place(desk, session, message.id)
    query = select(Metric.name, Metric.step, Metric.value, Metric.at).where(Metric.job_id == job.id)
    if message.names is not None:
        query = query.where(Metric.name.in_(message.names))
    series: dict[str, list[Point]] = {}
    for name, step, value, at in session.execute(query.order_by(Metric.name, Metric.step)):
        series.setdefault(name, []).append((step, value, at))
    return JobMetricsReply(
        id=job.id,
        attempt=job.attempt,
        offset=job.accepted,
        records_id=records_id,
        series=[_series(name, points, message.points) for name, points in series.items()],
    )


def _series(name: str, points: list[Point], most: int) -> MetricSeries:
    kept = downsample(points, most)
    steps, values, times = [[point[index] for point in kept] for index in range(3)]
    return MetricSeries(name=name, steps=[int(step) for step in steps], values=values, times=times, total=len(points))


def downsample(points: list[Point], most: int) -> list[Point]:
    """At most `most` of the points: the first and last, and of each stretch in between its lowest and highest."""
    if len(points) <= most:
        return points
    inner, buckets = points[1:-1], max(1, (most - 2) // 2)
    kept = [points[0]]
    for index in range(buckets):
        stretch = inner[index * len(inner) // buckets : (index + 1) * len(inner) // buckets]
        if stretch:
            ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
            kept += sorted(ends)
    return [*kept[: most - 1], points[-1]]


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
    else:
        lines, place, more = lines_after(directory, place, message.limit, message.contains or "", name)
    told = {"attempt": place.attempt, "offset": place.offset, "line": place.line}
    return JobLogReply(id=job.id, lines=lines, records_id=records_id, has_more=more, **told)
