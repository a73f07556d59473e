"""What a fine-tuning job leaves: its adapter, or its model, registered under the name that was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import select

from actors import adapters
from actors.desk import Desk
from actors.freeing import size
from core.store.session import Unit
from core.store.tables import Adapter, FineTuningJob, Job, Model
from core.types import AdapterType, ModelFrameworkType, ModelType

WEIGHTS = ".safetensors"


def register(desk: Desk, unit: Unit, job: Job) -> None:
    """Register what the job trained, unless it was told not to."""
    row = unit.session.get(FineTuningJob, job.id)
    if row is None or not row.auto_add_adapter:
        return
    if (location := (job.summary or {}).get("adapter")) is not None:
        row.adapter_id = _adapter(desk, unit, job, row, location)
    if (location := (job.summary or {}).get("model")) is not None:
        row.trained_model_id = _model(desk, unit, job, row, location)


def _adapter(desk: Desk, unit: Unit, job: Job, row: FineTuningJob, location: str) -> str:
    adapter = Adapter(
        id=str(uuid4()),
        type=AdapterType.project.value,
        name=_free(unit, job, row, Adapter, "adapter"),
        model_id=row.base_model_id,
        location=str(desk.settings.artifacts_root / Path(location)),
        fine_tuning_job_id=row.id,
        prompt_id=row.prompt_id,
        files=(job.summary or {}).get("adapter_files"),
        created_at=unit.now,
    )
    return adapters.store(unit, adapter).id


def _model(desk: Desk, unit: Unit, job: Job, row: FineTuningJob, location: str) -> str:
    """A model of the project like any other: the base of the next job, a candidate of an evaluation."""
    base = unit.session.get(Model, row.base_model_id) if row.base_model_id else None
    files: dict[str, Any] = (job.summary or {}).get("model_files") or {}
    path = desk.settings.artifacts_root / Path(location)
    model = Model(
        id=str(uuid4()),
        type=ModelType.project.value,
        framework=ModelFrameworkType.pytorch.value,
        name=_free(unit, job, row, Model, "model"),
        description=f"all weights of {base.name if base else 'a model'} trained further by job {row.id}",
        location=str(path),
        family=base.family if base else None,
        files={name: sha for name, sha in files.items() if name.endswith(WEIGHTS)},
        bytes=size(path) if path.is_dir() else None,
        shape=base.shape if base else None,
        fine_tuning_job_id=row.id,
        created_at=unit.now,
    )
    unit.session.add(model)
    unit.session.flush()
    unit.emit("ResourceAdded", "models", model.id, f"model {model.name} was added", name=model.name)
    return model.id


def _free(unit: Unit, job: Job, row: FineTuningJob, table: Any, what: str) -> str:
    """The name asked for. One that was taken meanwhile gets a part of the job's id, as much as it takes; that is told."""
    wanted = row.adapter_name or job.id
    taken = set(unit.session.scalars(select(table.name).where(table.name.startswith(wanted, autoescape=True))))
    names = (wanted, *(f"{wanted}-{job.id[:length]}" for length in range(8, len(job.id))))
    name = next((name for name in names if name not in taken), f"{wanted}-{uuid4()}")
    if name == wanted:
        return name
    text = f"the {what}'s name was taken; it is registered as {name}"
    unit.emit("JobWarning", "jobs", job.id, f"{job.name}: {text}", level="warning", attempt=job.attempt)
    return name
