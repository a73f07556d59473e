"""Handlers of evaluation jobs: one job for a runner a batch, one row a combination."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, and_, func, not_, or_, select
from sqlalchemy.orm import Session, defer

from actors import freezing
from actors.handlers import handles
from actors.jobs import of_request, submit
from actors.lineage import Lineage, same_rows
from actors.naming import named
from actors.pages import JOB_SEEN, Shelf, by, containing, equal, found, page
from actors.places import Key
from actors.waiting import Board, state
from actors.world import RealWorld, as_dict
from core.errors import NotFound, Refused
from core.events import Failure
from core.facts import default
from core.messages.evaluation import (
    EvaluationBatchReply,
    EvaluationJobMetadata,
    EvaluationJobReply,
    EvaluationJobsReply,
    GetEvaluationJob,
    ListEvaluationJobs,
    StartEvaluationJob,
)
from core.rules import Breach
from core.scripts import sha256
from core.settings import Settings
from core.spec import NO_PROMPT, Combination, DatasetSource, EvaluationSpec, MetricScript, Sampling, Training
from core.splits import HELD_OUT
from core.store.session import Unit
from core.store.tables import Adapter, Dataset, EvaluationJob, Job, Model
from core.types import ConfigType, JobKind, JobStatus, LossOn

SEED = 420  # guide: EVAL_RANDOM_SEED


@handles(StartEvaluationJob)
def start_evaluation_job(message: StartEvaluationJob, unit: Unit, world: RealWorld) -> EvaluationBatchReply:
    """Freeze every input, store a row a combination, and queue the batch."""
    parent = str(uuid4())
    columns = _shared(message, unit, world, parent)
    rows = [_row(message, columns, number) for number, _ in enumerate(message.model_adapter_combinations, 1)]
    scripts = [MetricScript(name=name, sha256=sha256(world.script(name))) for name in message.metrics]
    spec = _spec(message, unit, world.desk.settings, parent, rows).model_copy(update={"metrics": scripts})
    job = of_request(message, spec, engine="lm_eval" if message.tasks else None)
    unit.session.add_all(rows)
    submit(world.desk, unit, job)
    board = Board(unit.session, world.desk.settings)
    shown = [metadata(row, job, board) for row in rows]
    return EvaluationBatchReply(parent_job_id=parent, evaluation_jobs=named(unit.session, shown))


def _shared(message: StartEvaluationJob, unit: Unit, world: RealWorld, parent: str) -> dict[str, Any]:
    """The columns that all rows of the batch have alike."""
    columns = message.model_dump(
        include={
            "type",
            "dataset_id",
            "num_cpu",
            "num_gpu",
            "num_memory",
            "selected_features",
            "eval_dataset_fraction",
        }
    )
    fields = (
        ("model_bnb_config", ConfigType.bitsandbytes_config),
        ("adapter_bnb_config", ConfigType.bitsandbytes_config),
        ("generation_config", ConfigType.generation_config),
    )
    for name, kind in fields:
        given = getattr(message, name)
        if given is None and kind is ConfigType.generation_config:
            given = json.dumps(default(kind))
        id, content = freezing.from_id_or_text(world, unit, kind, given)
        columns[f"{name}_id"], columns[name] = id, None if content is None else json.dumps(content)
    adapters = [pair.adapter_id for pair in message.model_adapter_combinations if pair.adapter_id]
    evaluation_dir = str(world.desk.settings.artifacts_root / "jobs" / parent)
    baseline = adapters[0] if adapters else None
    return {
        **columns,
        "prompt_id": message.prompt_id or None,
        "parent_job_id": parent,
        "comparison_adapter_id": baseline,
        "evaluation_dir": evaluation_dir,
        "num_workers": 1,
    }


def _row(message: StartEvaluationJob, columns: dict[str, Any], number: int) -> EvaluationJob:
    pair = message.model_adapter_combinations[number - 1]
    return EvaluationJob(
        id=str(uuid4()),
        run_number=number,
        base_model_id=pair.base_model_id,
        adapter_id=pair.adapter_id or None,
        status=JobStatus.queued.value,
        **columns,
    )


def _spec(
    message: StartEvaluationJob, unit: Unit, settings: Settings, parent: str, rows: list[EvaluationJob]
) -> EvaluationSpec:
    session, first = unit.session, rows[0]
    dataset = freezing.dataset_source(settings, session, message.dataset_id)
    lineage = Lineage(settings, session)
    baseline = _baseline(lineage, rows)
    combinations = [_combination(settings, session, row, lineage.own(row) or baseline) for row in rows]
    learned = {each.job_id: each for row in rows for each in lineage.learned(row)}
    return EvaluationSpec(
        job_id=parent,
        name=f"evaluation on {dataset.name}",
        combinations=combinations,
        dataset=dataset,
        prompt=freezing.prompt_source(session, message.prompt_id) if message.prompt_id else NO_PROMPT,
        sampling=_held_out(session, baseline, dataset),
        learned=list(learned.values()),
        untold=[
            each.adapter.name
            for row, each in zip(rows, combinations, strict=True)
            if each.adapter and lineage.own(row) is None
        ],
        fraction=message.eval_dataset_fraction,
        seed=SEED,
        selected_features=message.selected_features,
        generation=json.loads(first.generation_config or "{}"),
        model_bnb=json.loads(first.model_bnb_config) if first.model_bnb_config else None,
        adapter_bnb=json.loads(first.adapter_bnb_config) if first.adapter_bnb_config else None,
        tasks=message.tasks,
        resources=freezing.resources(message),
        needs_token=_needs_token(dataset, combinations, learned.values()),
    )


def _needs_token(dataset: DatasetSource, combinations: list[Combination], learned: Iterable[Training]) -> bool:
    """Whether something may have to be read from the Hub; what was learned too, where no training noted it."""
    datasets = [dataset, *(each.dataset for each in learned)]
    return any(each.hub_name for each in datasets) or any(each.model.location is None for each in combinations)


def _combination(settings: Settings, session: Session, row: EvaluationJob, taught: Training | None) -> Combination:
    """A model that no job here trained is asked as the baseline is: both answer the same question."""
    return Combination(
        job_id=row.id,
        run_number=row.run_number or 0,
        model=freezing.model_source(settings, session, row.base_model_id or ""),
        adapter=freezing.adapter_source(settings, session, row.adapter_id) if row.adapter_id else None,
        chat_template=bool(taught and taught.chat_template),
        loss_on=(taught and taught.loss_on) or LossOn.completion,
    )


def _baseline(lineage: Lineage, rows: list[EvaluationJob]) -> Training | None:
    """The training of the first adapter of the batch; without adapters, of the first model that a job here trained."""
    if adapted := [row for row in rows if row.adapter_id]:
        return lineage.own(adapted[0])
    return next(filter(None, map(lineage.own, rows)), None)


def _held_out(session: Session, trained: Training | None, dataset: DatasetSource) -> Sampling | None:
    """How the baseline's job split the dataset: its held-out rows are scored. None when it was trained on another one."""
    if trained is None or not same_rows(trained.dataset, dataset):
        return None
    sampling, splits = trained.sampling, session.get_one(Dataset, dataset.id).splits or {}
    own = sampling.eval_split or any(name in splits for name in HELD_OUT)
    if sampling.split == 1.0 and not own:
        text = "the adapter was trained on all rows of this dataset (train_test_split 1): none is held out; choose another dataset"
        raise Refused.because([Breach(rule="EV-106", field="dataset_id", message=text)])
    return sampling


@handles(GetEvaluationJob)
def get_evaluation_job(message: GetEvaluationJob, session: Session, world: RealWorld) -> EvaluationJobReply:
    """One combination; the id of a batch is answered with those of its combinations."""
    batch = select(EvaluationJob.id).where(EvaluationJob.parent_job_id == message.id).order_by(EvaluationJob.run_number)
    if session.get(EvaluationJob, message.id) is None and (ids := list(session.scalars(batch.limit(5)))):
        raise NotFound(
            f"{message.id} is a batch of evaluations: show one of its combinations, such as {', '.join(ids)}"
        )
    row = found(session, EvaluationJob, message.id, "evaluation job")
    board = Board(session, world.desk.settings)
    shown = metadata(row, session.get(Job, row.parent_job_id), board)
    return EvaluationJobReply(evaluation_job=named(session, [shown])[0])


def _name(table: type[Model] | type[Adapter], id: Any) -> Any:
    """The name that a model or an adapter has now."""
    return select(table.name).where(table.id == id).correlate(EvaluationJob).scalar_subquery()


STATUS: Any = func.coalesce(EvaluationJob.status, Job.status)
SHELF = Shelf(
    select(EvaluationJob, Job)
    .join(Job, Job.id == EvaluationJob.parent_job_id)
    .where(Job.kind == JobKind.evaluation.value),
    EvaluationJob.id,
    own=(Key(Job.created_at, down=True), Key(Job.id, down=True), Key(func.coalesce(EvaluationJob.run_number, 0))),
    orders=by(Job, "name", "created_at") | by(EvaluationJob, "rows", "started_at", "finished_at") | {"status": STATUS},
    seen=(
        _name(Model, EvaluationJob.base_model_id),
        _name(Adapter, EvaluationJob.adapter_id),
        EvaluationJob.id,
        STATUS,
        Job.name,
        *JOB_SEEN,
    ),
    what="evaluation job",
    options=(defer(Job.spec),),
)


@handles(ListEvaluationJobs)
def list_evaluation_jobs(message: ListEvaluationJobs, session: Session, world: RealWorld) -> EvaluationJobsReply:
    """A page of combinations, newest batch first, in the order of the batch."""
    query = equal(
        containing(SHELF.query, message.name_contains, Job.name),
        (EvaluationJob.parent_job_id, message.parent_job_id),
        (EvaluationJob.adapter_id, message.adapter_id),
        (EvaluationJob.dataset_id, message.dataset_id),
        (EvaluationJob.base_model_id, message.base_model_id),
    )
    if message.status is not None:
        query = query.where(_in_state(message.status))
    part = page(session, SHELF, message, query)
    board = Board(session, world.desk.settings)
    shown = [metadata(row, job, board) for row, job in part.rows]
    return EvaluationJobsReply(evaluation_jobs=named(session, shown), **part.told)


def _in_state(status: str) -> ColumnElement[bool]:
    """Evaluations that are shown in this state: of a batch that a runner holds, the queued ones are assigned."""
    held = Job.status.in_([each.value for each in JobStatus if each.held])
    waiting = EvaluationJob.status == JobStatus.queued.value
    if status == JobStatus.queued:
        return and_(waiting, not_(held))
    own = status == STATUS
    return or_(own, and_(waiting, held)) if status == JobStatus.assigned else own


def metadata(row: EvaluationJob, job: Job | None, board: Board | None = None) -> EvaluationJobMetadata:
    """The row as it is answered: the batch's lease and progress, its own state and scores."""
    columns = {
        name: value for name, value in as_dict(row).items() if value is not None and name not in {"error", "answers"}
    }
    shared = {
        name: value
        for name, value in state(job, board).items()
        if name not in {"status", "error", "started_at", "finished_at"}
    }
    made = EvaluationJobMetadata.model_validate({**shared, **columns})
    if row.status is None and job is not None:
        made.status = JobStatus(job.status)  # an imported row whose end the file did not tell
    if row.error:
        made.error = Failure(kind="evaluation", message=row.error, hint="The batch's log says more.")
    if made.status == JobStatus.queued and job is not None and JobStatus(job.status).held:
        made.status = JobStatus.assigned
    return made
