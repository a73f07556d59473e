"""The jobs beside imported rows: how each stood, as far as the file tells; what was unfinished is over here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.events import Failure
from core.messages.common import LONGEST_NAME
from core.store.tables import Adapter, EvaluationJob, FineTuningJob, Job
from core.store.transfer.importing import Outcome
from core.store.transfer.reading import Unusable, values_of
from core.types import JobKind, JobStatus

S = JobStatus
KEPT = ("description", "priority", "step", "total_steps", "last_metrics", "summary", "started_at", "finished_at")


def job_rows(session: Session, outcomes: list[Outcome], told: list[Any], now: float) -> Iterator[Job]:
    """Yield a row of jobs for each imported fine-tuning job and batch that has none; `told` are the file's own jobs."""
    stood = _stood(told)
    for id in _wanted(session, outcomes, "fine_tuning_jobs"):
        row = session.get_one(FineTuningJob, id)
        yield _job(id, JobKind.fine_tuning, row.adapter_name, row, stood.get(id), _trained(session, id), now)
    for id in _wanted(session, outcomes, "evaluation_jobs"):
        first, ended = _batch(session, id)
        yield _job(id, JobKind.evaluation, None, first, stood.get(id), ended, now)


def _stood(told: list[Any]) -> dict[str, dict[str, Any]]:
    found = {}
    for row in told:
        try:
            values, _, _ = values_of("jobs", row)
        except Unusable:
            continue  # the job is there without it
        if values.get("id"):
            found[values["id"]] = values
    return found


def _wanted(session: Session, outcomes: list[Outcome], table: str) -> list[str]:
    """Ids of the jobs that imported rows belong to and that are not there, in the file's order."""
    ids = [each.id for each in outcomes if each.table == table and each.outcome in ("inserted", "mended")]
    if table == "evaluation_jobs":
        ids = [session.get_one(EvaluationJob, id).parent_job_id for id in ids]
    return [id for id in dict.fromkeys(ids) if id and session.get(Job, id) is None]


def _trained(session: Session, id: str) -> JobStatus | None:
    """A job whose adapter was registered has succeeded; of others a file without states tells nothing."""
    return S.succeeded if session.scalar(select(Adapter.id).where(Adapter.fine_tuning_job_id == id).limit(1)) else None


def _batch(session: Session, id: str) -> tuple[EvaluationJob, JobStatus | None]:
    rows = list(session.scalars(select(EvaluationJob).where(EvaluationJob.parent_job_id == id)))
    scored = all(row.status == S.succeeded or row.scores for row in rows)
    return rows[0], S.succeeded if scored else None


def _job(
    id: str, kind: JobKind, name: str | None, row: Any, told: dict[str, Any] | None, known: JobStatus | None, now: float
) -> Job:
    told = told or {}
    status, error = _end(told, known)
    return Job(
        id=id,
        kind=kind.value,
        name=told.get("name") or name or f"{kind.value.replace('_', ' ')} {id[:8]}",
        engine=(told.get("engine") or kind.value)[:LONGEST_NAME],
        status=status.value,
        error=error,
        spec={},
        cpus=row.num_cpu or 1,
        gpus=row.num_gpu or 0,
        memory=row.num_memory or 1,
        workers=row.num_workers or 1,
        attempt=0,
        accepted=0,
        losses=0,
        created_at=told.get("created_at") or now,
        queued_at=told.get("queued_at") or told.get("created_at") or now,
        **{name: told[name] for name in KEPT if told.get(name) is not None},
    )


def _end(told: dict[str, Any], known: JobStatus | None) -> tuple[JobStatus, dict[str, Any] | None]:
    status = told.get("status")
    if status in list(S) and S(status).finished:
        return S(status), _failure(told.get("error"))
    if status is None and known is not None:
        return known, None
    was = f"it was {status} where it was exported" if status else "the file does not tell how it ended"
    over = Failure(kind="imported", message=was, hint="Start it again here if it is still wanted.")
    return S.cancelled, over.model_dump()


def _failure(error: Any) -> dict[str, Any] | None:
    try:
        return Failure.model_validate(error).model_dump() if error else None
    except ValueError:
        return None
