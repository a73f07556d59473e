"""A job's curves out of the store: of a long one the database itself finds what sticks out, so that a million steps are
told in half a second."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from core.curves import stretches, thinned
from core.messages.jobs import GetJobMetrics, MetricSeries
from core.store.tables import Metric

LONG = 20_000  # points from which on the database thins a curve
AT_ONCE = 500  # steps that are asked for by number

Point = tuple[int, float, float]  # step, value, unix seconds


def series(session: Session, job_id: str, asked: GetJobMetrics) -> list[MetricSeries]:
    """The series that are asked for, each of `points` points at most; their times are of those very points."""
    where = _where(job_id, asked)
    spans = select(Metric.name, func.count(), func.min(Metric.step), func.max(Metric.step)).where(*where)
    found: dict[str, list[Point]] = {}
    totals: dict[str, int] = {}
    for name, total, first, last in session.execute(spans.group_by(Metric.name).order_by(Metric.name)):
        totals[name], found[name] = total, []
        if total > max(LONG, asked.points):
            found[name] = _told(
                session, job_id, name, _steps(session, [*where, Metric.name == name], first, last, asked)
            )
    short = [name for name, points in found.items() if not points]
    columns = select(Metric.name, Metric.step, Metric.value, Metric.at)
    for name, step, value, at in session.execute(
        columns.where(*where, Metric.name.in_(short)).order_by(Metric.name, Metric.step)
    ):
        found[name].append((step, value, at))
    return [_series(name, thinned(points, asked.points), totals[name]) for name, points in found.items()]


def _where(job_id: str, asked: GetJobMetrics) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = [Metric.job_id == job_id]
    if asked.names is not None:
        where.append(Metric.name.in_(asked.names))
    if asked.first_step is not None:
        where.append(Metric.step >= asked.first_step)
    if asked.last_step is not None:
        where.append(Metric.step <= asked.last_step)
    return where


def _steps(
    session: Session, where: Sequence[ColumnElement[bool]], first: int, last: int, asked: GetJobMetrics
) -> list[int]:
    """The steps of a long series that are told: both ends, and where each stretch is lowest and highest."""
    wide = (last - first) // stretches(asked.points) + 1
    bucket = ((Metric.step - first) // wide).label("bucket")
    ends = select(bucket, func.min(Metric.value).label("low"), func.max(Metric.value).label("high")).where(*where)
    edge = ends.group_by(bucket).subquery()
    extremes = (
        select(func.min(Metric.step))
        .join(edge, bucket == edge.c.bucket)
        .where(*where, Metric.value.in_([edge.c.low, edge.c.high]))
        .group_by(edge.c.bucket, Metric.value)
    )
    return sorted({first, last, *session.scalars(extremes)})


def _told(session: Session, job_id: str, name: str, steps: list[int]) -> list[Point]:
    """The points at these steps."""
    columns = select(Metric.step, Metric.value, Metric.at).where(Metric.job_id == job_id, Metric.name == name)
    points: list[Point] = []
    for begin in range(0, len(steps), AT_ONCE):
        wanted = columns.where(Metric.step.in_(steps[begin : begin + AT_ONCE])).order_by(Metric.step)
        points += [(step, value, at) for step, value, at in session.execute(wanted)]
    return points


def _series(name: str, points: Sequence[Point], total: int) -> MetricSeries:
    return MetricSeries(
        name=name,
        steps=[step for step, _, _ in points],
        values=[value for _, value, _ in points],
        times=[at for _, _, at in points],
        total=total,
    )
