"""Export: the guide's seven tables, and beside them how the jobs stood."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateTable

from core.store.tables import TABLE_TO_MODEL, Base, Job
from core.types import JobKind, JobStatus

# What we added to the guide's tables: left out of a file that the original studio is to read.
OURS: dict[str, frozenset[str]] = {
    "models": frozenset(
        {"revision", "source", "family", "files", "bytes", "shape", "fine_tuning_job_id", "created_at"}
    ),
    "datasets": frozenset(
        {"config_name", "column_types", "preview", "is_chat", "splits", "rows", "bytes", "sha256", "revision", "created_at"}
    ),
    "prompts": frozenset({"created_at"}),
    "configs": frozenset({"content_hash", "created_at"}),
    "adapters": frozenset({"revision", "source", "files", "created_at"}),
    "fine_tuning_jobs": frozenset(
        {"auto_add_adapter", "dist_cpu", "dist_gpu", "dist_mem", "max_length", "packing", "loss_on", "length_grouped",
         "method", "chat_template", "train_splits", "eval_split", "early_stopping_patience", "keep_best", "preset",
         "trained_model_id"}
    ),
    "evaluation_jobs": frozenset(
        {"run_number", "status", "error", "scores", "statistics", "rows", "answers", "selected_features", "eval_dataset_fraction",
         "comparison_adapter_id", "started_at", "finished_at"}
    ),
}  # fmt: skip
PASSING = (JobKind.plan, JobKind.endpoint, JobKind.comparison)  # of no use tomorrow, or elsewhere
# How a job stood; what only its runner or its attempt knew stays behind.
JOB_COLUMNS = (
    "id", "kind", "name", "description", "engine", "status", "priority", "cpus", "gpus", "memory", "workers",
    "created_at", "queued_at", "started_at", "finished_at", "error", "step", "total_steps", "last_metrics", "summary",
)  # fmt: skip


def export_tables(session: Session, *, guide_columns: bool = False) -> dict[str, dict[str, Any]]:
    """Return {table: {"schema", "data"}}, rows in the order of their ids: the same store gives the same text.

    With `guide_columns` there are only the guide's columns and tables, so that the original studio can read the file.
    """
    tables = {
        name: _table(session, model, OURS[name] if guide_columns else frozenset())
        for name, model in TABLE_TO_MODEL.items()
    }
    if not guide_columns:
        jobs = [_job(row) for row in _rows(session, Job) if row.kind not in PASSING]
        tables["jobs"] = {"schema": _schema(Job), "data": jobs}
    return tables


def as_text(tables: dict[str, dict[str, Any]]) -> str:
    """The exported file's text: JSON, indented by 2, nulls kept."""
    return json.dumps(tables, indent=2, ensure_ascii=False)


def _table(session: Session, model: type[Base], without: frozenset[str]) -> dict[str, Any]:
    columns = [column.name for column in model.__table__.columns if column.name not in without]
    return {
        "schema": _schema(model, without),
        "data": [{name: _value(row, name) for name in columns} for row in _rows(session, model)],
    }


def _rows(session: Session, model: Any) -> Any:
    return session.scalars(select(model).order_by(model.id).execution_options(yield_per=1000))


def _value(row: Any, name: str) -> Any:
    """A column's value. That a piece of work was unfinished is no fact about it elsewhere."""
    value = getattr(row, name)
    if name == "status" and value is not None and not JobStatus(value).finished:
        return None
    return value


def _job(row: Job) -> dict[str, Any]:
    return {name: getattr(row, name) for name in JOB_COLUMNS}


def _schema(model: type[Base], without: frozenset[str] = frozenset()) -> str:
    """The table's definition as SQLite's; the same whatever database the studio has."""
    if not without:
        return str(CreateTable(model.__table__, if_not_exists=True).compile(dialect=sqlite.dialect())).strip()  # type: ignore[arg-type]
    columns = ", ".join(
        f"{column.name} {'INTEGER' if column.type.python_type in (int, bool) else 'REAL' if column.type.python_type is float else 'TEXT'}"
        for column in model.__table__.columns
        if column.name not in without
    )
    return f"CREATE TABLE IF NOT EXISTS {model.__tablename__} ({columns}, PRIMARY KEY (id))"
