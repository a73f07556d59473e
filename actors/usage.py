"""What jobs take of their hosts, as their runners tell it: a curve of few points beside those of the training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.desk import Desk
from core.messages.common import LONGEST_NAME
from core.messages.runners import Usage
from core.store.session import Unit
from core.store.tables import Job
from core.types import SYSTEM

WIDTH = 15  # seconds of a point
MOST = 2_000  # points of a width; a job that runs longer gets them twice as wide, and so on
NAMES = 64  # of one point: eight GPUs have four each


def take(desk: Desk, unit: Unit, job: Job, told: Sequence[Usage]) -> list[dict[str, Any]]:
    """The rows of a job's curve for what its runner told; its watchers are told too.

    A point's step is the second of the job's run in which it begins.
    """
    if not told or job.started_at is None:
        return []
    points = [(each.at, _step(each.at - job.started_at), _known(each.values)) for each in told]
    points = [(at, step, values) for at, step, values in points if step is not None and values]
    if not points:
        return []
    job.last_metrics = {**(job.last_metrics or {}), **points[-1][2]}
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


def _step(seconds: float) -> int | None:
    """The second in which the point begins, as coarse as the job is long; None for what was before the job, or can't be."""
    if not 0 <= seconds + WIDTH < 2**31:
        return None
    width = WIDTH
    while seconds / width > MOST:
        width *= 2
    return int(max(0.0, seconds) // width * width)


def _known(values: dict[str, float]) -> dict[str, float]:
    names = [name for name in values if name.startswith(SYSTEM) and len(name) <= LONGEST_NAME and "\0" not in name]
    return {name: values[name] for name in names[:NAMES]}
