"""The rows of a job's curves."""

from __future__ import annotations

from math import isfinite
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.events import Metrics
from core.messages.common import LONGEST_NAME
from core.store.tables import Metric

Rows = dict[tuple[str, int], dict[str, Any]]


def rows_of(job_id: str, attempt: int, record: Metrics) -> Rows:
    """What a record tells, by name and step; what the store can't hold is left out."""
    return {
        (name, record.step): {
            "job_id": job_id,
            "name": name,
            "step": record.step,
            "value": value,
            "at": record.at,
            "attempt": attempt,
        }
        for name, value in record.values.items()
        if isfinite(value) and "\0" not in name and len(name) <= LONGEST_NAME
    }


def upsert(session: Session, rows: list[dict[str, Any]]) -> None:
    """Write numbers; of a name and step that is there the new one stays."""
    if not rows:
        return
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    insert = dialect.insert(Metric.__table__)
    changed = {name: insert.excluded[name] for name in ("value", "at", "attempt")}
    session.connection().execute(
        insert.on_conflict_do_update(index_elements=["job_id", "name", "step"], set_=changed), rows
    )
