"""What jobs take of their hosts, as their runners tell it: a curve of few points beside those of the training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from actors.desk import Desk
from core.messages.common import LONGEST_NAME
from core.messages.runners import Usage
from core.store.session import Unit
from core.store.tables import Job, Metric
from core.types import SYSTEM

WIDTH = 15  # seconds of a point
MOST = 2_000  # points of a width; a job that runs longer gets them twice as wide, and so on
STEADY = f"{SYSTEM}memory"  # told of every process, from the first second on
NAMES = 64  # of one point: eight GPUs have four each


def take(desk: Desk, unit: Unit, job: Job, told: Sequence[Usage]) -> list[dict[str, Any]]:
    """The rows of a job's curve for what its runner told; its watchers are told too.

    A point's step is the second of the job's run in which it begins: the time between attempts does not count.
    """
    if not told or job.started_at is None:
        return []
    since, before = _base(unit.session, job, told[0])
    points = [(each.at, _step(each.at - since, before), _known(each.values)) for each in told]
    points = [(at, step, values) for at, step, values in points if step is not None and values]
    if not points:
        return []
    others = {name: value for name, value in (job.last_metrics or {}).items() if not name.startswith(SYSTEM)}
    job.last_metrics = others | points[-1][2]
    shown = [{"step": step, "values": values} for _, step, values in points]
    desk.tell(
        unit,
        job.id,
        {"attempt": job.attempt, "from": job.accepted, "to": job.accepted, "records": [], "usage": shown},
    )
    same = {"job_id": job.id, "attempt": job.attempt}
    rows = {
        (name, step): {**same, "name": name, "step": step, "value": value, "at": at}
        for at, step, values in points
        for name, value in values.items()
    }
    return list(rows.values())


def _base(session: Session, job: Job, first: Usage) -> tuple[float, int]:
    """(when the attempt began, in unix seconds; how many seconds of the run there were before it)."""
    began = job.started_at or 0.0
    if job.attempt == 1:
        return began, 0
    name = next((each for each in (STEADY, *first.values) if each in first.values), STEADY)
    curve = select(Metric.at, Metric.step).where(Metric.job_id == job.id)
    own = curve.where(Metric.name == name, Metric.attempt == job.attempt).order_by(Metric.step).limit(1)
    if (row := session.execute(own).first()) is not None:
        return row.at, row.step
    ours = (Metric.job_id == job.id, Metric.name.startswith(SYSTEM, autoescape=True))
    last = session.scalar(select(func.max(Metric.step)).where(*ours))
    return first.at, 0 if last is None else last + WIDTH


def _step(seconds: float, before: int = 0) -> int | None:
    """The second in which the point begins, as coarse as the job is long; None for what was before the attempt, or can't be.

    `seconds` are those of the attempt, `before` those of earlier ones.
    """
    if not 0 <= seconds + WIDTH < 2**31 - before:
        return None
    width, seconds = WIDTH, seconds + before
    while seconds / width > MOST:
        width *= 2
    return int(max(0.0, seconds) // width * width)


def _known(values: dict[str, float]) -> dict[str, float]:
    names = [name for name in values if name.startswith(SYSTEM) and len(name) <= LONGEST_NAME and "\0" not in name]
    return {name: values[name] for name in names[:NAMES]}
