"""Exports: an adapter with its base model, put where others use it (guide, "Model Export & Registry")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import AliasChoices, Field

from core.facts import wrong
from core.messages.base import Command, Query, Value
from core.messages.common import After, Count, Limit, exists, filled, inspected, known, one_of, one_of_or_none, positive
from core.messages.configs import ConfigTextError, parse_config
from core.messages.jobs import JobState
from core.rules import Breach, Example, Need, NoWorld, World, rule
from core.types import AdapterType, ConfigType, JobStatus, ModelExportType, ModelType


class ExportJobMetadata(JobState):
    """A request to export, and the state of its job."""

    id: str
    type: str
    base_model_id: str | None = None
    adapter_id: str | None = None
    model_name: str
    model_description: str | None = None
    artifact_location: str | None = None
    generation_config_id: str | None = None
    generation_config: str | None = None
    num_cpu: int
    num_gpu: int
    num_memory: int


class ExportModelReply(Value):
    """The export that was queued, with the guide's two fields."""

    base_model_id: str
    adapter_id: str
    export_job: ExportJobMetadata


class ExportJobReply(Value):
    """One export."""

    export_job: ExportJobMetadata


class ExportJobsReply(Value):
    """A page of exports."""

    export_jobs: list[ExportJobMetadata]
    has_more: bool = False


_PAIR = NoWorld(
    {
        "models": [{"id": "m", "name": "x", "type": "huggingface"}],
        "adapters": [{"id": "a", "name": "y", "type": "project", "model_id": "m"}],
    },
    {"registry": {"cloudera": False}},
)
_FROM_HUB = NoWorld({"adapters": [{"id": "a", "name": "y", "type": "huggingface", "model_id": "m"}]})
_LOCAL = {"models": [{"id": "m", "name": "x", "type": "project"}]}


class ExportModel(Command[ExportModelReply]):
    """Export an adapter with its base model: to the MLflow registry, or as an endpoint of Cloudera ML. A runner does it, as a job."""

    QUEUE: ClassVar[str] = "slow"
    SECONDS: ClassVar[float | None] = 60
    EXAMPLE: ClassVar[dict[str, Any]] = {"base_model_id": "m", "adapter_id": "a", "model_name": "tickets"}

    type: str = Field(ModelExportType.model_registry.value, json_schema_extra=known(ModelExportType))
    base_model_id: str = Field("", description="The base model.")
    adapter_id: str = Field("", description="An adapter of that model.")
    model_name: str = Field("", description="The name in the registry, or of the endpoint.")
    model_description: str | None = None
    artifact_location: str | None = Field(None, description="Where MLflow keeps the files; its own place without it.")
    generation_config: str | None = Field(None, description="Inline JSON or a config's id; the default without it.")
    num_cpu: Count = Field(2, validation_alias=AliasChoices("num_cpu", "cpu"), description="CPU cores.")
    num_gpu: Count = Field(
        0, validation_alias=AliasChoices("num_gpu", "gpu"), description="GPUs; 0 exports on the CPU."
    )
    num_memory: Count = Field(8, validation_alias=AliasChoices("num_memory", "memory"), description="Memory in GiB.")
    priority: int = Field(0, ge=-100, le=100, description="Higher runs earlier.")


class GetExportJob(Query[ExportJobReply]):
    """Return one export by its id."""

    id: str


class ListExportJobs(Query[ExportJobsReply]):
    """Return exports, newest first."""

    after: After = None
    limit: Limit = 100
    status: str | None = Field(None, description="Only exports in this state.", json_schema_extra=known(JobStatus))
    adapter_id: str | None = Field(None, description="Only exports of this adapter.")
    base_model_id: str | None = Field(None, description="Only exports with this base model.")


@rule(ListExportJobs, "EX-125", "status", passes=[{}, {"status": "running"}], fails=[{"status": "done"}])
def _listed_status(message: ListExportJobs, world: World) -> Iterator[str]:
    """a list is filtered by a state that there is"""
    yield from one_of_or_none(message.status, JobStatus, "status")


@rule(ExportModel, "EX-101", "type", passes=[{"type": "cml_model"}], fails=[{"type": "zip"}])
def _type(message: ExportModel, world: World) -> Iterator[str]:
    """type must be model_registry or cml_model"""
    yield from one_of(message.type, ModelExportType, "type")


@rule(ExportModel, "EX-001", "base_model_id", passes=[{}], fails=[{"base_model_id": " "}])
def _model(message: ExportModel, world: World) -> Iterator[str]:
    """base_model_id is required"""
    yield from filled(message.base_model_id, "base_model_id")


@rule(ExportModel, "EX-001", "base_model_id", need=Need.store, passes=[Example({}, _PAIR)], fails=[{}])
def _model_exists(message: ExportModel, world: World) -> Iterator[str]:
    """base_model_id must exist"""
    yield from exists(world, "models", message.base_model_id, "model")


@rule(ExportModel, "EX-002", "adapter_id", passes=[{}], fails=[{"adapter_id": ""}])
def _adapter(message: ExportModel, world: World) -> Iterator[str]:
    """adapter_id is required"""
    yield from filled(message.adapter_id, "adapter_id")


@rule(ExportModel, "EX-002", "adapter_id", need=Need.store, passes=[Example({}, _PAIR)], fails=[{}])
def _adapter_exists(message: ExportModel, world: World) -> Iterator[str]:
    """adapter_id must exist"""
    yield from exists(world, "adapters", message.adapter_id, "adapter")


@rule(ExportModel, "EX-003", "model_name", passes=[{}], fails=[{"model_name": ""}, {"model_name": "\t"}])
def _model_name(message: ExportModel, world: World) -> Iterator[str]:
    """model_name is required"""
    yield from filled(message.model_name, "model_name")


@rule(
    ExportModel,
    "EX-004",
    "adapter_id",
    need=Need.store,
    passes=[Example({"type": "cml_model"}, _PAIR), Example({}, _FROM_HUB)],
    fails=[Example({"type": "cml_model"}, _FROM_HUB)],
)
def _project_adapter(message: ExportModel, world: World) -> Iterator[str]:
    """an endpoint of Cloudera ML takes adapters of type project only"""
    row = world.get("adapters", message.adapter_id)
    if message.type == ModelExportType.cml_model and row is not None and row["type"] != AdapterType.project:
        yield f"adapter {row['name']!r} is of type {row['type']}: an endpoint of Cloudera ML needs its files in the project; export it to the model registry instead"


@rule(
    ExportModel,
    "EX-005",
    "base_model_id",
    need=Need.store,
    passes=[Example({"type": "cml_model"}, _PAIR), Example({}, NoWorld(_LOCAL))],
    fails=[Example({"type": "cml_model"}, NoWorld(_LOCAL))],
)
def _hub_model(message: ExportModel, world: World) -> Iterator[str]:
    """an endpoint of Cloudera ML takes base models of type huggingface only"""
    if message.type == ModelExportType.cml_model:
        yield from _not_of_hub(message, world)


@rule(
    ExportModel,
    "EX-005",
    "base_model_id",
    need=Need.network,
    passes=[Example({}, NoWorld(_LOCAL, {"registry": {"cloudera": False}}))],
    fails=[Example({}, NoWorld(_LOCAL, {"registry": {"cloudera": True}}))],
)
def _hub_model_for_clouderas(message: ExportModel, world: World) -> Iterator[str]:
    """Cloudera's registry takes base models of type huggingface only"""
    if message.type == ModelExportType.model_registry and world.inspect("registry", message)["cloudera"]:
        yield from _not_of_hub(message, world)


@rule(
    ExportModel,
    "EX-102",
    "model_name",
    need=Need.network,
    passes=[Example({}, _PAIR), Example({"type": "cml_model"}, NoWorld())],
    fails=[Example({}, NoWorld(found={"registry": ValueError("no MLflow there")}))],
)
def _registry(message: ExportModel, world: World) -> Iterator[str | Breach]:
    """the MLflow tracking server must answer before an export to its registry is queued"""
    if message.type == ModelExportType.model_registry:
        yield from inspected(world, "registry", message)


@rule(
    ExportModel,
    "EX-103",
    "adapter_id",
    need=Need.store,
    passes=[Example({}, _PAIR)],
    fails=[Example({}, NoWorld({"adapters": [{"id": "a", "name": "y", "type": "project", "model_id": "other"}]}))],
)
def _same_model(message: ExportModel, world: World) -> Iterator[str]:
    """the adapter must belong to the base model"""
    row = world.get("adapters", message.adapter_id)
    if row is not None and message.base_model_id and row["model_id"] != message.base_model_id:
        yield f"adapter {row['name']!r} belongs to model {row['model_id']!r}, not {message.base_model_id!r}"


@rule(
    ExportModel,
    "EX-104",
    "num_cpu",
    passes=[{}],
    fails=[{"num_cpu": 0}, {"num_gpu": -1}, {"num_memory": 0}],
)
def _resources(message: ExportModel, world: World) -> Iterator[Breach]:
    """num_cpu and num_memory must be greater than 0, num_gpu at least 0"""
    for name in ("num_cpu", "num_memory"):
        yield from (Breach(rule="EX-104", field=name, message=text) for text in positive(getattr(message, name), name))
    if message.num_gpu < 0:
        yield Breach(rule="EX-104", field="num_gpu", message=f"num_gpu must be at least 0, not {message.num_gpu}")


@rule(
    ExportModel,
    "EX-105",
    "generation_config",
    need=Need.store,
    passes=[{"generation_config": '{"max_new_tokens": 8}'}],
    fails=[{"generation_config": '{"max_tokens": 8}'}, {"generation_config": "{"}, {"generation_config": "no-such-id"}],
)
def _generation(message: ExportModel, world: World) -> Iterator[str]:
    """generation_config is an inline JSON object of known keys, or the id of a generation config"""
    given = message.generation_config
    if given is None:
        return
    if not given.lstrip().startswith("{"):
        row = world.get("configs", given)
        if row is None or row["type"] != ConfigType.generation_config:
            yield f"{given!r} is neither a JSON object nor the id of a generation config"
        return
    try:
        yield from wrong(ConfigType.generation_config, parse_config(ConfigType.generation_config, given))
    except ConfigTextError as error:
        yield str(error)


def _not_of_hub(message: ExportModel, world: World) -> Iterator[str]:
    row = world.get("models", message.base_model_id)
    if row is not None and row["type"] != ModelType.huggingface:
        yield f"model {row['name']!r} is of type {row['type']}: Cloudera ML loads base models by their name on the Hub"
