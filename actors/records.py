"""Taking in what a child wrote: the spool's records become metrics, states and events, in the report's transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

from pydantic import ValidationError
from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from actors import adapters
from actors.desk import Desk
from actors.jobs import fail, move, requeue
from core.events import (
    RECORD,
    Artifact,
    Checkpoint,
    Failure,
    Finished,
    Metrics,
    Phase,
    Progress,
    Resumed,
    Scored,
    Started,
    Warned,
)
from core.store.session import Unit
from core.store.tables import Adapter, EvaluationJob, FineTuningJob, Job, Metric
from core.types import AdapterType, JobKind, JobStatus

S = JobStatus
CHUNK = 500  # metric rows a statement


class Intake:
    """The records of one report for one job."""

    def __init__(self, desk: Desk, unit: Unit, job: Job, *, draining: bool) -> None:
        self.desk, self.unit, self.job, self.draining = desk, unit, job, draining
        self.metrics: dict[tuple[str, int], dict[str, Any]] = {}

    def take(self, records: Iterable[dict[str, Any]]) -> None:
        """Take the records in, in order. One that this version can't read is passed over: the spool keeps it."""
        for raw in records:
            try:
                record = RECORD.validate_python(raw)
            except ValidationError:
                continue
            handler = _TAKES.get(type(record))
            if handler is not None:
                handler(self, record)
        self.flush()

    def flush(self) -> None:
        """Write the numbers collected so far, all at once."""
        rows = list(self.metrics.values())
        for start in range(0, len(rows), CHUNK):
            _upsert(self.unit.session, rows[start : start + CHUNK])
        self.metrics.clear()

    def started(self, record: Started) -> None:
        """The child runs."""
        job = self.job
        job.started_at = job.started_at or record.at
        job.total_steps = record.total_steps or job.total_steps
        if job.status == S.assigned:
            move(
                self.unit,
                job,
                S.running,
                f"{job.name} runs on {record.device}",
                runner_id=job.runner_id,
                device=record.device,
            )

    def phase(self, record: Phase) -> None:
        """What the child does now."""
        self.job.phase = record.name

    def numbers(self, record: Metrics) -> None:
        """Numbers of a step; the same step of an earlier attempt is overwritten."""
        job = self.job
        for name, value in record.values.items():
            self.metrics[name, record.step] = {
                "job_id": job.id,
                "name": name,
                "step": record.step,
                "value": value,
                "at": record.at,
                "attempt": job.attempt,
            }
        job.last_metrics = {**(job.last_metrics or {}), **record.values}
        job.step = max(record.step, job.step if job.kind == JobKind.fine_tuning else 0)

    def progress(self, record: Progress) -> None:
        """How far the child is."""
        job = self.job
        job.step, job.total_steps = record.step, record.total_steps
        job.eta_seconds, job.tokens_per_second = record.eta_seconds, record.tokens_per_second or job.tokens_per_second

    def warned(self, record: Warned) -> None:
        """Something is done otherwise than asked."""
        self.unit.emit("JobWarning", "jobs", self.job.id, record.text, level="warning", attempt=self.job.attempt)

    def resumed(self, record: Resumed) -> None:
        """Later steps of earlier attempts come again: their numbers are cut."""
        job = self.job
        self.flush()
        self.unit.session.execute(delete(Metric).where(Metric.job_id == job.id, Metric.step > record.from_step))
        job.step = record.from_step
        text = f"{job.name} goes on from step {record.from_step}"
        self.unit.emit(
            "JobResumed", "jobs", job.id, text, attempt=job.attempt, from_step=record.from_step, path=record.path
        )

    def checkpoint(self, record: Checkpoint) -> None:
        """A checkpoint exists: what was lost so far no longer counts against the job."""
        job = self.job
        job.checkpoint, job.losses = record.path, 0
        text = f"{job.name}: checkpoint at step {record.step}"
        self.unit.emit("CheckpointSaved", "jobs", job.id, text, attempt=job.attempt, step=record.step, path=record.path)

    def artifact(self, record: Artifact) -> None:
        """A result exists."""
        job = self.job
        job.summary = {**(job.summary or {}), record.kind: record.path, f"{record.kind}_files": record.files}
        self.unit.emit(
            "ArtifactSaved",
            "jobs",
            job.id,
            f"{job.name}: {record.kind} saved",
            attempt=job.attempt,
            kind_of=record.kind,
            path=record.path,
        )

    def scored(self, record: Scored) -> None:
        """A combination began or ended."""
        row = self.unit.session.get(EvaluationJob, record.job_id)
        if row is None or row.parent_job_id != self.job.id or row.status in {S.cancelled, S.succeeded}:
            return
        row.status = record.status
        if record.status == "running":
            row.started_at = record.at
            return
        row.scores, row.rows, row.answers, row.error, row.finished_at = (
            record.values,
            record.rows,
            record.answers,
            record.error,
            record.at,
        )
        text = ", ".join(f"{name} {value:.3g}" for name, value in record.values.items()) or (record.error or "")
        self.unit.emit(
            "EvaluationFinished",
            "evaluation_jobs",
            row.id,
            text,
            status=record.status,
            job_id=row.id,
            metrics=record.values,
        )

    def finished(self, record: Finished) -> None:
        """The attempt is over."""
        job = self.job
        job.summary = {**(job.summary or {}), **record.summary}
        if record.outcome == "succeeded":
            job.step = job.total_steps or job.step
            if job.kind == JobKind.fine_tuning:
                register_adapter(self.unit, job)
            move(self.unit, job, S.succeeded)
        elif record.outcome == "failed":
            fail(self.unit, job, record.error or Failure(kind="internal", message="the child gave no reason"))
        elif record.outcome == "cancelled":
            move(self.unit, job, S.cancelled)
        elif self.draining:
            requeue(self.unit, job, "its runner is draining")
        else:
            move(self.unit, job, S.paused if job.status == S.pausing else S.queued)


_TAKES: dict[type, Callable[[Intake, Any], None]] = {
    Started: Intake.started,
    Phase: Intake.phase,
    Metrics: Intake.numbers,
    Progress: Intake.progress,
    Warned: Intake.warned,
    Resumed: Intake.resumed,
    Checkpoint: Intake.checkpoint,
    Artifact: Intake.artifact,
    Scored: Intake.scored,
    Finished: Intake.finished,
}


def register_adapter(unit: Unit, job: Job) -> None:
    """Register the adapter that a job trained. A name that was taken meanwhile gets a suffix, and that is told."""
    row = unit.session.get(FineTuningJob, job.id)
    location = (job.summary or {}).get("adapter")
    if row is None or not row.auto_add_adapter or location is None:
        return
    name = row.adapter_name or job.id
    if _taken(unit.session, name):
        name = f"{name}-{job.id[:8]}"
        unit.emit(
            "JobWarning",
            "jobs",
            job.id,
            f"the adapter's name was taken; it is registered as {name}",
            level="warning",
            attempt=job.attempt,
        )
    adapter = Adapter(
        id=str(uuid4()),
        type=AdapterType.project.value,
        name=name,
        model_id=row.base_model_id,
        location=location,
        fine_tuning_job_id=row.id,
        prompt_id=row.prompt_id,
        files=(job.summary or {}).get("adapter_files"),
        created_at=unit.now,
    )
    row.adapter_id = adapters.store(unit, adapter).id


def _taken(session: Session, name: str) -> bool:
    return session.scalar(select(Adapter.id).where(Adapter.name == name)) is not None


def _upsert(session: Session, rows: list[dict[str, Any]]) -> None:
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    insert = dialect.insert(Metric).values(rows)
    changed = {name: insert.excluded[name] for name in ("value", "at", "attempt")}
    session.execute(insert.on_conflict_do_update(index_elements=["job_id", "name", "step"], set_=changed))
