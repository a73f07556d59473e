"""The studio at a glance. Nothing here walks through a table: counts are bounded, and lists have few rows."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import redis
from sqlalchemy import Double, bindparam, func, literal, or_, select, union_all
from sqlalchemy.orm import Session, load_only

from actors.desk import Desk
from actors.handlers import handles
from actors.hosts import HELD, Taken, held_by_runner
from actors.planning import ENGINE as PLANNING
from actors.runners import metadata
from actors.waiting import Board, waiting_for
from actors.world import RealWorld
from core.failing import title
from core.messages.common import COUNTED
from core.messages.overview import Concern, GetOverview, JobNow, JobsCounted, OverviewReply
from core.messages.runners import RunnerMetadata
from core.queue import broker, dead
from core.store.eventlog import last_events
from core.store.tables import (
    Adapter,
    Base,
    Comparison,
    Config,
    Dataset,
    Endpoint,
    EvaluationJob,
    ExportJob,
    FineTuningJob,
    Job,
    Model,
    Prompt,
    Runner,
)
from core.types import DatasetType, EndpointEngine, JobKind, JobStatus

S = JobStatus
COUNTED_TABLES: tuple[type[Base], ...] = (
    Dataset, Model, Prompt, Adapter, Config, FineTuningJob, EvaluationJob, Comparison, ExportJob, Endpoint,
)  # fmt: skip
OPEN = (S.queued, S.paused, S.assigned, S.running, S.pausing, S.cancel_requested)
DAY = 86_400.0
LOOKED_AT = 1_000  # jobs that ended of late
MOST = 50  # rows of a list
NEXT = 5  # jobs that wait
ONE_BY_ONE = 20  # failed jobs that are told so
LOW_DISK = 2.0  # GiB
WORST = {"error": 0, "warning": 1}
# What a job asks of its runner begins with its engine, and an engine does jobs of one kind (fine-tuning has several).
KIND_OF = (
    {kind.value: kind for kind in (JobKind.evaluation, JobKind.export, JobKind.endpoint, JobKind.comparison)}
    | {engine.value: JobKind.endpoint for engine in EndpointEngine}
    | {"lm_eval": JobKind.evaluation}
)
# What a line tells; a job's spec and its failure's traceback may be large.
LINE = (
    Job.kind, Job.name, Job.status, Job.priority, Job.engine, Job.cpus, Job.gpus, Job.memory, Job.workers, Job.shape,
    Job.runner_id, Job.queued_at, Job.started_at, Job.phase, Job.held, Job.step, Job.total_steps, Job.eta_seconds, Job.last_metrics,
)  # fmt: skip


def _bounded(table: type[Base]) -> Any:
    some = select(table.id).limit(COUNTED + 1).subquery()  # type: ignore[attr-defined]
    return select(func.count()).select_from(some).scalar_subquery()


def _shapes(status: JobStatus) -> Any:
    """How many of a state there are, by what they ask for: read in the index that serves the lanes."""
    some = select(Job.shape).where(Job.status == status.value).limit(COUNTED + 1).subquery()
    return select(literal(status.value).label("status"), some.c.shape, func.count()).group_by(some.c.shape)


ROWS = select(*(_bounded(table) for table in COUNTED_TABLES))
# What the Hub was asked for has the commit that was found.
HERE = {
    table: or_(table.type.is_distinct_from(DatasetType.huggingface.value), table.revision.is_not(None))
    for table in (Dataset, Model)
}
READY = {
    "datasets": select(Dataset.id).where(HERE[Dataset]).exists(),
    "models": select(Model.id).where(HERE[Model]).exists(),
    "prompts": select(Prompt.id).join(Dataset, Dataset.id == Prompt.dataset_id).where(HERE[Dataset]).exists(),
}
STATES: Any = union_all(*(_shapes(status) for status in OPEN))
LATE = (
    select(Job.id, Job.kind, Job.status, Job.finished_at)
    .where(Job.finished_at > bindparam("since", type_=Double))
    .order_by(Job.finished_at.desc())
    .limit(LOOKED_AT)
    .subquery()
)
ENDED = (
    select(LATE.c.kind, LATE.c.status, func.count())
    .where(LATE.c.kind != JobKind.plan.value)
    .group_by(LATE.c.kind, LATE.c.status)
)
NEWEST_FAILED = (
    select(LATE.c.id)
    .where(LATE.c.status == S.failed.value, LATE.c.kind != JobKind.plan.value)
    .order_by(LATE.c.finished_at.desc())
    .limit(ONE_BY_ONE)
)
FAILED = select(Job.id, Job.kind, Job.name, Job.finished_at, Job.failure_class, Job.error).where(
    Job.id.in_(NEWEST_FAILED)
)


@handles(GetOverview)
def get_overview(message: GetOverview, session: Session, world: RealWorld) -> OverviewReply:
    """All of it, in one snapshot."""
    now, board = time.time(), Board(session, world.desk.settings)
    running = _running(session, board)
    runners, runner_count = _runners(session)
    letters, queues = _queue(world.desk)
    concerns = [*_failed(session, now), *_held(running), *_of_runners(runners), *_of_letters(letters)]
    concerns.sort(key=lambda each: (WORST.get(each.level, 1), -(each.at or now)))
    return OverviewReply(
        at=now,
        resources=_resources(session),
        ready=dict(zip(READY, session.execute(select(*READY.values())).one(), strict=True)),
        jobs=_open(session),
        ended=_ended(session, now),
        running=running[:MOST],
        waiting=_waiting(session, board),
        runners=runners[:MOST],
        runner_count=runner_count,
        concerns=concerns[:MOST],
        queues=queues,
        letters=letters,
        events=last_events(session, message.events, plans=False) if message.events else [],
    )


def _resources(session: Session) -> dict[str, int]:
    """Rows by table."""
    names = [table.__tablename__ for table in COUNTED_TABLES]
    return dict(zip(names, session.execute(ROWS).one(), strict=True))


def _open(session: Session) -> list[JobsCounted]:
    """What is not over."""
    found: Counter[tuple[JobKind, JobStatus]] = Counter()
    for status, shape, count in session.execute(STATES):
        engine = json.loads(shape)[0]
        if engine != PLANNING:
            found[KIND_OF.get(engine, JobKind.fine_tuning), S(status)] += count
    return _told(found)


def _ended(session: Session, now: float) -> list[JobsCounted]:
    rows = session.execute(ENDED, {"since": now - DAY})
    return _told(Counter({(JobKind(kind), S(status)): count for kind, status, count in rows}))


def _told(found: Counter[tuple[JobKind, JobStatus]]) -> list[JobsCounted]:
    return [JobsCounted(kind=kind, status=status, count=count) for (kind, status), count in sorted(found.items())]


# ─── jobs ─────────────────────────────────────────────────────────────────────────────────────────────


def _running(session: Session, board: Board) -> list[JobNow]:
    held = select(Job).options(load_only(*LINE)).where(Job.status.in_(HELD), Job.kind != JobKind.plan)
    rows = session.scalars(held.order_by(Job.started_at.desc().nulls_first(), Job.id).limit(MOST))
    return [_line(row, board) for row in rows]


def _waiting(session: Session, board: Board) -> list[JobNow]:
    turns = [waiting.id for waiting in board.turns[:NEXT]]
    query = select(Job).options(load_only(*LINE)).where(Job.id.in_(turns), Job.kind != JobKind.plan)
    rows = {row.id: row for row in session.scalars(query)}
    return [_line(rows[id], board) for id in turns if id in rows]


def _line(job: Job, board: Board) -> JobNow:
    columns = set(JobNow.model_fields) - {"runner", "waiting_for", "last_metrics"}
    told = {name: getattr(job, name) for name in columns} | {"last_metrics": job.last_metrics or {}}
    told["runner"] = board.called(job.runner_id) if job.runner_id else None
    told["waiting_for"] = waiting_for(job, board) if job.status == S.queued else None
    return JobNow.model_validate(told)


# ─── runners ──────────────────────────────────────────────────────────────────────────────────────────


def _runners(session: Session) -> tuple[list[RunnerMetadata], int]:
    """Those that are in trouble first, then those with work."""
    held: dict[str, list[Taken]] = held_by_runner(session)
    rows = list(session.scalars(select(Runner).order_by(Runner.lost.desc(), Runner.trusted, Runner.host, Runner.id)))
    rows.sort(key=lambda row: (not row.lost, row.trusted, -len(held.get(row.id, ()))))
    told = [metadata(row, [(each.id, each.room) for each in held.get(row.id, ())]) for row in rows[:MOST]]
    return told, len(rows)


# ─── what needs a person ──────────────────────────────────────────────────────────────────────────────


def _failed(session: Session, now: float) -> list[Concern]:
    return [
        Concern(
            kind="jobs", id=row.id, level="error", job_kind=JobKind(row.kind), name=row.name, text=_why(row), at=row.finished_at
        )
        for row in session.execute(FAILED, {"since": now - DAY})
    ]  # fmt: skip


def _why(row: Any) -> str:
    first = str((row.error or {}).get("message") or "").partition("\n")[0]
    return f"{title(row.failure_class) if row.failure_class else 'failed'}: {first}".removesuffix(": ")


def _held(running: list[JobNow]) -> list[Concern]:
    return [
        Concern(kind="jobs", id=job.id, job_kind=job.kind, name=job.name, text=f"stands still: {job.held.reason}", at=job.held.since)
        for job in running
        if job.held is not None
    ]  # fmt: skip


def _of_runners(runners: list[RunnerMetadata]) -> list[Concern]:
    found = []
    for runner in runners:
        about = {"kind": "runners", "id": runner.id, "name": runner.host}
        if runner.status == "lost":
            text = "says nothing; its jobs go to others"
            found.append(Concern(**about, level="error", text=text, at=runner.last_seen_at))
            continue
        if runner.status == "no shared artifacts":
            found.append(Concern(**about, text="does not see the studio's artifacts directory, and gets no work"))
        free = runner.telemetry.get("disk_free")
        if isinstance(free, int | float) and free < LOW_DISK:
            found.append(Concern(**about, text=f"its artifacts' disk has {free:.1f} GiB left"))
    return found


def _of_letters(letters: int | None) -> list[Concern]:
    if not letters:
        return []
    text = f"{letters:,} messages" if letters > 1 else "1 message"
    return [Concern(kind="letters", text=f"{text} could not be run and wait among the dead letters")]


def _queue(desk: Desk) -> tuple[int | None, dict[str, int]]:
    """Dead letters and what waits, as far as the queue tells it now."""
    try:
        return dead.count(desk.redis, desk.settings.namespace), broker.depths(desk.redis, desk.settings.namespace)
    except redis.RedisError as error:
        desk.away(f"the queue's lengths are not known: {error}")
        return None, {}
