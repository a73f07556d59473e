"""Handlers of comparisons: a session is a job that is asked while it runs; questions reach its child with the runner's orders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import redis
from sqlalchemy import func, select
from sqlalchemy.orm import Session, defer

from actors import freezing, questions
from actors.handlers import handles
from actors.jobs import of_request, stop, submit
from actors.lineage import Lineage, same_rows
from actors.pages import JOB_SEEN, Shelf, by, equal, found, page
from actors.places import Key
from actors.waiting import Board, state
from actors.world import RealWorld, as_dict
from core.errors import Conflict
from core.facts import default
from core.messages.comparing import (
    BASE,
    MOST_OPEN,
    AskComparison,
    AskedQuestion,
    AskedReply,
    ComparedAdapter,
    ComparisonMetadata,
    ComparisonReply,
    ComparisonsReply,
    ComparisonStartedReply,
    EndComparison,
    GetComparison,
    ListComparisons,
    StartComparison,
    StopAnswers,
    StoppedReply,
)
from core.messages.configs import parse_config
from core.messages.jobs import JobStateReply
from core.queue.stream import last_record
from core.spec import ComparisonSpec, Resources, Voice
from core.store.session import Unit
from core.store.tables import (
    Adapter,
    Comparison,
    ComparisonAdapter,
    ComparisonQuestion,
    Config,
    EvaluationJob,
    FineTuningJob,
    Job,
    Model,
    Prompt,
)
from core.types import ConfigType, JobKind, JobStatus

S = JobStatus


@handles(StartComparison)
def start_comparison(message: StartComparison, unit: Unit, world: RealWorld) -> ComparisonStartedReply:
    """Freeze every input and queue the session."""
    session = unit.session
    adapters = [session.get_one(Adapter, id) for id in message.adapter_ids]
    id, row = str(uuid4()), _row(message, session, adapters)
    row.id, row.active_at = id, unit.now
    spec = _spec(row, message, world, session, adapters)
    job = of_request(message, spec)
    session.add(row)
    for place, each in enumerate(adapters):
        session.add(ComparisonAdapter(comparison_id=id, place=place, adapter_id=each.id, voice=each.id, name=each.name))
    submit(world.desk, unit, job)
    board = Board(session, world.desk.settings)
    return ComparisonStartedReply(comparison=_metadata(session, row, job, board))


def _row(message: StartComparison, session: Session, adapters: Sequence[Adapter]) -> Comparison:
    """The session's columns; what was left open is the first adapter's own."""
    first = adapters[0] if adapters else None
    trained = _trained(session, first)
    prompt_id = message.prompt_id or (first.prompt_id if first else None) or (trained.prompt_id if trained else None)
    prompt = session.get(Prompt, prompt_id) if prompt_id else None
    dataset_id = (
        message.dataset_id or (trained.dataset_id if trained else None) or (prompt.dataset_id if prompt else None)
    )
    generation = _content(session, ConfigType.generation_config, message.generation_config)
    bnb = _content(session, ConfigType.bitsandbytes_config, message.model_bnb_config)
    return Comparison(
        base_model_id=message.base_model_id,
        dataset_id=dataset_id,
        prompt_id=prompt.id if prompt else None,
        generation_config=json.dumps(default(ConfigType.generation_config) if generation is None else generation),
        model_bnb_config=None if bnb is None else json.dumps(bnb),
        **message.model_dump(include={"idle_seconds", "num_cpu", "num_gpu", "num_memory"}),
    )


def _content(session: Session, kind: ConfigType, given: str | None) -> dict[str, Any] | None:
    if given is None:
        return None
    inline = given.lstrip().startswith("{")
    return parse_config(kind, given if inline else session.get_one(Config, given).config or "{}")


def _trained(session: Session, made: Adapter | Model | None) -> FineTuningJob | None:
    return session.get(FineTuningJob, made.fine_tuning_job_id) if made and made.fine_tuning_job_id else None


def _spec(
    row: Comparison, message: StartComparison, world: RealWorld, session: Session, adapters: Sequence[Adapter]
) -> ComparisonSpec:
    settings = world.desk.settings
    model = freezing.model_source(settings, session, message.base_model_id)
    sources = [freezing.adapter_source(settings, session, each.id) for each in adapters]
    lineage = Lineage(settings, session)
    voices = [EvaluationJob(base_model_id=row.base_model_id, adapter_id=id) for id in (None, *message.adapter_ids)]
    own = [lineage.own(each) for each in voices]
    first = next(filter(None, own[1:]), own[0])  # who no job here trained is asked as the first that one did
    taught = [bool(each and each.chat_template) for each in (training or first for training in own)]
    dataset = freezing.dataset_source(settings, session, row.dataset_id) if row.dataset_id else None
    return ComparisonSpec(
        job_id=row.id,
        name=f"comparison on {model.name}",
        model=model,
        voices=[Voice(adapter=each, chat_template=chat) for each, chat in zip((None, *sources), taught, strict=True)],
        dataset=dataset,
        prompt=freezing.prompt_source(session, row.prompt_id) if row.prompt_id else None,
        sampling=next((each.sampling for each in own if each and dataset and same_rows(each.dataset, dataset)), None),
        learned=list({each.job_id: each for voice in voices for each in lineage.learned(voice)}.values()),
        generation=json.loads(row.generation_config or "{}"),
        model_bnb=json.loads(row.model_bnb_config) if row.model_bnb_config else None,
        idle_seconds=row.idle_seconds,
        resources=Resources(cpus=message.num_cpu, gpus=message.num_gpu, memory=message.num_memory),
        needs_token=None in (model.location, *(each.location for each in sources))
        or bool(dataset and dataset.hub_name),
    )


@handles(AskComparison)
def ask_comparison(message: AskComparison, unit: Unit, world: RealWorld) -> AskedReply:
    """Keep the question and wake the runner, which hands it to the session's child."""
    row, job = _session(unit.session, message.id, lock=True)
    _must_answer(job)
    if len(questions.open_ones(unit.session, job.id)) >= MOST_OPEN:
        raise Conflict(f"{MOST_OPEN} questions are still open: stop one, or wait for an answer")
    newest = select(ComparisonQuestion.number).where(ComparisonQuestion.comparison_id == job.id)
    number = (unit.session.scalar(newest.order_by(ComparisonQuestion.number.desc()).limit(1)) or 0) + 1
    text = message.generation_config
    unit.session.add(
        ComparisonQuestion(
            comparison_id=job.id,
            number=number,
            prompt=message.prompt,
            random=message.random,
            voices=list(dict.fromkeys(_everyone(unit.session, job.id) if message.voices is None else message.voices)),
            generation={} if text is None else parse_config(ConfigType.generation_config, text),
            seed=number if message.seed is None else message.seed,
            answers={},
            asked_at=unit.now,
        )
    )
    row.active_at = unit.now
    _wake(world, unit, job)
    return AskedReply(id=job.id, number=number, status=S(job.status), records_id=_newest_record(world, job.id))


def _must_answer(job: Job) -> None:
    status = S(job.status)
    if status.finished or status is S.cancel_requested:
        told = status.value if status.finished else "it is about to end"
        raise Conflict(f"the comparison answers no more: {told.replace('_', ' ')}; start another one")


def _everyone(session: Session, id: str) -> list[str]:
    return [BASE, *(each.id for each in _adapters(session, id))]


@handles(StopAnswers)
def stop_answers(message: StopAnswers, unit: Unit, world: RealWorld) -> StoppedReply:
    """A question that nobody answers yet is over at once; a child is told by its runner."""
    _, job = _session(unit.session, message.id, lock=True)
    stopped = [row for row in questions.open_ones(unit.session, job.id) if message.number in {None, row.number}]
    for row in stopped:
        row.stopped = True
        if not S(job.status).held:
            questions.over(unit, row, "stopped")
    _wake(world, unit, job)
    return StoppedReply(id=job.id, numbers=[row.number for row in stopped])


@handles(EndComparison)
def end_comparison(message: EndComparison, unit: Unit, world: RealWorld) -> JobStateReply:
    """A queued session ends now, one that answers when its runner has ended it: it has succeeded then."""
    _, job = _session(unit.session, message.id, lock=True)
    if S(job.status).finished:
        raise Conflict(f"the comparison has ended: {job.status}")
    stop(world.desk, unit, job, "was ended before it answered", "it was asked to end")
    return JobStateReply(id=job.id, status=S(job.status), priority=job.priority)


@handles(GetComparison)
def get_comparison(message: GetComparison, session: Session, world: RealWorld) -> ComparisonReply:
    """The session and its newest questions."""
    newest = _newest_record(
        world, message.id
    )  # before the rows are read: what comes meanwhile is told twice, not never
    row, job = _session(session, message.id)
    query = select(ComparisonQuestion).where(ComparisonQuestion.comparison_id == job.id)
    if message.before is not None:
        query = query.where(ComparisonQuestion.number < message.before)
    rows = session.scalars(query.order_by(ComparisonQuestion.number.desc()).limit(message.limit + 1)).all()
    shown = [AskedQuestion.model_validate(as_dict(each)) for each in reversed(rows[: message.limit])]
    return ComparisonReply(
        comparison=_metadata(session, row, job, Board(session, world.desk.settings)),
        questions=shown,
        has_more=len(rows) > message.limit,
        records_id=newest,
        input_template=((job.spec or {}).get("prompt") or {}).get("input_template"),
    )


SHELF = Shelf(
    select(Comparison, Job).join(Job, Job.id == Comparison.id).where(Job.kind == JobKind.comparison.value),
    Job.id,
    own=(Key(Job.created_at, down=True),),
    orders=by(Job, "status", "created_at") | by(Comparison, "active_at"),
    seen=(
        select(Model.name).where(Model.id == Comparison.base_model_id).correlate(Comparison).scalar_subquery(),
        select(func.aggregate_strings(ComparisonAdapter.name, " "))
        .where(ComparisonAdapter.comparison_id == Comparison.id)
        .correlate(Comparison)
        .scalar_subquery(),
        *JOB_SEEN,
    ),
    what="comparison",
    options=(defer(Job.spec),),
)


@handles(ListComparisons)
def list_comparisons(message: ListComparisons, session: Session, world: RealWorld) -> ComparisonsReply:
    """A page of sessions, newest first."""
    query = equal(SHELF.query, (Job.status, message.status), (Comparison.base_model_id, message.base_model_id))
    part = page(session, SHELF, message, query)
    board = Board(session, world.desk.settings)
    return ComparisonsReply(comparisons=[_metadata(session, row, job, board) for row, job in part.rows], **part.told)


def _session(session: Session, id: str, *, lock: bool = False) -> tuple[Comparison, Job]:
    """The session and its job, which is locked if it is to be changed; raises NotFound."""
    row: Comparison = found(session, Comparison, id, "comparison")
    job: Job = found(session, Job, id, "comparison", lock=lock)
    return row, job


def _adapters(session: Session, id: str) -> list[ComparedAdapter]:
    query = select(ComparisonAdapter).where(ComparisonAdapter.comparison_id == id).order_by(ComparisonAdapter.place)
    return [ComparedAdapter(id=each.voice, name=each.name) for each in session.scalars(query)]


def _metadata(session: Session, row: Comparison, job: Job, board: Board) -> ComparisonMetadata:
    model = session.get(Model, row.base_model_id) if row.base_model_id else None
    named = {"adapters": _adapters(session, row.id), "base_model_name": model.name if model else None}
    return ComparisonMetadata.model_validate({**as_dict(row), **state(job, board), **named})


def _wake(world: RealWorld, unit: Unit, job: Job) -> None:
    if job.runner_id:
        world.desk.wake(unit, job.runner_id)


def _newest_record(world: RealWorld, id: str) -> str:
    """Where to follow the session's stream from; from its beginning while the stream can't be asked."""
    try:
        return last_record(world.desk.redis, world.desk.settings.namespace, id)
    except redis.RedisError:
        return "0-0"
