"""Handlers that remove resources: rows with their dependents in one transaction, then their files (freeing.py)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from actors import copies, freeing
from actors.desk import Desk
from actors.freeing import Candidate
from actors.handlers import handles
from actors.pages import locked
from actors.world import RealWorld
from core.messages.removal import (
    KeptFiles,
    RemoveAdapter,
    RemoveComparison,
    RemoveConfig,
    RemoveDataset,
    RemovedReply,
    RemovedResource,
    RemoveEndpoint,
    RemoveEvaluationJob,
    RemoveFineTuningJob,
    RemoveModel,
    RemovePrompt,
)
from core.settings import Settings
from core.store.session import Unit
from core.store.tables import (
    Adapter,
    Base,
    Comparison,
    ComparisonAdapter,
    ComparisonQuestion,
    Config,
    Dataset,
    Endpoint,
    EvaluationJob,
    FineTuningJob,
    Job,
    Metric,
    Model,
    Prompt,
)
from core.types import AdapterType, JobKind, ModelType

WORDS = {
    "datasets": "dataset",
    "models": "model",
    "adapters": "adapter",
    "prompts": "prompt",
    "configs": "config",
    "evaluation_jobs": "evaluation job",
    "jobs": "job",
}


@handles(RemoveDataset)
def remove_dataset(message: RemoveDataset, unit: Unit, world: RealWorld) -> RemovedReply:
    """Remove the dataset, and its prompts when that was asked for: else the rules found none."""
    prompts = select(Prompt).where(Prompt.dataset_id == message.id)
    return _with_dependents(world.desk, unit, locked(unit.session, Dataset, message.id), message.id, prompts)


@handles(RemoveModel)
def remove_model(message: RemoveModel, unit: Unit, world: RealWorld) -> RemovedReply:
    """Remove the model, and its adapters when that was asked for: else the rules found none. Copies of a registry's files go too,
    and its directory if asked and it is the studio's to remove.
    """
    row = locked(unit.session, Model, message.id)
    adapters = select(Adapter).where(Adapter.model_id == message.id)
    files = _made(world.desk.settings, unit.session, row, "models") if message.remove_files else ([], [])
    return _with_dependents(world.desk, unit, row, message.id, adapters, *files)


def _with_dependents(
    desk: Desk,
    unit: Unit,
    row: Any,
    id: str,
    dependents: Any,
    made: Sequence[Candidate] = (),
    kept: Sequence[KeptFiles] = (),
) -> RemovedReply:
    if row is None:
        return RemovedReply(id=id, removed=False)
    rows = [*unit.session.scalars(dependents.order_by("name", "id")), row]
    candidates = [*made, *(copy for each in rows for copy in _copy(desk.settings, each))]
    return _freeing(desk, unit, id, _delete(unit, rows), candidates, kept)


def _copy(settings: Settings, row: Any) -> Iterator[Candidate]:
    """The studio's own copy of a registry's files: it was made for this row, and is of no use without it."""
    if isinstance(row, Model | Adapter) and row.type == ModelType.model_registry:
        path = copies.own(settings, row.location)
        if path is not None:
            yield Candidate(path, path.parent)


@handles(RemovePrompt)
def remove_prompt(message: RemovePrompt, unit: Unit, world: RealWorld) -> RemovedReply:
    """Remove the prompt."""
    return _alone(unit, locked(unit.session, Prompt, message.id), message.id)


@handles(RemoveConfig)
def remove_config(message: RemoveConfig, unit: Unit, world: RealWorld) -> RemovedReply:
    """Remove the config."""
    return _alone(unit, locked(unit.session, Config, message.id), message.id)


def _alone(unit: Unit, row: Base | None, id: str) -> RemovedReply:
    resources = [] if row is None else _delete(unit, [row])
    return RemovedReply(id=id, removed=row is not None, resources=resources)


@handles(RemoveAdapter)
def remove_adapter(message: RemoveAdapter, unit: Unit, world: RealWorld) -> RemovedReply:
    """Remove the adapter, its copy of a registry's files, and its directory if asked and it is the studio's to remove."""
    row = locked(unit.session, Adapter, message.id)
    if row is None:
        return RemovedReply(id=message.id, removed=False)
    candidates = list(_copy(world.desk.settings, row))
    made, kept = _made(world.desk.settings, unit.session, row, "adapters") if message.remove_files else ([], [])
    resources = _delete(unit, [row])
    return _freeing(world.desk, unit, message.id, resources, [*candidates, *made], kept)


def _made(
    settings: Settings, session: Session, row: Adapter | Model | None, what: str
) -> tuple[list[Candidate], list[KeptFiles]]:
    """(the directory of what a job made, why it stays when it is not the studio's to remove)."""
    if row is None or row.type != AdapterType.project or not row.location:
        return [], []
    path = settings.project.resolve() / row.location
    root = _root_of(settings, session, row, path)
    if root is None:
        return [], [KeptFiles(path=str(path), reason=f"it is not where the studio keeps {what}")]
    return [Candidate(path, root)], []


def _root_of(settings: Settings, session: Session, row: Adapter | Model, path: Path) -> Path | None:
    """The directory of the studio's that it lies in: of all that jobs make, or where its own job was told to put it."""
    adapters = settings.adapters_root
    real = path.parent.resolve() / path.name
    if adapters in real.parents:
        return adapters
    job = session.get(FineTuningJob, row.fine_tuning_job_id) if row.fine_tuning_job_id else None
    made = [] if job is None else [each.path for each in _adapters_of(settings, job)]
    return real.parent.parent if job is not None and real in made else None


@handles(RemoveFineTuningJob)
def remove_fine_tuning_job(message: RemoveFineTuningJob, unit: Unit, world: RealWorld) -> RemovedReply:
    """Remove a finished job's record; its adapter stays, without the link."""
    row = locked(unit.session, FineTuningJob, message.id)
    if row is None:
        return RemovedReply(id=message.id, removed=False)
    job = _job(unit.session, row.id, JobKind.fine_tuning)
    settings = world.desk.settings
    candidates = [*_directory(settings, row.id), *_adapters_of(settings, row)] if message.remove_files else []
    if job is not None:
        unit.session.delete(row)
    resources = _delete(unit, [job or row])
    return _freeing(world.desk, unit, message.id, resources, candidates)


@handles(RemoveEvaluationJob)
def remove_evaluation_job(message: RemoveEvaluationJob, unit: Unit, world: RealWorld) -> RemovedReply:
    """Remove a batch that is over, or one evaluation of it; the batch goes with its last one."""
    one = unit.session.get(EvaluationJob, message.id)
    parent = message.id if one is None else one.parent_job_id or ""
    job = _job(unit.session, parent, JobKind.evaluation)
    batch = list(unit.session.scalars(select(EvaluationJob).where(EvaluationJob.parent_job_id == parent)))
    rows = [row for row in sorted(batch, key=lambda row: row.run_number or 0) if one is None or row is one]
    if not rows and (one is not None or job is None):
        return RemovedReply(id=message.id, removed=False)
    whole = job is not None and len(rows) >= len(batch)
    settings = world.desk.settings
    files = [*(_directory(settings, parent) if whole else _answers(settings, rows))] if message.remove_files else []
    resources = _delete(unit, [*rows, *([job] if whole else [])])
    return _freeing(world.desk, unit, message.id, resources, files)


@handles(RemoveEndpoint)
def remove_endpoint(message: RemoveEndpoint, unit: Unit, world: RealWorld) -> RemovedReply:
    """Remove the record of an endpoint that is over."""
    row = locked(unit.session, Endpoint, message.id)
    if row is None:
        return RemovedReply(id=message.id, removed=False)
    job = locked(unit.session, Job, row.id)
    files = list(_directory(world.desk.settings, row.id)) if message.remove_files else []
    unit.session.delete(row)
    return _freeing(world.desk, unit, message.id, _delete(unit, [job]), files)


@handles(RemoveComparison)
def remove_comparison(message: RemoveComparison, unit: Unit, world: RealWorld) -> RemovedReply:
    """Remove a session that is over, and what was said in it."""
    row = locked(unit.session, Comparison, message.id)
    if row is None:
        return RemovedReply(id=message.id, removed=False)
    job = locked(unit.session, Job, row.id)
    files = list(_directory(world.desk.settings, row.id)) if message.remove_files else []
    for table in (ComparisonQuestion, ComparisonAdapter):
        unit.session.execute(delete(table).where(table.comparison_id == row.id))
    unit.session.delete(row)
    return _freeing(world.desk, unit, message.id, _delete(unit, [job]), files)


def _job(session: Session, id: str, kind: JobKind) -> Job | None:
    """The state of a job of that kind; an imported row may have the id of another kind's."""
    job: Job | None = locked(session, Job, id)
    return job if job is not None and job.kind == kind else None


def _delete(unit: Unit, rows: Sequence[Any]) -> list[RemovedResource]:
    """Delete the rows, a job's with its metrics, and say so in the log in their order."""
    resources = []
    for row in rows:
        if isinstance(row, Job):
            unit.session.execute(delete(Metric).where(Metric.job_id == row.id))
        unit.session.delete(row)
        kind = "jobs" if isinstance(row, FineTuningJob) else row.__tablename__
        resource = RemovedResource(kind=kind, id=row.id, name=_name(row))
        resources.append(resource)
        unit.emit("ResourceRemoved", kind, row.id, f"{WORDS[kind]} {resource.name} was removed", name=resource.name)
    unit.session.flush()
    return resources


def _name(row: Any) -> str | None:
    if isinstance(row, Config):
        return row.description or row.type
    if isinstance(row, EvaluationJob):
        return str(row.run_number)
    name = row.adapter_name if isinstance(row, FineTuningJob) else row.name
    return None if name is None else str(name)


def _freeing(
    desk: Desk,
    unit: Unit,
    id: str,
    resources: list[RemovedResource],
    candidates: Sequence[Candidate],
    kept: Sequence[KeptFiles] = (),
) -> RemovedReply:
    freed = freeing.leave(desk, unit, candidates, kept)
    return RemovedReply(
        id=id, removed=True, resources=resources, paths=freed.paths, freed_bytes=freed.bytes, kept=freed.kept
    )


def _directory(settings: Settings, id: str) -> Iterator[Candidate]:
    """A job's own directory (core/spec.py tells what is in it)."""
    if id == Path(id).name:
        root = settings.artifacts_root / "jobs"
        yield Candidate(root / id, root)


def _adapters_of(settings: Settings, row: FineTuningJob) -> Iterator[Candidate]:
    """The directories that the attempts of a job wrote adapters to, as core/spec.py names them, and nothing else.

    An imported row may name any directory and have any id: only a UUID's numbered directories are taken for a job's.
    """
    root = (settings.project.resolve() / (row.out_dir or "")).resolve()
    allowed = [*settings.roots, settings.adapters_root]
    if not row.out_dir or not _is_uuid(row.id) or not any(root.is_relative_to(each) for each in allowed):
        return
    own = root / row.id
    if own.is_dir() and not own.is_symlink():
        for path in sorted(own.iterdir()):
            if path.name.strip(".").removesuffix(".draft").isdecimal():
                yield Candidate(path, root)


def _answers(settings: Settings, rows: Iterable[EvaluationJob]) -> Iterator[Candidate]:
    """What the evaluations answered, as far as it lies in their batch's directory."""
    for row in rows:
        for batch in _directory(settings, row.parent_job_id or "") if row.answers else ():
            yield Candidate(settings.artifacts_root / (row.answers or ""), batch.path)


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
