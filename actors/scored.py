"""Handlers that tell what came of evaluations: the table of a batch, and its rows."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from actors.answers import read_answers
from actors.evaluation import metadata
from actors.handlers import handles
from actors.naming import named
from actors.world import RealWorld
from core.errors import NotFound, Refused
from core.events import Statistic
from core.messages.evaluation import EvaluationJobMetadata
from core.messages.results import (
    EvaluationAnswersReply,
    EvaluationResultsReply,
    GetEvaluationAnswers,
    GetEvaluationResults,
    Result,
    Score,
)
from core.rules import Breach
from core.settings import Settings
from core.store.eventlog import last_events
from core.store.tables import Dataset, EvaluationJob, Job
from core.types import JobStatus
from core.verdicts import verdict

# In which order metrics are best read: whether answers are right, how near they come, how sure the model was, what they
# are like; metrics of users' own come before what describes.
FIRST = ("exact_match", "f1", "rougeL", "rouge1", "rouge2", "rougeLsum", "bleu", "chrf", "loss", "perplexity")
LAST = ("stopped_by_eos", "toxicity", "flesch_reading_ease", "flesch_kincaid_grade", "new_tokens", "latency", "seconds",
        "tokens_per_second")  # fmt: skip
NOTES = 50  # of a batch that are told


@handles(GetEvaluationResults)
def get_evaluation_results(message: GetEvaluationResults, session: Session, world: RealWorld) -> EvaluationResultsReply:
    """The table of a batch, as far as there are scores."""
    rows, settings = _batch(session, message.parent_job_id), world.desk.settings
    job = session.get(Job, message.parent_job_id)
    dataset = session.get(Dataset, rows[0].dataset_id) if rows[0].dataset_id else None
    told, baseline = named(session, [metadata(row, job) for row in rows]), _baseline(rows)
    if _gained(rows, baseline):
        told = _turned(told, baseline)
    warnings = last_events(session, NOTES, type="JobWarning", resource_id=message.parent_job_id)
    return EvaluationResultsReply(
        parent_job_id=message.parent_job_id,
        name=job.name if job else None,
        status=JobStatus(job.status) if job else told[0].status,
        dataset=dataset.name if dataset else None,
        metrics=_in_order({name for each in told for name in each.scores}),
        results=[_result(each, baseline=each.id == baseline.id) for each in told],
        notes=list(dict.fromkeys(each.message.removeprefix(f"{job.name}: " if job else "") for each in warnings)),
        files=_files(settings, job),
        mlflow_experiment=f"Run: {message.parent_job_id}" if settings.tracking else None,
        mlflow_uri=_without_password(settings.tracking_uri) if settings.tracking else None,
    )


@handles(GetEvaluationAnswers)
def get_evaluation_answers(message: GetEvaluationAnswers, session: Session, world: RealWorld) -> EvaluationAnswersReply:
    """Rows with all answers side by side."""
    rows = _batch(session, message.parent_job_id)
    if strange := sorted(set(message.children) - {row.id for row in rows}):
        text = (
            f"{', '.join(strange)} is no evaluation of this batch; its evaluations: {', '.join(row.id for row in rows)}"
        )
        raise Refused.because([Breach(rule="EV-128", field="children", message=text)])
    rows = [row for row in rows if not message.children or row.id in message.children]
    page = read_answers(world.desk.settings.artifacts_root, rows, message)
    return EvaluationAnswersReply(
        parent_job_id=message.parent_job_id,
        combinations={each.id: each.combination for each in named(session, [metadata(row, None) for row in rows])},
        metric=page.metric,
        rows=page.rows,
        total=page.total,
        has_more=page.has_more,
    )


def _baseline(rows: Sequence[EvaluationJob]) -> EvaluationJob:
    """What the others are told against: the first adapter of the batch, as they were compared (guide, "comparison_adapter_id").

    Of a model and one adapter on it that would say how much worse the model is: people ask what the adapter gained, and it
    is the same comparison, looked at from the other side.
    """
    first = next((row for row in rows if row.adapter_id), rows[0])
    others = [row for row in rows if row is not first]
    alone = len(others) == 1 and first.adapter_id and not others[0].adapter_id
    return others[0] if alone and others[0].base_model_id == first.base_model_id else first


def _gained(rows: Sequence[EvaluationJob], baseline: EvaluationJob) -> bool:
    """Whether the comparison is looked at from the other side."""
    return not baseline.adapter_id and any(row.adapter_id for row in rows)


def _turned(told: list[EvaluationJobMetadata], baseline: EvaluationJob) -> list[EvaluationJobMetadata]:
    """The differences of the model from its adapter, as those of the adapter from the model."""
    model, adapter = sorted(told, key=lambda each: each.id != baseline.id)
    gains: dict[str, Statistic] = {}
    for name, own in adapter.statistics.items():
        found = model.statistics.get(name, Statistic())
        delta, low, high = (
            None if each is None else 0.0 - each for each in (found.delta, found.delta_high, found.delta_low)
        )
        gains[name] = own.model_copy(update={"delta": delta, "delta_low": low, "delta_high": high, "p": found.p})
    bare = dict.fromkeys(("delta", "delta_low", "delta_high", "p"))
    none = {name: each.model_copy(update=bare) for name, each in model.statistics.items()}
    made = {model.id: none, adapter.id: gains}
    return [each.model_copy(update={"statistics": made[each.id]}) for each in told]


def _batch(session: Session, parent: str) -> Sequence[EvaluationJob]:
    """The evaluations of a batch, in order; raises NotFound."""
    query = select(EvaluationJob).where(EvaluationJob.parent_job_id == parent)
    rows = session.scalars(query.order_by(EvaluationJob.run_number, EvaluationJob.id)).all()
    if not rows:
        raise NotFound(f"there is no evaluation batch with id {parent!r}")
    return rows


def _result(told: EvaluationJobMetadata, *, baseline: bool) -> Result:
    figures = {name: told.statistics.get(name, Statistic()) for name in told.scores}
    return Result(
        id=told.id,
        run_number=told.run_number,
        combination=told.combination,
        baseline=baseline,
        status=told.status,
        rows=told.rows,
        error=told.error.message if told.error else None,
        scores={
            name: Score(value=told.scores[name], verdict=verdict(name, each), **each.model_dump())
            for name, each in figures.items()
        },
    )


def _in_order(names: set[str]) -> list[str]:
    own = sorted(names - {*FIRST, *LAST})
    return [name for name in (*FIRST, *own, *LAST) if name in names]


def _files(settings: Settings, job: Job | None) -> list[str]:
    if job is None:
        return []
    directory = settings.artifacts_root / "jobs" / job.id / str(job.attempt)
    return [str(path) for path in (directory / "results.csv", directory / "results.json") if path.is_file()]


def _without_password(uri: str) -> str:
    """A URI as it may be shown: who logs in, and with what, is left out."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri
