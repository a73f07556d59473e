"""Handlers that change what a resource is called and what is told of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from actors import adapters, configs, datasets, evaluation, fine_tuning, models, prompts
from actors.handlers import handles
from actors.naming import named
from actors.pages import found, locked
from actors.waiting import Board
from actors.world import RealWorld
from core.errors import NotFound
from core.messages.adapters import AdapterReply
from core.messages.configs import ConfigReply
from core.messages.datasets import DatasetReply
from core.messages.editing import (
    EditAdapter,
    EditConfig,
    EditDataset,
    EditEvaluationJob,
    EditFineTuningJob,
    EditModel,
    EditPrompt,
)
from core.messages.evaluation import EvaluationBatchReply
from core.messages.fine_tuning import FineTuningJobReply
from core.messages.models import ModelReply
from core.messages.prompts import PromptReply
from core.store.session import Unit
from core.store.tables import Adapter, Config, Dataset, EvaluationJob, FineTuningJob, Job, Model, Prompt
from core.types import JobKind


@handles(EditDataset)
def edit_dataset(message: EditDataset, unit: Unit, world: RealWorld) -> DatasetReply:
    """Change a dataset."""
    row = found(unit.session, Dataset, message.id, "dataset", lock=True)
    _change(unit, row, "dataset", name=message.name, description=message.description)
    return DatasetReply(dataset=datasets.metadata(row))


@handles(EditModel)
def edit_model(message: EditModel, unit: Unit, world: RealWorld) -> ModelReply:
    """Change a model."""
    row = found(unit.session, Model, message.id, "model", lock=True)
    _change(unit, row, "model", name=message.name, description=message.description)
    return ModelReply(model=models.metadata(row))


@handles(EditAdapter)
def edit_adapter(message: EditAdapter, unit: Unit, world: RealWorld) -> AdapterReply:
    """Change an adapter."""
    row = found(unit.session, Adapter, message.id, "adapter", lock=True)
    _change(unit, row, "adapter", name=message.name, description=message.description)
    return AdapterReply(adapter=adapters.metadata(row))


@handles(EditPrompt)
def edit_prompt(message: EditPrompt, unit: Unit, world: RealWorld) -> PromptReply:
    """Change a prompt."""
    row = found(unit.session, Prompt, message.id, "prompt", lock=True)
    _change(unit, row, "prompt", name=message.name, description=message.description)
    return PromptReply(prompt=prompts.metadata(row))


@handles(EditConfig)
def edit_config(message: EditConfig, unit: Unit, world: RealWorld) -> ConfigReply:
    """Change a config's description; what it is found again by, its content and family, stays."""
    row = found(unit.session, Config, message.id, "config", lock=True)
    _change(unit, row, "config", description=message.description)
    return ConfigReply(config=configs.metadata(row))


@handles(EditFineTuningJob)
def edit_fine_tuning_job(message: EditFineTuningJob, unit: Unit, world: RealWorld) -> FineTuningJobReply:
    """Change what a job is called."""
    row = found(unit.session, FineTuningJob, message.id, "fine-tuning job")
    job = found(unit.session, Job, row.id, "fine-tuning job", lock=True)
    _change(unit, job, "job", name=message.name, description=message.description)
    return FineTuningJobReply(fine_tuning_job=fine_tuning.metadata(row, job, Board(unit.session, world.desk.settings)))


@handles(EditEvaluationJob)
def edit_evaluation_job(message: EditEvaluationJob, unit: Unit, world: RealWorld) -> EvaluationBatchReply:
    """Change what a batch is called."""
    one = unit.session.get(EvaluationJob, message.id)
    job = locked(unit.session, Job, message.id if one is None else one.parent_job_id or "")
    if job is None or job.kind != JobKind.evaluation:
        raise NotFound(f"there is no evaluation job with id {message.id!r}")
    _change(unit, job, "evaluation", name=message.name, description=message.description)
    batch = select(EvaluationJob).where(EvaluationJob.parent_job_id == job.id).order_by(EvaluationJob.run_number)
    board = Board(unit.session, world.desk.settings)
    rows = [evaluation.metadata(row, job, board) for row in unit.session.scalars(batch)]
    return EvaluationBatchReply(parent_job_id=job.id, evaluation_jobs=named(unit.session, rows))


def _change(unit: Unit, row: Any, what: str, *, description: str | None, name: str | None = None) -> None:
    """Set what is given and differs, and say so in the log; a blank description is none."""
    before = (getattr(row, "name", None), row.description)
    if name is not None:
        row.name = name.strip()
    if description is not None:
        row.description = description if description.strip() else None
    after = (getattr(row, "name", None), row.description)
    if after == before:
        return
    unit.session.flush()
    called = after[0] or row.description or row.id
    renamed = f", formerly {before[0]}" if after[0] != before[0] else ""
    unit.emit("ResourceChanged", row.__tablename__, row.id, f"{what} {called}{renamed} was edited", name=called)
