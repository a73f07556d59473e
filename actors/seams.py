"""Numbers that an attempt wrote and nobody told, when the next one goes on from a checkpoint behind them.

A runner that fell silent goes on for a while, and so may a member of several; its last checkpoint is as good as any. What
the curve lacks then lies in the spool of that attempt: the tick reads it, while nothing is locked.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import func, select

from actors import keeping, logs
from actors.desk import Desk
from actors.numbers import Rows, rows_of, upsert
from core.events import RECORD, Metrics
from core.store.session import Unit
from core.store.tables import Job, Meta, Metric
from core.types import SYSTEM

NOTE = "seam:"  # + job: the key of a note in meta
BATCH = 100  # jobs in one turn
LOOK = (
    1 << 18
)  # bytes of the end of a spool that are looked through first, four times as many each time they are too few


def note(unit: Unit, job: Job, from_step: int) -> None:
    """Note which steps before the one that is gone on from have no numbers, if there are any."""
    known = select(func.max(Metric.step)).where(Metric.job_id == job.id, ~Metric.name.startswith(SYSTEM))
    last = unit.session.scalar(known.where(Metric.step <= from_step)) or 0
    if last < from_step:
        unit.session.merge(Meta(key=f"{NOTE}{job.id}", value=json.dumps([last, from_step, job.attempt])))


def mend(desk: Desk) -> None:
    """Read what is lacking. While the artifacts are away it waits."""
    with desk.store.read() as session:
        notes = session.scalars(select(Meta).where(Meta.key.startswith(NOTE, autoescape=True)).limit(BATCH))
        seams = {each.key: json.loads(each.value) for each in notes}
    if not seams or not keeping.there(desk):
        return
    for key, (last, from_step, attempt) in seams.items():
        id = key.removeprefix(NOTE)
        rows: Rows = {}
        try:
            directory = desk.settings.artifacts_root / "jobs" / id
            for earlier in (each for each in logs.attempts(directory) if each < attempt):
                for record in _told(directory / str(earlier) / logs.SPOOL, last):
                    if last < record.step <= from_step:
                        rows |= rows_of(id, earlier, record)
        except OSError as error:
            desk.away(f"the curve of {id} lacks some numbers for now: {error}")
            continue
        with desk.store.write() as unit:
            if unit.session.get(Job, id, with_for_update=True) is not None:
                upsert(unit.session, list(rows.values()))
            if (done := unit.session.get(Meta, key)) is not None:
                unit.session.delete(done)


def _told(path: Path, after: int) -> list[Metrics]:
    """The numbers of a spool from a step on that is not after `after`, as far as it goes back."""
    size, look = path.stat().st_size if path.exists() else 0, LOOK
    while True:
        start = max(0, size - look)
        found = [record for raw, _ in logs.whole(path, start) if (record := _numbers(raw)) is not None]
        if start == 0 or any(record.step <= after for record in found):
            return found
        look *= 4


def _numbers(raw: bytes) -> Metrics | None:
    if not raw.startswith(b'{"type": "metrics"'):
        return None
    try:
        record: Any = RECORD.validate_python(json.loads(raw))
    except (ValueError, RecursionError, ValidationError):
        return None
    return record if isinstance(record, Metrics) else None
