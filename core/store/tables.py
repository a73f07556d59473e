"""The tables: the guide's seven with its columns (chapter "Data Tier"), what we add to them, and six of our own.

`jobs` holds the state of everything that a runner works on; a fine-tuning job has the id of its job, an evaluation batch
has its parent_job_id as the id of its job, with one row of evaluation_jobs a combination.
Foreign keys are checked at commit; links that only tell where something came from are emptied when it goes.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, Integer, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Every table."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON, list[Any]: JSON, float: Double}


def _origin(target: str, *, use_alter: bool = False) -> Any:
    return ForeignKey(target, ondelete="SET NULL", deferrable=True, initially="DEFERRED", use_alter=use_alter)


def _holds(target: str) -> Any:
    return ForeignKey(target, ondelete="NO ACTION", deferrable=True, initially="DEFERRED")


def _listed(table: str) -> Index:
    """What serves the order of a list (actors/pages.py)."""
    return Index(f"ix_{table}_listed", "created_at", "id")


class Model(Base):
    """A base model. `files` maps names of weight files to their SHA-256."""

    __tablename__ = "models"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    type: Mapped[str | None]
    framework: Mapped[str | None]
    name: Mapped[str | None] = mapped_column(String, unique=True)
    description: Mapped[str | None]
    huggingface_model_name: Mapped[str | None] = mapped_column(String, unique=True)
    location: Mapped[str | None]
    cml_registered_model_id: Mapped[str | None]
    mlflow_experiment_id: Mapped[str | None]
    mlflow_run_id: Mapped[str | None]
    revision: Mapped[str | None]
    family: Mapped[str | None]
    files: Mapped[dict[str, Any] | None]
    bytes: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[float | None]

    __table_args__ = (_listed("models"),)


class Dataset(Base):
    """A dataset. `features` is a JSON list of column names, `column_types` maps them to their types' names.

    `config_name` is empty where the Hub's dataset has no configs: NULLs would not be alike to its UNIQUE constraint.
    """

    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    type: Mapped[str | None]
    name: Mapped[str | None] = mapped_column(String, unique=True)
    description: Mapped[str | None] = mapped_column(Text)
    huggingface_name: Mapped[str | None]
    config_name: Mapped[str] = mapped_column(String, default="", server_default="")
    location: Mapped[str | None] = mapped_column(Text)
    features: Mapped[str | None] = mapped_column(Text)
    column_types: Mapped[dict[str, Any] | None]
    preview: Mapped[list[Any] | None]
    is_chat: Mapped[bool | None]
    rows: Mapped[int | None] = mapped_column(BigInteger)
    bytes: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None]
    revision: Mapped[str | None]
    created_at: Mapped[float | None]

    __table_args__ = (UniqueConstraint("huggingface_name", "config_name"), _listed("datasets"))


class Prompt(Base):
    """A prompt template."""

    __tablename__ = "prompts"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    type: Mapped[str | None]
    name: Mapped[str | None] = mapped_column(String, unique=True)
    description: Mapped[str | None]
    dataset_id: Mapped[str | None] = mapped_column(_holds("datasets.id"), index=True)
    prompt_template: Mapped[str | None]
    input_template: Mapped[str | None]
    completion_template: Mapped[str | None]
    created_at: Mapped[float | None]

    __table_args__ = (_listed("prompts"),)


class Config(Base):
    """A config. `content_hash` (type, family, canonical content) is what keeps equal ones from being stored twice."""

    __tablename__ = "configs"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    type: Mapped[str | None] = mapped_column(String, index=True)
    description: Mapped[str | None]
    config: Mapped[str | None] = mapped_column(Text)
    model_family: Mapped[str | None]
    is_default: Mapped[int | None] = mapped_column(Integer, default=1)
    content_hash: Mapped[str | None] = mapped_column(String, unique=True)
    created_at: Mapped[float | None]

    __table_args__ = (_listed("configs"), Index("ix_configs_model_family", "model_family", "is_default"))


class Adapter(Base):
    """An adapter of a base model."""

    __tablename__ = "adapters"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    type: Mapped[str | None]
    name: Mapped[str | None] = mapped_column(String, unique=True)
    description: Mapped[str | None]
    huggingface_name: Mapped[str | None]
    model_id: Mapped[str | None] = mapped_column(_holds("models.id"), index=True)
    location: Mapped[str | None] = mapped_column(Text)
    fine_tuning_job_id: Mapped[str | None] = mapped_column(_origin("fine_tuning_jobs.id"), index=True)
    prompt_id: Mapped[str | None] = mapped_column(_origin("prompts.id"), index=True)
    cml_registered_model_id: Mapped[str | None]
    mlflow_experiment_id: Mapped[str | None]
    mlflow_run_id: Mapped[str | None]
    revision: Mapped[str | None]
    files: Mapped[dict[str, Any] | None]
    created_at: Mapped[float | None]

    __table_args__ = (_listed("adapters"),)


class FineTuningJob(Base):
    """A fine-tuning job's request and config snapshots; its state is the row of jobs with the same id."""

    __tablename__ = "fine_tuning_jobs"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    base_model_id: Mapped[str | None] = mapped_column(_origin("models.id"), index=True)
    dataset_id: Mapped[str | None] = mapped_column(_origin("datasets.id"), index=True)
    prompt_id: Mapped[str | None] = mapped_column(_origin("prompts.id"), index=True)
    num_workers: Mapped[int | None]
    cml_job_id: Mapped[str | None]
    adapter_id: Mapped[str | None] = mapped_column(_origin("adapters.id", use_alter=True), index=True)
    num_cpu: Mapped[int | None]
    num_gpu: Mapped[int | None]
    num_memory: Mapped[int | None]
    num_epochs: Mapped[int | None]
    learning_rate: Mapped[float | None]
    out_dir: Mapped[str | None]
    training_arguments_config_id: Mapped[str | None] = mapped_column(_origin("configs.id"), index=True)
    model_bnb_config_id: Mapped[str | None] = mapped_column(_origin("configs.id"), index=True)
    adapter_bnb_config_id: Mapped[str | None] = mapped_column(_origin("configs.id"), index=True)
    lora_config_id: Mapped[str | None] = mapped_column(_origin("configs.id"), index=True)
    training_arguments_config: Mapped[str | None]
    model_bnb_config: Mapped[str | None]
    adapter_bnb_config: Mapped[str | None]
    lora_config: Mapped[str | None]
    dataset_fraction: Mapped[float | None]
    train_test_split: Mapped[float | None]
    user_script: Mapped[str | None]
    user_config_id: Mapped[str | None] = mapped_column(_origin("configs.id"), index=True)
    framework_type: Mapped[str | None]
    axolotl_config_id: Mapped[str | None] = mapped_column(_origin("configs.id"), index=True)
    gpu_label_id: Mapped[int | None]
    adapter_name: Mapped[str | None] = mapped_column(String, index=True)
    auto_add_adapter: Mapped[bool | None]
    dist_cpu: Mapped[int | None]
    dist_gpu: Mapped[int | None]
    dist_mem: Mapped[int | None]
    max_length: Mapped[int | None]
    packing: Mapped[bool | None]
    loss_on: Mapped[str | None]
    length_grouped: Mapped[bool | None]


class EvaluationJob(Base):
    """One combination of an evaluation batch; the batch's state is the row of jobs with id parent_job_id."""

    __tablename__ = "evaluation_jobs"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    type: Mapped[str | None]
    cml_job_id: Mapped[str | None]
    parent_job_id: Mapped[str | None] = mapped_column(String, index=True)
    base_model_id: Mapped[str | None] = mapped_column(_origin("models.id"), index=True)
    dataset_id: Mapped[str | None] = mapped_column(_origin("datasets.id"), index=True)
    prompt_id: Mapped[str | None] = mapped_column(_origin("prompts.id"), index=True)
    num_workers: Mapped[int | None]
    adapter_id: Mapped[str | None] = mapped_column(_origin("adapters.id"), index=True)
    num_cpu: Mapped[int | None]
    num_gpu: Mapped[int | None]
    num_memory: Mapped[int | None]
    evaluation_dir: Mapped[str | None]
    model_bnb_config_id: Mapped[str | None] = mapped_column(_origin("configs.id"), index=True)
    adapter_bnb_config_id: Mapped[str | None] = mapped_column(_origin("configs.id"), index=True)
    generation_config_id: Mapped[str | None] = mapped_column(_origin("configs.id"), index=True)
    model_bnb_config: Mapped[str | None]
    adapter_bnb_config: Mapped[str | None]
    generation_config: Mapped[str | None]
    run_number: Mapped[int | None]
    status: Mapped[str | None]
    error: Mapped[str | None] = mapped_column(Text)
    scores: Mapped[dict[str, Any] | None]
    rows: Mapped[int | None]
    answers: Mapped[str | None]
    selected_features: Mapped[list[str] | None]
    eval_dataset_fraction: Mapped[float | None]
    comparison_adapter_id: Mapped[str | None]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]


class ExportJob(Base):
    """The request of an export; its state is the row of jobs with the same id."""

    __tablename__ = "export_jobs"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    type: Mapped[str]
    base_model_id: Mapped[str | None] = mapped_column(_origin("models.id"), index=True)
    adapter_id: Mapped[str | None] = mapped_column(_origin("adapters.id"), index=True)
    model_name: Mapped[str]
    model_description: Mapped[str | None] = mapped_column(Text)
    artifact_location: Mapped[str | None] = mapped_column(Text)
    generation_config_id: Mapped[str | None] = mapped_column(_origin("configs.id"), index=True)
    generation_config: Mapped[str | None] = mapped_column(Text)
    num_cpu: Mapped[int]
    num_gpu: Mapped[int]
    num_memory: Mapped[int]


class Job(Base):
    """The state of a piece of work for a runner. `attempt` is the fencing token; `accepted` the offset taken of its spool."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    description: Mapped[str | None] = mapped_column(Text)
    engine: Mapped[str]
    status: Mapped[str]
    spec: Mapped[dict[str, Any]]
    priority: Mapped[int] = mapped_column(Integer, default=0)
    cpus: Mapped[int]
    gpus: Mapped[int]
    memory: Mapped[int]
    workers: Mapped[int] = mapped_column(Integer, default=1)
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    accepted: Mapped[int] = mapped_column(BigInteger, default=0)
    losses: Mapped[int] = mapped_column(Integer, default=0)
    runner_id: Mapped[str | None] = mapped_column(String, index=True)
    lease_expires_at: Mapped[float | None]
    created_at: Mapped[float]
    queued_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    error: Mapped[dict[str, Any] | None]
    phase: Mapped[str | None]
    step: Mapped[int] = mapped_column(Integer, default=0)
    total_steps: Mapped[int | None]
    eta_seconds: Mapped[float | None]
    tokens_per_second: Mapped[float | None]
    last_metrics: Mapped[dict[str, Any] | None]
    checkpoint: Mapped[str | None]
    summary: Mapped[dict[str, Any] | None]
    cancelled: Mapped[list[str] | None]

    __table_args__ = (
        Index("ix_jobs_status_priority", "status", "priority", "queued_at"),
        Index("ix_jobs_created_at", "created_at"),
        Index("ix_jobs_kind", "kind", "created_at", "id"),
    )


class Runner(Base):
    """A runner daemon. A report of another incarnation than this is refused."""

    __tablename__ = "runners"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    incarnation: Mapped[int]
    host: Mapped[str]
    kind: Mapped[str]
    cpus: Mapped[int]
    memory: Mapped[float]
    gpus: Mapped[dict[str, Any]]
    labels: Mapped[dict[str, Any]]
    engines: Mapped[list[str]]
    trusted: Mapped[bool]
    draining: Mapped[bool]
    lost: Mapped[bool]
    free: Mapped[dict[str, Any] | None]
    telemetry: Mapped[dict[str, Any] | None]
    registered_at: Mapped[float]
    last_seen_at: Mapped[float]


class EventRow(Base):
    """The log of what happened in the domain, and the outbox. Ids count up and are never used twice."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    at: Mapped[float]
    type: Mapped[str]
    level: Mapped[str]
    message: Mapped[str] = mapped_column(Text)
    kind: Mapped[str]
    resource_id: Mapped[str]
    data: Mapped[dict[str, Any]]

    __table_args__ = (Index("ix_events_resource_id", "resource_id", "id"), {"sqlite_autoincrement": True})


class Metric(Base):
    """One number of a job at an optimiser step; a step that comes again after a resume takes the place of the first."""

    __tablename__ = "metrics"

    job_id: Mapped[str] = mapped_column(String, primary_key=True)
    name: Mapped[str] = mapped_column(String, primary_key=True)
    step: Mapped[int] = mapped_column(Integer, primary_key=True)
    value: Mapped[float]
    at: Mapped[float]
    attempt: Mapped[int]


class Inbox(Base):
    """What was answered to a command's key: a second delivery gets the same, another payload a conflict."""

    __tablename__ = "inbox"

    key: Mapped[str] = mapped_column(String, primary_key=True)
    name: Mapped[str]
    payload_hash: Mapped[str]
    reply: Mapped[str] = mapped_column(Text)
    at: Mapped[float] = mapped_column(Double, index=True)


class Meta(Base):
    """Facts about the store itself: epoch, studio (its id and marker), last_tick."""

    __tablename__ = "meta"

    key: Mapped[str] = mapped_column(String, primary_key=True)
    value: Mapped[str] = mapped_column(Text)


# The guide's table registry: what export and import go through.
TABLE_TO_MODEL: dict[str, type[Base]] = {
    "datasets": Dataset,
    "models": Model,
    "prompts": Prompt,
    "adapters": Adapter,
    "fine_tuning_jobs": FineTuningJob,
    "evaluation_jobs": EvaluationJob,
    "configs": Config,
}
EVERY_TABLE: dict[str, type[Base]] = {mapper.class_.__tablename__: mapper.class_ for mapper in Base.registry.mappers}
