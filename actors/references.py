"""Who uses a resource: the unfinished jobs that name it, looked up in their rows.

Finished jobs hold nothing, since they carry snapshots; a batch of evaluations holds all of its combinations until it ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Executable, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.rules import Row
from core.store.tables import (
    EVERY_TABLE,
    Comparison,
    ComparisonAdapter,
    Endpoint,
    EvaluationJob,
    ExportJob,
    FineTuningJob,
    Job,
)
from core.types import JobStatus

UNFINISHED = tuple(each.value for each in JobStatus if not each.finished)
CHUNK = 1_000  # ids in one statement: databases bound the number of its parameters
Link = tuple[InstrumentedAttribute[str | None], ColumnElement[bool]]
_TRAINS, _EVALUATES = Job.id == FineTuningJob.id, Job.id == EvaluationJob.parent_job_id
_EXPORTS, _SERVES = Job.id == ExportJob.id, Job.id == Endpoint.id
_COMPARES = Job.id == Comparison.id
# The columns by which jobs name a row of each table, and how their rows lead to the job. Indexes serve all of them.
USES: dict[str, tuple[Link, ...]] = {
    "models": (
        (FineTuningJob.base_model_id, _TRAINS),
        (EvaluationJob.base_model_id, _EVALUATES),
        (ExportJob.base_model_id, _EXPORTS),
        (Endpoint.base_model_id, _SERVES),
        (Comparison.base_model_id, _COMPARES),
    ),
    "datasets": (
        (FineTuningJob.dataset_id, _TRAINS),
        (EvaluationJob.dataset_id, _EVALUATES),
        (Comparison.dataset_id, _COMPARES),
    ),
    "prompts": (
        (FineTuningJob.prompt_id, _TRAINS),
        (EvaluationJob.prompt_id, _EVALUATES),
        (Comparison.prompt_id, _COMPARES),
    ),
    "adapters": (
        (FineTuningJob.adapter_id, _TRAINS),
        (EvaluationJob.adapter_id, _EVALUATES),
        (ExportJob.adapter_id, _EXPORTS),
        (ComparisonAdapter.adapter_id, Job.id == ComparisonAdapter.comparison_id),
    ),
}


def users(session: Session, table: str, ids: Sequence[str], *, lock: bool = True) -> list[Row]:
    """The unfinished jobs that use one of the rows, in order of their names: id, name, kind and status of each.

    The rows are locked first, unless one only looks: a job that is being stored meanwhile is seen, or finds the row gone and
    is refused.
    """
    found: dict[str, Row] = {}
    for some in _chunks(ids):
        if lock:
            _lock(session, EVERY_TABLE[table], some)
        for query in _queries(table, some):
            found.update((row["id"], dict(row)) for row in session.execute(query).mappings())
        if table == "adapters":
            found.update(_serving(session, set(some)))
    return sorted(found.values(), key=lambda row: (row["name"], row["id"]))


def _serving(session: Session, adapters: set[str]) -> Iterator[tuple[str, Row]]:
    """The endpoints that are not over and serve one of the adapters: each has a list of them, and they are few."""
    jobs = select(Job.id, Job.name, Job.kind, Job.status, Endpoint.adapter_ids).join(Endpoint, _SERVES)
    for row in session.execute(jobs.where(Job.status.in_(UNFINISHED))).mappings():
        if adapters & set(row["adapter_ids"]):
            yield row["id"], {name: row[name] for name in ("id", "name", "kind", "status")}


def _queries(table: str, ids: Sequence[str]) -> Iterator[Executable]:
    for column, link in USES[table]:
        jobs = select(Job.id, Job.name, Job.kind, Job.status).join(column.class_, link).distinct()
        yield jobs.where(column.in_(ids), Job.status.in_(UNFINISHED))


def _lock(session: Session, model: Any, ids: Sequence[str]) -> None:
    session.execute(select(model.id).where(model.id.in_(ids)).order_by(model.id).with_for_update()).all()


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))
