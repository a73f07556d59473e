"""Evaluation jobs: the request (its rules are in evaluation_rules.py), one row a combination, one batch for a runner (guide, "Evaluation Job Lifecycle")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import AliasChoices, Field

from core.events import Statistic
from core.messages.base import Command, Part, Query, Value
from core.messages.common import Count, Name, Page, PagedQuery, known, one_of_or_none, ordered
from core.messages.jobs import JobState
from core.rules import World, rule
from core.types import EvaluationJobType, JobStatus


class EvaluationJobMetadata(JobState):
    """One model-adapter combination of a batch, its state and its scores."""

    id: str
    type: str | None = None
    cml_job_id: str | None = None
    parent_job_id: str | None = None
    run_number: int | None = None
    base_model_id: str | None = None
    base_model_name: str | None = Field(None, description="Its name now; none when it was removed.")
    dataset_id: str | None = None
    prompt_id: str | None = None
    num_workers: int | None = None
    adapter_id: str | None = None
    adapter_name: str | None = Field(None, description="Its name now; none for a base model by itself.")
    num_cpu: int | None = None
    num_gpu: int | None = None
    num_memory: int | None = None
    evaluation_dir: str | None = None
    model_bnb_config_id: str | None = None
    adapter_bnb_config_id: str | None = None
    generation_config_id: str | None = None
    model_bnb_config: str | None = None
    adapter_bnb_config: str | None = None
    generation_config: str | None = None
    selected_features: list[str] = []
    eval_dataset_fraction: float = 1.0
    comparison_adapter_id: str | None = Field(None, description="The baseline: the first adapter of the batch.")
    scores: dict[str, float] = {}
    statistics: dict[str, Statistic] = Field({}, description="How sure the scores are, by their names.")
    rows: int | None = None

    @property
    def combination(self) -> str:
        """What was scored, for people: the base model's name, and the adapter's."""
        model = self.base_model_name or self.base_model_id or "base model"
        return f"{model} + {self.adapter_name or self.adapter_id}" if self.adapter_id else model


class EvaluationJobReply(Value):
    """One evaluation job."""

    evaluation_job: EvaluationJobMetadata


class EvaluationBatchReply(Value):
    """A whole batch, in the order of the combinations asked for."""

    parent_job_id: str
    evaluation_jobs: list[EvaluationJobMetadata]


class EvaluationJobsReply(Page):
    """A page of evaluation jobs."""

    evaluation_jobs: list[EvaluationJobMetadata]


MOST_PAIRS = 1_000  # of one batch: each is looked up, stored and told
MOST_METRICS = MOST_TASKS = 100
FIGURES = frozenset(  # the studio's own, by the names that they have among the scores
    [
        "exact_match",
        "f1",
        "rouge1",
        "rouge2",
        "rougeL",
        "rougeLsum",
        "bleu",
        "chrf",
        "loss",
        "perplexity",
        "stopped_by_eos",
        "new_tokens",
        "latency",
        "seconds",
        "tokens_per_second",
        "flesch_reading_ease",
        "flesch_kincaid_grade",
        "toxicity",
        "rows",
    ]
)


class Pair(Part):
    """A base model, with an adapter or without (none or empty text)."""

    base_model_id: str = ""
    adapter_id: str | None = None


class StartEvaluationJob(Command[EvaluationBatchReply]):
    """Score base models and adapters on the same rows; all combinations of a base model share one load of it."""

    RULES: ClassVar[str | None] = "core.messages.evaluation_rules"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "model_adapter_combinations": [{"base_model_id": "m"}, {"base_model_id": "m", "adapter_id": "a"}],
        "dataset_id": "d",
        "prompt_id": "p",
    }

    type: str = Field(EvaluationJobType.mlflow.value, json_schema_extra=known(EvaluationJobType))
    model_adapter_combinations: list[Pair] = Field([], max_length=MOST_PAIRS, description="What to compare.")
    dataset_id: str = Field(
        "", description="The dataset of the adapter's own job: its held-out rows; any other: all rows."
    )
    prompt_id: str = Field(
        "", description="Not needed for conversations that are asked with the chat template, as they were taught."
    )
    num_cpu: Count = Field(2, validation_alias=AliasChoices("num_cpu", "cpu"), description="CPU cores.")
    num_gpu: Count = Field(
        1, validation_alias=AliasChoices("num_gpu", "gpu"), description="GPUs; 0 evaluates on the CPU."
    )
    num_memory: Count = Field(8, validation_alias=AliasChoices("num_memory", "memory"), description="Memory in GiB.")
    gpu_label_id: Count = -1
    model_bnb_config: str | None = Field(None, description="Inline JSON or a config's id.")
    adapter_bnb_config: str | None = Field(None, description="Inline JSON or a config's id.")
    generation_config: str | None = Field(None, description="Inline JSON or a config's id.")
    selected_features: list[str] = Field([], description="Columns to carry along beside the answers.")
    eval_dataset_fraction: float = Field(1.0, description="Share of the rows that is scored, in (0, 1]; seed 420.")
    metrics: list[Name] = Field(
        [],
        max_length=MOST_METRICS,
        description="Metrics of your own: Python files of the directory of scripts (FTS_SCRIPTS_DIR) that define score().",
    )
    tasks: list[Name] = Field(
        [],
        max_length=MOST_TASKS,
        description="Tasks of lm-evaluation-harness, by its names; they need a runner that has lm_eval installed.",
    )
    priority: int = Field(0, ge=-100, le=100, description="Higher runs earlier.")


class GetEvaluationJob(Query[EvaluationJobReply]):
    """Return one evaluation job by its id."""

    id: str


class ListEvaluationJobs(PagedQuery[EvaluationJobsReply]):
    """Return evaluation jobs, newest batch first."""

    order: str | None = ordered("name", "status", "rows", "created_at", "started_at", "finished_at")
    name_contains: str | None = Field(
        None, description="Only those whose batch's name contains this text, in upper or lower case."
    )
    status: str | None = Field(None, description="Only evaluations in this state.", json_schema_extra=known(JobStatus))
    parent_job_id: str | None = Field(None, description="Only the jobs of this batch.")
    adapter_id: str | None = Field(None, description="Only evaluations of this adapter.")
    dataset_id: str | None = Field(None, description="Only evaluations on this dataset.")
    base_model_id: str | None = Field(None, description="Only evaluations of this base model.")


@rule(ListEvaluationJobs, "EV-125", "status", passes=[{}, {"status": "running"}], fails=[{"status": "done"}])
def _listed_status(message: ListEvaluationJobs, world: World) -> Iterator[str]:
    """a list is filtered by a state that there is"""
    yield from one_of_or_none(message.status, JobStatus, "status")
