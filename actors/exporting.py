"""Handlers of exports: what was asked for is frozen and queued; a runner does it; what came of it is kept."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from actors import deploying, freezing, lineage, registry
from actors.handlers import handles
from actors.jobs import of_request, submit
from actors.naming import named
from actors.pages import JOB_SEEN, Shelf, by, equal, found, page
from actors.places import Key
from actors.waiting import Board, state
from actors.world import RealWorld, as_dict, inspects
from core.facts import default
from core.messages.export import (
    ExportJobMetadata,
    ExportJobReply,
    ExportJobsReply,
    ExportModel,
    ExportModelReply,
    GetExportJob,
    ListExportJobs,
)
from core.spec import Exported, ExportSpec, FineTuningSpec, Resources, Scores
from core.store.session import Unit
from core.store.tables import Adapter, Dataset, EvaluationJob, ExportJob, Job
from core.types import ConfigType, JobKind, JobStatus, ModelExportType

PLACED = (ModelExportType.merged, ModelExportType.model_registry)  # they have a place that the studio looks at


@inspects("registry")
def _inspect(message: ExportModel, world: RealWorld) -> dict[str, Any]:
    """Whether the registry is Cloudera's; raises Unavailable when it does not answer (a file or a database of ours always does)."""
    settings = world.desk.settings
    registry.reach(settings.tracking_uri)
    return {"cloudera": settings.cdsw_project_id is not None}


@inspects("place")
def _look_at_place(message: ExportModel, world: RealWorld) -> dict[str, Any]:
    """The directory that a merged model becomes, or the location of a registry's files. Raises ValueError when it can't: it is
    there, or not ours to write to."""
    given, settings = message.artifact_location, world.desk.settings
    if message.type == ModelExportType.model_registry:
        return {"location": _location(given, world) if given else None}
    parent = world.path(given, write=True) if given else settings.exports_root
    directory = parent / message.model_name.strip()
    if os.path.lexists(directory):
        raise ValueError(f"{directory} is there already: choose another model_name, or move it away")
    return {"directory": str(directory)}


def _location(given: str, world: RealWorld) -> str:
    """Where MLflow keeps the files: a path as the URI of what was looked at, whatever it holds; other stores as they are named."""
    parts = urlsplit(given)
    if parts.scheme not in ("", "file"):
        return given
    return world.path(unquote(parts.path) if parts.scheme else given, write=True).as_uri()


@handles(ExportModel)
def export_model(message: ExportModel, unit: Unit, world: RealWorld) -> ExportModelReply:
    """Freeze every input and queue the export, or the endpoint of Cloudera ML that it becomes."""
    if message.type == ModelExportType.cml_model:
        return deploying.deploy(message, unit, world)
    row = _row(message, unit, world)
    spec = _spec(message, unit, world, row)
    job = of_request(message, spec)
    unit.session.add(row)
    submit(world.desk, unit, job)
    answered = metadata(unit.session, row, job, Board(unit.session, world.desk.settings))
    return ExportModelReply(base_model_id=message.base_model_id, adapter_id=message.adapter_id, export_job=answered)


def _row(message: ExportModel, unit: Unit, world: RealWorld) -> ExportJob:
    given = message.generation_config or json.dumps(default(ConfigType.generation_config))
    config_id, content = freezing.from_id_or_text(world, unit, ConfigType.generation_config, given)
    columns = message.model_dump(exclude={"priority", "generation_config", "model_name", "hub_name", "auth"})
    return ExportJob(
        id=str(uuid4()),
        model_name=message.model_name.strip(),
        hub_name=(message.hub_name or "").strip() or None,
        generation_config_id=config_id,
        generation_config=json.dumps(content),
        **columns,
    )


def _spec(message: ExportModel, unit: Unit, world: RealWorld, row: ExportJob) -> ExportSpec:
    settings = world.desk.settings
    place = world.inspect("place", message) if message.type in PLACED else {}
    model = freezing.model_source(settings, unit.session, message.base_model_id)
    adapter = freezing.adapter_source(settings, unit.session, message.adapter_id)
    return ExportSpec(
        job_id=row.id,
        name=f"export {row.model_name}",
        destination=message.type,
        model=model,
        adapter=adapter,
        model_name=row.model_name,
        model_description=message.model_description or "",
        artifact_location=place.get("location") or message.artifact_location,
        merge=message.merge,
        directory=place.get("directory"),
        hub_name=row.hub_name,
        private=message.private,
        alias=message.alias,
        training=_training(unit.session, message.adapter_id),
        scores=_scores(unit.session, message.adapter_id),
        generation=json.loads(row.generation_config or "{}"),
        resources=Resources(cpus=message.num_cpu, gpus=message.num_gpu, memory=message.num_memory),
        needs_token=model.location is None or adapter.location is None or message.type == ModelExportType.huggingface,
    )


def _training(session: Session, adapter_id: str) -> FineTuningSpec | None:
    """The specification of the job that trained the adapter; None when none here did, or an older version wrote it otherwise."""
    adapter = session.get_one(Adapter, adapter_id)
    job = session.get(Job, adapter.fine_tuning_job_id) if adapter.fine_tuning_job_id else None
    try:
        return FineTuningSpec.model_validate(job.spec) if job is not None else None
    except ValidationError:
        return None


def _scores(session: Session, adapter_id: str) -> Scores | None:
    """The adapter's newest evaluation."""
    query = select(EvaluationJob, Dataset.name).join(Dataset, Dataset.id == EvaluationJob.dataset_id)
    query = query.where(EvaluationJob.adapter_id == adapter_id, EvaluationJob.status == JobStatus.succeeded.value)
    found = session.execute(query.order_by(EvaluationJob.finished_at.desc(), EvaluationJob.id).limit(1)).first()
    if found is None:
        return None
    row, dataset = found
    return Scores(dataset=dataset or "", rows=row.rows or 0, values=row.scores or {}, evaluation_job_id=row.id)


def finish(unit: Unit, job: Job, summary: dict[str, Any]) -> None:
    """Keep what a runner says that it made, and say so in the log. What can't be read is left out: the job's summary has it."""
    row = unit.session.get(ExportJob, job.id)
    try:
        made = Exported.model_validate(summary.get("exported"))
    except ValidationError:
        return
    if row is None:
        return
    row.result = made.model_dump(mode="json")
    lineage.note_export(unit.session, ExportSpec.model_validate(job.spec), made)
    place = made.location or made.uri or made.commit or ""
    text = f"{row.model_name} is exported: {place}"
    unit.emit("ModelExported", "export_jobs", job.id, text, type=row.type, name=row.model_name, place=place)


@handles(GetExportJob)
def get_export_job(message: GetExportJob, session: Session, world: RealWorld) -> ExportJobReply:
    """One export."""
    row = found(session, ExportJob, message.id, "export")
    job, board = session.get_one(Job, row.id), Board(session, world.desk.settings)
    return ExportJobReply(export_job=metadata(session, row, job, board))


SHELF = Shelf(
    select(ExportJob, Job).join(Job, Job.id == ExportJob.id).where(Job.kind == JobKind.export.value),
    Job.id,
    own=(Key(Job.created_at, down=True),),
    orders=by(ExportJob, "model_name", "type")
    | by(Job, "status", "priority", "created_at", "started_at", "finished_at"),
    seen=(ExportJob.model_name, ExportJob.type, ExportJob.alias, ExportJob.artifact_location, *JOB_SEEN),
    what="export",
    options=(defer(Job.spec),),
)


@handles(ListExportJobs)
def list_export_jobs(message: ListExportJobs, session: Session, world: RealWorld) -> ExportJobsReply:
    """A page of exports, newest first."""
    query = equal(
        SHELF.query,
        (Job.status, message.status),
        (ExportJob.adapter_id, message.adapter_id),
        (ExportJob.base_model_id, message.base_model_id),
    )
    part = page(session, SHELF, message, query)
    board = Board(session, world.desk.settings)
    shown = [_metadata(row, job, board) for row, job in part.rows]
    return ExportJobsReply(export_jobs=named(session, shown), **part.told)


def metadata(session: Session, row: ExportJob, job: Job, board: Board) -> ExportJobMetadata:
    """The request and its state as they are answered."""
    return named(session, [_metadata(row, job, board)])[0]


def _metadata(row: ExportJob, job: Job, board: Board) -> ExportJobMetadata:
    return ExportJobMetadata.model_validate({**as_dict(row), **state(job, board)})
