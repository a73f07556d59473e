"""The tables: the guide's seven with its columns (chapter "Data Tier"), what we add to them, and six of our own.

`jobs` holds the state of everything that a runner works on; a fine-tuning job has the id of its job, an evaluation batch
has its parent_job_id as the id of its job, with one row of evaluation_jobs a combination.
Foreign keys are checked at commit; links that only tell where something came from are emptied when it goes.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Index, Integer, String, Text, UniqueConstraint, true
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import Base, holds, origin
from core.store.comparing import Comparison, ComparisonAdapter, ComparisonQuestion
from core.store.past import EventRow, Inbox, MessageRow
from core.store.work import Job, JobMember, Metric, Notification, Promotion, Runner

# Whoever needs a table finds it here.
__all__ = [
    "EVERY_TABLE",
    "TABLE_TO_MODEL",
    "Adapter",
    "Base",
    "Comparison",
    "ComparisonAdapter",
    "ComparisonQuestion",
    "Config",
    "Dataset",
    "Endpoint",
    "EvaluationJob",
    "EventRow",
    "ExportJob",
    "FineTuningJob",
    "Inbox",
    "Job",
    "JobMember",
    "MessageRow",
    "Meta",
    "Metric",
    "Model",
    "Notification",
    "Promotion",
    "Prompt",
    "Runner",
    "TrainedWeights",
    "TrainingRow",
]


def _listed(table: str) -> Index:
    """What serves the order of a list (actors/pages.py)."""
    return Index(f"ix_{table}_listed", "created_at", "id")


class Model(Base):
    """A base model. `files` maps names of weight files to their SHA-256; `source` is where a registry keeps it.

    `shape` is a core.shapes.Shape; `fine_tuning_job_id` is the job that trained it here.
    """

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
    source: Mapped[str | None] = mapped_column(Text)
    revision: Mapped[str | None]
    family: Mapped[str | None]
    files: Mapped[dict[str, Any] | None]
    bytes: Mapped[int | None] = mapped_column(BigInteger)
    shape: Mapped[dict[str, Any] | None]
    fine_tuning_job_id: Mapped[str | None] = mapped_column(origin("fine_tuning_jobs.id", use_alter=True), index=True)
    created_at: Mapped[float | None]

    __table_args__ = (_listed("models"),)


class Dataset(Base):
    """A dataset. `features` is a JSON list of column names, `column_types` maps them to their types' names, `splits` the
    names of its splits to their rows, as far as both are known.

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
    splits: Mapped[dict[str, Any] | None]
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
    dataset_id: Mapped[str | None] = mapped_column(holds("datasets.id"), index=True)
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
    model_id: Mapped[str | None] = mapped_column(holds("models.id"), index=True)
    location: Mapped[str | None] = mapped_column(Text)
    fine_tuning_job_id: Mapped[str | None] = mapped_column(origin("fine_tuning_jobs.id"), index=True)
    prompt_id: Mapped[str | None] = mapped_column(origin("prompts.id"), index=True)
    cml_registered_model_id: Mapped[str | None]
    mlflow_experiment_id: Mapped[str | None]
    mlflow_run_id: Mapped[str | None]
    source: Mapped[str | None] = mapped_column(Text)
    revision: Mapped[str | None]
    files: Mapped[dict[str, Any] | None]
    created_at: Mapped[float | None]

    __table_args__ = (_listed("adapters"),)


class FineTuningJob(Base):
    """A fine-tuning job's request and config snapshots; its state is the row of jobs with the same id."""

    __tablename__ = "fine_tuning_jobs"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    base_model_id: Mapped[str | None] = mapped_column(origin("models.id"), index=True)
    dataset_id: Mapped[str | None] = mapped_column(origin("datasets.id"), index=True)
    prompt_id: Mapped[str | None] = mapped_column(origin("prompts.id"), index=True)
    num_workers: Mapped[int | None]
    cml_job_id: Mapped[str | None]
    adapter_id: Mapped[str | None] = mapped_column(origin("adapters.id", use_alter=True), index=True)
    num_cpu: Mapped[int | None]
    num_gpu: Mapped[int | None]
    num_memory: Mapped[int | None]
    num_epochs: Mapped[int | None]
    learning_rate: Mapped[float | None]
    out_dir: Mapped[str | None]
    training_arguments_config_id: Mapped[str | None] = mapped_column(origin("configs.id"), index=True)
    model_bnb_config_id: Mapped[str | None] = mapped_column(origin("configs.id"), index=True)
    adapter_bnb_config_id: Mapped[str | None] = mapped_column(origin("configs.id"), index=True)
    lora_config_id: Mapped[str | None] = mapped_column(origin("configs.id"), index=True)
    training_arguments_config: Mapped[str | None]
    model_bnb_config: Mapped[str | None]
    adapter_bnb_config: Mapped[str | None]
    lora_config: Mapped[str | None]
    dataset_fraction: Mapped[float | None]
    train_test_split: Mapped[float | None]
    user_script: Mapped[str | None]
    user_config_id: Mapped[str | None] = mapped_column(origin("configs.id"), index=True)
    framework_type: Mapped[str | None]
    axolotl_config_id: Mapped[str | None] = mapped_column(origin("configs.id"), index=True)
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
    method: Mapped[str | None]
    chat_template: Mapped[bool | None]
    train_splits: Mapped[list[str] | None]
    eval_split: Mapped[str | None]
    early_stopping_patience: Mapped[int | None]
    keep_best: Mapped[bool | None]
    preset: Mapped[str | None]
    trained_model_id: Mapped[str | None] = mapped_column(origin("models.id", use_alter=True), index=True)

    __table_args__ = (Index("ix_fine_tuning_jobs_seen", "id", "adapter_name"),)


class EvaluationJob(Base):
    """One combination of an evaluation batch; the batch's state is the row of jobs with id parent_job_id."""

    __tablename__ = "evaluation_jobs"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    type: Mapped[str | None]
    cml_job_id: Mapped[str | None]
    parent_job_id: Mapped[str | None] = mapped_column(String, index=True)
    base_model_id: Mapped[str | None] = mapped_column(origin("models.id"), index=True)
    dataset_id: Mapped[str | None] = mapped_column(origin("datasets.id"), index=True)
    prompt_id: Mapped[str | None] = mapped_column(origin("prompts.id"), index=True)
    num_workers: Mapped[int | None]
    adapter_id: Mapped[str | None] = mapped_column(origin("adapters.id"), index=True)
    num_cpu: Mapped[int | None]
    num_gpu: Mapped[int | None]
    num_memory: Mapped[int | None]
    evaluation_dir: Mapped[str | None]
    model_bnb_config_id: Mapped[str | None] = mapped_column(origin("configs.id"), index=True)
    adapter_bnb_config_id: Mapped[str | None] = mapped_column(origin("configs.id"), index=True)
    generation_config_id: Mapped[str | None] = mapped_column(origin("configs.id"), index=True)
    model_bnb_config: Mapped[str | None]
    adapter_bnb_config: Mapped[str | None]
    generation_config: Mapped[str | None]
    run_number: Mapped[int | None]
    status: Mapped[str | None]
    error: Mapped[str | None] = mapped_column(Text)
    scores: Mapped[dict[str, Any] | None]
    statistics: Mapped[dict[str, Any] | None]
    rows: Mapped[int | None]
    answers: Mapped[str | None]
    selected_features: Mapped[list[str] | None]
    eval_dataset_fraction: Mapped[float | None]
    comparison_adapter_id: Mapped[str | None]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]


class TrainingRow(Base):
    """What a training read and which part of it (core.spec.Training). It stays when its job is removed."""

    __tablename__ = "trainings"

    job_id: Mapped[str] = mapped_column(String, primary_key=True)
    told: Mapped[dict[str, Any]]


class TrainedWeights(Base):
    """A file of weights that a training made, by its SHA-256: so it is known under whatever name it comes back."""

    __tablename__ = "trained_weights"

    sha256: Mapped[str] = mapped_column(String, primary_key=True)
    job_id: Mapped[str] = mapped_column(String, primary_key=True)


class ExportJob(Base):
    """The request of an export, and what came of it (core.spec.Exported); its state is the row of jobs with the same id."""

    __tablename__ = "export_jobs"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    type: Mapped[str]
    base_model_id: Mapped[str | None] = mapped_column(origin("models.id"), index=True)
    adapter_id: Mapped[str | None] = mapped_column(origin("adapters.id"), index=True)
    model_name: Mapped[str]
    model_description: Mapped[str | None] = mapped_column(Text)
    artifact_location: Mapped[str | None] = mapped_column(Text)
    generation_config_id: Mapped[str | None] = mapped_column(origin("configs.id"), index=True)
    generation_config: Mapped[str | None] = mapped_column(Text)
    merge: Mapped[bool] = mapped_column(default=True, server_default=true())
    hub_name: Mapped[str | None]
    private: Mapped[bool] = mapped_column(default=True, server_default=true())
    alias: Mapped[str | None]
    num_cpu: Mapped[int]
    num_gpu: Mapped[int]
    num_memory: Mapped[int]
    result: Mapped[dict[str, Any] | None]


class Endpoint(Base):
    """An endpoint: what was asked for, where its last attempt could be called, and what all of them did; its state is the row
    of jobs with the same id. `served_by` is that attempt, `cml_model_id` what it is at Cloudera ML. The key itself is nowhere.
    """

    __tablename__ = "endpoints"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    name: Mapped[str] = mapped_column(String, index=True)
    base_model_id: Mapped[str | None] = mapped_column(origin("models.id"), index=True)
    adapter_ids: Mapped[list[str]]
    models: Mapped[list[str]]
    engine: Mapped[str]
    host: Mapped[str]
    port: Mapped[int]
    key_sha256: Mapped[str | None]
    auth: Mapped[bool] = mapped_column(default=True, server_default=true())
    cml_model_id: Mapped[str | None]
    idle_seconds: Mapped[int]
    max_concurrency: Mapped[int]
    generation_config_id: Mapped[str | None] = mapped_column(origin("configs.id"), index=True)
    generation_config: Mapped[str | None] = mapped_column(Text)
    num_cpu: Mapped[int]
    num_gpu: Mapped[int]
    num_memory: Mapped[int]
    stop_asked: Mapped[bool] = mapped_column(default=False)
    address: Mapped[str | None]
    served_by: Mapped[int | None]
    serving_since: Mapped[float | None]
    last_used_at: Mapped[float | None]
    requests: Mapped[int] = mapped_column(BigInteger, default=0)
    refused: Mapped[int] = mapped_column(BigInteger, default=0)
    failures: Mapped[int] = mapped_column(BigInteger, default=0)
    tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    active: Mapped[int] = mapped_column(default=0)


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
