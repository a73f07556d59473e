"""Exports: an adapter with its base model, put where others use it (guide, "Model Export & Registry"; rules: export_rules.py)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import AliasChoices, Field, model_validator

from core.messages.base import Command, Query, Value
from core.messages.common import Count, Page, PagedQuery, known, one_of_or_none, ordered
from core.messages.endpoints import EndpointMetadata
from core.messages.jobs import JobState
from core.rules import World, rule
from core.spec import Exported
from core.types import JobStatus, ModelExportType

GPUS = {"num_gpu", "gpu"}  # what the number of GPUs is called


class ExportJobMetadata(JobState):
    """A request to export, and the state of its job."""

    id: str
    type: str
    base_model_id: str | None = None
    base_model_name: str | None = Field(None, description="Its name now; none when it was removed.")
    adapter_id: str | None = None
    adapter_name: str | None = Field(None, description="Its name now; none when it was removed.")
    model_name: str
    model_description: str | None = None
    artifact_location: str | None = None
    generation_config_id: str | None = None
    generation_config: str | None = None
    merge: bool = True
    hub_name: str | None = None
    private: bool = True
    alias: str | None = None
    num_cpu: int
    num_gpu: int
    num_memory: int
    result: Exported | None = Field(None, description="What came of it, once it succeeded.")


class ExportModelReply(Value):
    """The export that was queued, or of type cml_model the endpoint, with the guide's two fields."""

    base_model_id: str
    adapter_id: str
    export_job: ExportJobMetadata | None = None
    endpoint: EndpointMetadata | None = None


class ExportJobReply(Value):
    """One export."""

    export_job: ExportJobMetadata


class ExportJobsReply(Page):
    """A page of exports."""

    export_jobs: list[ExportJobMetadata]


class ExportModel(Command[ExportModelReply]):
    """Export an adapter with its base model: to the MLflow registry, as a merged model in a directory, or to the Hub. A runner
    does it, as a job, and lets nobody have what does not answer like base and adapter. Of type cml_model it becomes an endpoint
    of Cloudera ML, which a runner there makes, looks after and takes away when it is stopped (StopEndpoint)."""

    RULES: ClassVar[str | None] = "core.messages.export_rules"
    QUEUE: ClassVar[str] = "slow"
    SECONDS: ClassVar[float | None] = 60
    EXAMPLE: ClassVar[dict[str, Any]] = {"base_model_id": "m", "adapter_id": "a", "model_name": "tickets"}

    type: str = Field(ModelExportType.model_registry.value, json_schema_extra=known(ModelExportType))
    base_model_id: str = Field("", description="The base model.")
    adapter_id: str = Field("", description="An adapter of that model.")
    model_name: str = Field(
        "", description="The name in the registry, of the merged model's directory, or of the endpoint."
    )
    model_description: str | None = None
    artifact_location: str | None = Field(
        None,
        description="The directory that a merged model's own is made in (data/exports without it), or where MLflow keeps the registry's files.",
    )
    merge: bool = Field(
        True, description="In the registry: merged weights in a transformers model; false: base and adapter apart."
    )
    hub_name: str | None = Field(None, description="The repository on the Hub, for type huggingface: ORG/NAME.")
    private: bool = Field(True, description="Whether a repository that is made on the Hub is private.")
    alias: str | None = Field(
        None, description="An alias in the registry, such as champion, that is given to the new version."
    )
    auth: bool = Field(
        True,
        description="Whether an endpoint of Cloudera ML asks callers for an API key of theirs; false: its access key is enough.",
    )
    generation_config: str | None = Field(None, description="Inline JSON or a config's id; the default without it.")
    num_cpu: Count = Field(2, validation_alias=AliasChoices("num_cpu", "cpu"), description="CPU cores.")
    num_gpu: Count = Field(
        0,
        validation_alias=AliasChoices("num_gpu", "gpu"),
        description="GPUs; 0 for the CPU. An endpoint of Cloudera ML gets 1 where nothing is said.",
    )
    num_memory: Count = Field(8, validation_alias=AliasChoices("num_memory", "memory"), description="Memory in GiB.")
    priority: int = Field(0, ge=-100, le=100, description="Higher runs earlier.")

    @model_validator(mode="before")
    @classmethod
    def _gpu_of_clouderas(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("type") == ModelExportType.cml_model and not given.keys() & GPUS:
            return {**given, "num_gpu": 1}
        return given


class GetExportJob(Query[ExportJobReply]):
    """Return one export by its id."""

    id: str


class ListExportJobs(PagedQuery[ExportJobsReply]):
    """Return exports, newest first."""

    order: str | None = ordered("model_name", "type", "status", "priority", "created_at", "started_at", "finished_at")
    status: str | None = Field(None, description="Only exports in this state.", json_schema_extra=known(JobStatus))
    adapter_id: str | None = Field(None, description="Only exports of this adapter.")
    base_model_id: str | None = Field(None, description="Only exports with this base model.")


@rule(ListExportJobs, "EX-125", "status", passes=[{}, {"status": "running"}], fails=[{"status": "done"}])
def _listed_status(message: ListExportJobs, world: World) -> Iterator[str]:
    """a list is filtered by a state that there is"""
    yield from one_of_or_none(message.status, JobStatus, "status")
