"""Handlers of plans: a short job that a runner takes however busy it is; what it finds is reckoned up against runners and history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from actors import freeing
from actors.desk import Desk
from actors.fine_tuning import Configs, specification
from actors.handlers import handles
from actors.hosts import all_runners
from actors.jobs import move, submit
from actors.reckoning import made
from actors.world import RealWorld
from core.errors import NotFound
from core.messages.choosing import chosen
from core.messages.planning import GetPlan, PlanFineTuningJob, PlanReply
from core.spec import PlanSpec
from core.store.session import Unit
from core.store.tables import Job, Model, Runner
from core.types import FineTuningFrameworkType, JobKind, JobStatus

S = JobStatus
ENGINE = "plan"  # which no runner offers: plans are given out beside the queue
WOKEN = 8  # runners that are woken for a plan: the first to report gets it
AT_ONCE = 2  # plans that a runner makes at a time
KEPT = 3600.0  # seconds after which an ended plan is forgotten, and one that nobody takes is given up
FORGOTTEN = 200  # plans that are forgotten in one transaction


@handles(PlanFineTuningJob)
def plan_fine_tuning_job(message: PlanFineTuningJob, unit: Unit, world: RealWorld) -> PlanReply:
    """Freeze the inputs as for a start, but keep nothing, and have a runner look at them."""
    id = str(uuid4())
    configs: Configs = {stem: (None, each.content(world)) for stem, each in chosen(message, world).items()}
    request = specification(message, unit, world, id, configs, out_dir="")
    spec = PlanSpec(job_id=id, name="plan", request=request, needs_token=request.needs_token)
    job = Job(
        id=id,
        kind=JobKind.plan.value,
        name=f"plan of {message.adapter_name or 'a training'}",
        engine=ENGINE,
        spec=spec.model_dump(mode="json"),
        priority=0,
        cpus=0,
        gpus=0,
        memory=0,
        workers=1,
        attempt=0,
        accepted=0,
        losses=0,
        step=0,
    )
    submit(world.desk, unit, job)
    for runner in _planners(unit.session)[:WOKEN]:
        world.desk.wake(unit, runner.id)
    return PlanReply(id=id, status=S.queued, waiting_for=_waiting_for(unit.session))


@handles(GetPlan)
def get_plan(message: GetPlan, session: Session, world: RealWorld) -> PlanReply:
    """A plan as far as it is made."""
    job = session.get(Job, message.id)
    if job is None or job.kind != JobKind.plan:
        raise NotFound(f"there is no plan with id {message.id!r}; plans are forgotten an hour after their end")
    status = S(job.status)
    return PlanReply(
        id=job.id,
        status=status,
        phase=job.phase,
        waiting_for=_waiting_for(session) if status is S.queued else None,
        error=job.error,
        plan=made(session, job) if status is S.succeeded else None,
    )


def _planners(session: Session) -> list[Runner]:
    """The runners that can make plans: those that train."""
    return [runner for runner in all_runners(session) if plans(runner) and not runner.lost and not runner.draining]


def plans(runner: Runner) -> bool:
    """Whether the runner has the libraries and sees the files that a plan needs."""
    return runner.trusted and FineTuningFrameworkType.legacy.value in runner.engines


def _waiting_for(session: Session) -> str:
    if _planners(session):
        return "a runner's next report"
    if any(plans(runner) and not runner.lost for runner in all_runners(session)):
        return "a runner that trains: those that are there are draining"
    return "a runner that trains: none is there; `fts up` starts one"


def queued(session: Session, runner: Runner, held: Sequence[Job]) -> list[str]:
    """Ids of the plans that a runner gets now, whatever else it does: a few at a time, the newest first, for it is looked at."""
    number = AT_ONCE - sum(job.kind == JobKind.plan for job in held)
    if number <= 0 or not plans(runner):
        return []
    waiting = select(Job.id).where(Job.kind == JobKind.plan.value, Job.status == S.queued.value)
    return list(session.scalars(waiting.order_by(Job.created_at.desc(), Job.id).limit(number)))


def learn(unit: Unit, job: Job, summary: dict[str, Any]) -> None:
    """Keep a model's sizes that a plan found out and the studio does not know: those of models on the Hub."""
    source, shape = job.spec["request"]["model"], summary.get("shape")
    model = unit.session.get(Model, source["id"])
    if shape and model is not None and model.shape is None and model.revision == source["revision"]:
        model.shape = shape


def forget(desk: Desk, now: float) -> None:
    """Forget plans that ended some time ago, with their files, and give up those that no runner took."""
    with desk.store.write() as unit:
        unit.now = now
        plan = select(Job).options(defer(Job.spec), defer(Job.summary)).where(Job.kind == JobKind.plan.value)
        old = (Job.created_at < now - KEPT, Job.status == S.queued.value)
        for job in unit.session.scalars(plan.where(*old).limit(FORGOTTEN)):
            move(unit, job, S.cancelled, f"{job.name} was given up: no runner took it")
        ended = plan.where(Job.finished_at < now - KEPT).order_by(Job.finished_at).limit(FORGOTTEN)
        root = desk.settings.artifacts_root / "jobs"
        candidates = []
        for job in unit.session.scalars(ended):
            candidates.append(freeing.Candidate(root / job.id, root))
            unit.emit("ResourceRemoved", "jobs", job.id, f"{job.name} was forgotten", name=job.name, kind=job.kind)
            unit.session.delete(job)
        unit.session.flush()
        freeing.leave(desk, unit, candidates)
