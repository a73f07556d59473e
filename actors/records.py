"""Taking in what a child wrote: the spool's records become metrics, states and events, in the report's transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any

from pydantic import ValidationError
from sqlalchemy import delete, select

from actors import exporting, holding, lineage, planning, questions, results, seams
from actors.desk import Desk
from actors.jobs import fail, move, requeue, stopped, told_end
from actors.numbers import rows_of, upsert
from core.events import (
    PROVEN,
    RECORD,
    Artifact,
    Checkpoint,
    Drawn,
    Failure,
    Finished,
    Held,
    MemoryRanOut,
    Metrics,
    Phase,
    Placed,
    Progress,
    Rendezvous,
    Resumed,
    Said,
    Scored,
    Served,
    Serving,
    Started,
    Unheld,
    Warned,
)
from core.masking import masked_text
from core.messages.runners import JobReport
from core.store.session import Unit
from core.store.tables import Endpoint, EvaluationJob, FineTuningJob, Job, Metric
from core.types import SYSTEM, FailureClass, JobKind, JobStatus

S = JobStatus
LAST = 256  # names of numbers whose newest value is told: those that were told last
LARGEST = 2**63 - 1  # what a column of whole numbers holds


class Intake:
    """The records of one report for one job."""

    def __init__(self, desk: Desk, unit: Unit, job: Job, *, draining: bool) -> None:
        self.desk, self.unit, self.job, self.draining = desk, unit, job, draining
        self.metrics: dict[tuple[str, int], dict[str, Any]] = {}
        self.last: dict[str, float] = {}
        self.listens_at: str | None = None  # the first of several runners, for the others

    def take(self, records: Iterable[dict[str, Any]]) -> None:
        """Take the records in, in order. One that this version can't read is passed over: the spool keeps it."""
        for raw in records:
            if not JobStatus(self.job.status).held:
                break  # nothing follows the end of an attempt
            try:
                record = RECORD.validate_python(raw if raw.get("type") == "metrics" else clean(raw))
            except ValidationError:
                continue
            handler = _TAKES.get(type(record))
            if handler is not None:
                handler(self, record)
        self.flush()

    def flush(self) -> None:
        """Write the numbers collected so far, all at once."""
        if self.metrics:
            upsert(self.unit.session, list(self.metrics.values()))
            before = {name: value for name, value in (self.job.last_metrics or {}).items() if name not in self.last}
            self.job.last_metrics = dict([*before.items(), *self.last.items()][-LAST:])
        self.metrics.clear()

    def _safe(self, text: str) -> str:
        """What went wrong, without a secret that a library's words may quote."""
        return masked_text(text, self.desk.secrets)

    def started(self, record: Started) -> None:
        """The child runs; what it saves from here on may be gone on from, also in a job that began anew."""
        job = self.job
        job.fresh = False
        if job.kind == JobKind.comparison:
            questions.begin_anew(self.unit.session, job)
            questions.active(self.unit, job.id)  # it can be asked from now on, however long it had waited
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
        rows = rows_of(job.id, job.attempt, record)
        self.metrics |= rows
        self.last.update({name: row["value"] for (name, _), row in rows.items()})
        job.step = max(record.step, job.step if job.kind == JobKind.fine_tuning else 0)

    def progress(self, record: Progress) -> None:
        """How far the child is."""
        job = self.job
        job.step, job.total_steps = record.step, record.total_steps
        job.eta_seconds, job.tokens_per_second = record.eta_seconds, record.tokens_per_second or job.tokens_per_second

    def warned(self, record: Warned) -> None:
        """Something is done otherwise than asked."""
        told = {"attempt": self.job.attempt, "kind": self.job.kind}
        text = f"{self.job.name}: {self._safe(record.text)}"
        self.unit.emit("JobWarning", "jobs", self.job.id, text, level="warning", **told)

    def ran_out(self, record: MemoryRanOut) -> None:
        """Memory ran out: the training goes on with less at once, which gives one that died of it another chance."""
        if record.starved:
            self.job.losses = 0
        numbers = record.model_dump(include={"step", "batch", "accumulation"})
        self.unit.emit(
            "JobMemoryReduced", "jobs", self.job.id, record.text, level="warning", attempt=self.job.attempt, **numbers
        )

    def held(self, record: Held) -> None:
        """It stands still for want of room."""
        holding.hold(self.unit, self.job, self._safe(record.text), record.needed, record.free)

    def unheld(self, record: Unheld) -> None:
        """It goes on."""
        holding.go_on(self.unit, self.job)

    def resumed(self, record: Resumed) -> None:
        """Later steps of earlier attempts come again: their numbers are cut."""
        job = self.job
        self.flush()
        earlier = (
            Metric.job_id == job.id,
            Metric.attempt < job.attempt,
            Metric.step > record.from_step,
            ~Metric.name.startswith(SYSTEM),
        )
        self.unit.session.execute(delete(Metric).where(*earlier))
        seams.note(self.unit, job, record.from_step)
        job.step = record.from_step
        text = f"{job.name} goes on from step {record.from_step}"
        self.unit.emit(
            "JobResumed", "jobs", job.id, text, attempt=job.attempt, from_step=record.from_step, path=record.path
        )

    def checkpoint(self, record: Checkpoint) -> None:
        """A checkpoint exists; when it is further than any before, the deaths so far no longer count against the job."""
        job = self.job
        if record.step > (job.summary or {}).get("checkpoint_step", -1):
            job.losses = 0
            job.summary = {**(job.summary or {}), "checkpoint_step": record.step}
        job.checkpoint = record.path
        lineage.note_weights(self.unit.session, job.id, record.files)
        text = f"{job.name}: checkpoint at step {record.step}"
        self.unit.emit("CheckpointSaved", "jobs", job.id, text, attempt=job.attempt, step=record.step, path=record.path)

    def artifact(self, record: Artifact) -> None:
        """A result exists."""
        job = self.job
        job.summary = {**(job.summary or {}), record.kind: record.path, f"{record.kind}_files": record.files}
        if job.kind == JobKind.fine_tuning:
            lineage.note_weights(self.unit.session, job.id, record.files)
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
        if row is None or row.parent_job_id != self.job.id or row.status == S.cancelled:
            return
        sure = {name: each.model_dump() for name, each in record.statistics.items()}
        if row.status == S.succeeded:  # a later attempt says it again, and may have a baseline to compare it with
            row.statistics = sure if record.status == "succeeded" and sure else row.statistics
            return
        row.status = record.status
        if record.status == "running":
            row.started_at = record.at
            return
        values = {name: value for name, value in record.values.items() if value is not None}
        if lost := sorted(record.values.keys() - values.keys()):
            self.warned(Warned(at=record.at, text=f"evaluation {row.run_number}: {', '.join(lost)} came to no number"))
        row.scores, row.statistics, row.rows, row.answers, row.error, row.finished_at = (
            values,
            sure,
            record.rows,
            record.answers,
            self._safe(record.error) if record.error else None,
            record.at,
        )
        if record.status == "succeeded":
            self.job.losses = 0  # the next attempt takes it over: as good as a checkpoint
        told_end(
            self.unit,
            row,
            ", ".join(f"{name} {value:.3g}" for name, value in values.items()) or (row.error or ""),
        )

    def rendezvous(self, record: Rendezvous) -> None:
        """The first of several runners listens."""
        self.listens_at = record.address

    def placed(self, record: Placed) -> None:
        """It is run elsewhere; what it is called there is written into the rows that people look at."""
        session, job = self.unit.session, self.job
        child = session.get(EvaluationJob, record.job_id) if record.job_id else None
        if record.job_id and (child is None or child.parent_job_id != job.id):
            return
        batch = select(EvaluationJob).where(EvaluationJob.parent_job_id == job.id)
        rows = [child] if child else [session.get(FineTuningJob, job.id), *session.scalars(batch)]
        for row in filter(None, rows):
            row.cml_job_id = record.job
        if endpoint := self._endpoint():
            endpoint.cml_model_id = record.job
        told = record.model_dump(include={"where", "job", "name", "url"}) | {"attempt": job.attempt}
        about = ("evaluation_jobs", child.id) if child else ("jobs", job.id)
        self.unit.emit(
            "JobPlaced", *about, f"{job.name} is {'model' if endpoint else 'job'} {record.job} of Cloudera ML", **told
        )

    def serving(self, record: Serving) -> None:
        """An endpoint can be called."""
        if (row := self._endpoint()) is None:
            return
        row.address, row.served_by, row.serving_since, row.active = record.address, self.job.attempt, record.at, 0
        text = f"{self.job.name} answers at {record.address}"
        self.unit.emit("EndpointServing", "jobs", self.job.id, text, attempt=self.job.attempt, address=record.address)

    def served(self, record: Served) -> None:
        """What an endpoint did; one that has served for a while has earned another try when it dies."""
        if (row := self._endpoint()) is None:
            return
        row.requests += record.requests
        row.refused += record.refused
        row.failures += record.failures
        row.tokens += record.tokens
        row.active = record.active
        if record.requests or record.active:
            row.last_used_at = record.at
        if row.serving_since is not None and record.at - row.serving_since > PROVEN:
            self.job.losses = 0

    def _endpoint(self) -> Endpoint | None:
        return self.unit.session.get(Endpoint, self.job.id) if self.job.kind == JobKind.endpoint else None

    def drawn(self, record: Drawn) -> None:
        """A row was drawn for a question."""
        questions.take_drawn(self.unit, self.job, record)

    def said(self, record: Said) -> None:
        """A piece of an answer."""
        questions.take_said(self.unit, self.job, record)

    def finished(self, record: Finished) -> None:
        """The attempt is over."""
        job = self.job
        job.summary = {**(job.summary or {}), **record.summary, "runner_id": job.runner_id}
        if record.outcome == "succeeded":
            job.step = _steps(record) or job.total_steps or job.step
            if job.kind == JobKind.fine_tuning:
                results.register(self.desk, self.unit, job)
            elif job.kind == JobKind.plan:
                planning.learn(self.unit, job, record.summary)
            elif job.kind == JobKind.export:
                exporting.finish(self.unit, job, record.summary)
            move(self.unit, job, S.succeeded)
        elif record.outcome == "failed":
            fail(
                self.desk,
                self.unit,
                job,
                record.error or Failure(kind=FailureClass.bug, message="the child gave no reason"),
            )
        elif record.outcome == "cancelled" and record.error and job.status != S.cancel_requested:
            stopped(self.desk, self.unit, job, record.error)
        elif record.outcome == "cancelled":
            move(self.unit, job, S.cancelled)
        else:
            requeue(self.desk, self.unit, job, "its runner is draining" if self.draining else "its process was paused")


def _steps(record: Finished) -> int | None:
    """The steps that the last word tells of; None when it tells none that there could have been."""
    steps = record.summary.get("steps")
    return steps if isinstance(steps, int) and 0 < steps < 2**31 else None


_TAKES: dict[type, Callable[[Intake, Any], None]] = {
    Started: Intake.started,
    Phase: Intake.phase,
    Metrics: Intake.numbers,
    Progress: Intake.progress,
    Warned: Intake.warned,
    MemoryRanOut: Intake.ran_out,
    Held: Intake.held,
    Unheld: Intake.unheld,
    Resumed: Intake.resumed,
    Checkpoint: Intake.checkpoint,
    Artifact: Intake.artifact,
    Scored: Intake.scored,
    Rendezvous: Intake.rendezvous,
    Placed: Intake.placed,
    Drawn: Intake.drawn,
    Said: Intake.said,
    Serving: Intake.serving,
    Served: Intake.served,
    Finished: Intake.finished,
}


def fresh_records(report: JobReport, accepted: int) -> list[dict[str, Any]] | None:
    """The records beyond the accepted offset; None when some in between are missing."""
    if report.offset > accepted:
        return None
    return [each for each in report.records if _end(each, report.next_offset) > accepted]


def _end(record: dict[str, Any], otherwise: int) -> int:
    end = record.get("offset")
    return end if isinstance(end, int) else otherwise


def clean(value: Any) -> Any:
    """A record's value as every database can hold it: no NUL in text, no number that is not finite or beyond 64 bits."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, int):
        return max(-LARGEST, min(LARGEST, value))
    if isinstance(value, dict):
        return {clean(str(key)): clean(each) for key, each in value.items()}
    return [clean(each) for each in value] if isinstance(value, list) else value
