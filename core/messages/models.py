"""Base models: where adapters start from (guide, "Model Specification")."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, ClassVar

from pydantic import AliasChoices, Field

from core.errors import StudioError
from core.messages.base import Command, Query, Value
from core.messages.common import (
    Name,
    NameContains,
    Page,
    PagedQuery,
    filled,
    inspected,
    known,
    one_of,
    one_of_or_none,
    ordered,
    repository,
    unique,
)
from core.rules import Breach, Example, Need, NoWorld, World, rule
from core.shapes import Shape
from core.types import ModelType

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")  # one of them lies beside a model


class ModelMetadata(Value):
    """A registered base model. `revision` pins what was added: the Hub's commit, or the version in a model registry.

    `family` is the architecture's name, `source` where the registry keeps the files that the studio has a copy of.
    """

    id: str
    type: str
    framework: str | None = None
    name: str
    description: str | None = None
    huggingface_model_name: str | None = None
    location: str | None = None
    cml_registered_model_id: str | None = None
    mlflow_experiment_id: str | None = None
    mlflow_run_id: str | None = None
    source: str | None = None
    revision: str | None = None
    family: str | None = None
    bytes: int | None = None
    shape: Shape | None = Field(None, description="Its sizes, where its files are here: what memory is estimated from.")
    fine_tuning_job_id: str | None = Field(None, description="The job that trained it here.")
    created_at: float | None = None


class ModelReply(Value):
    """One model."""

    model: ModelMetadata


class ModelsReply(Page):
    """A page of models."""

    models: list[ModelMetadata]


class AddModel(Command[ModelReply]):
    """Register a base model: one on the Hugging Face Hub, a project directory, or one of a model registry."""

    QUEUE: ClassVar[str] = "slow"
    SECONDS: ClassVar[float | None] = 300  # the files of a registry are copied; the same key asks again for the reply
    EXAMPLE: ClassVar[dict[str, Any]] = {"type": "project", "name": "tiny", "location": "models/tiny"}

    type: str = Field("", json_schema_extra=known(ModelType))
    name: Name = Field("", description="A unique name; the Hub's name or the directory's when left out.")
    huggingface_name: Name | None = Field(
        None,
        description="org/name[@revision] on the Hub.",
        validation_alias=AliasChoices("huggingface_name", "huggingface_model_name"),
    )
    location: str | None = Field(
        None, description="A directory with config.json, tokenizer and safetensors, in the project."
    )
    model_registry_id: Name | None = Field(
        None,
        description="Id in the model registry: NAME (its newest version), NAME/VERSION, NAME@ALIAS or models:/…",
        validation_alias=AliasChoices("model_registry_id", "cml_registered_model_id"),
    )
    description: str | None = None

    @property
    def repository(self) -> str:
        """The name on the Hub, without a revision."""
        return repository(self.huggingface_name)

    @property
    def own_name(self) -> str:
        """The name that the model gets."""
        registered = (self.model_registry_id or "").strip().removeprefix("models:").lstrip("/")
        names = (self.name, self.repository, PurePath(self.location or "").name, registered)
        return next((name.strip() for name in names if name.strip()), "")


class GetModel(Query[ModelReply]):
    """Return one base model by its id."""

    id: str


class ListModels(PagedQuery[ModelsReply]):
    """Return base models, oldest first."""

    order: str | None = ordered("name", "type", "family", "bytes", "created_at")
    name_contains: NameContains = None
    type: str | None = Field(None, description="Only models of this type.", json_schema_extra=known(ModelType))
    family: str | None = Field(None, description="Only models of this architecture, e.g. LlamaForCausalLM.")


@rule(ListModels, "MD-001", "type", passes=[{}, {"type": "huggingface"}], fails=[{"type": "zip"}, {"type": ""}])
def _listed_type(message: ListModels, world: World) -> Iterator[str]:
    """a list is filtered by a type that there is"""
    yield from one_of_or_none(message.type, ModelType, "type")


@rule(AddModel, "MD-001", "type", passes=[{}], fails=[{"type": "zip"}])
def _type(message: AddModel, world: World) -> Iterator[str]:
    """type must be one of huggingface, project, model_registry"""
    yield from one_of(message.type, ModelType, "type")


@rule(
    AddModel,
    "MD-102",
    "huggingface_model_name",
    passes=[{"type": "huggingface", "huggingface_name": "org/model"}],
    fails=[{"type": "huggingface", "huggingface_name": " "}],
)
def _hub_name(message: AddModel, world: World) -> Iterator[str]:
    """huggingface_name is required for models of the Hub"""
    if message.type == ModelType.huggingface:
        yield from filled(message.huggingface_name, "huggingface_name")


@rule(AddModel, "MD-102", "location", passes=[{}], fails=[{"location": None}])
def _location(message: AddModel, world: World) -> Iterator[str]:
    """location is required for models of the project"""
    if message.type == ModelType.project:
        yield from filled(message.location, "location")


@rule(
    AddModel,
    "MD-002",
    "huggingface_model_name",
    need=Need.network,
    passes=[
        Example({"type": "huggingface", "huggingface_name": "o/m"}, NoWorld(found={"model": {"revision": "c0ffee"}}))
    ],
    fails=[
        Example({"type": "huggingface", "huggingface_name": "o/m"}, NoWorld(found={"model": ValueError("not found")}))
    ],
)
def _on_hub(message: AddModel, world: World) -> Iterator[str | Breach]:
    """the model must be found on the Hub"""
    if message.type == ModelType.huggingface and message.huggingface_name:
        yield from inspected(world, "model", message)


@rule(
    AddModel,
    "MD-003",
    "cml_registered_model_id",
    need=Need.network,
    passes=[Example({"type": "model_registry", "model_registry_id": "7"}, NoWorld(found={"model": {"name": "m"}}))],
    fails=[
        Example(
            {"type": "model_registry", "model_registry_id": "7"}, NoWorld(found={"model": ValueError("not found")})
        ),
        Example({"type": "model_registry"}),
        Example({"type": "model_registry", "model_registry_id": " "}),
    ],
)
def _in_registry(message: AddModel, world: World) -> Iterator[str | Breach]:
    """the model must be found in the model registry"""
    if message.type != ModelType.model_registry:
        return
    if not (message.model_registry_id or "").strip():
        yield from filled(message.model_registry_id, "model_registry_id")
    else:
        yield from inspected(world, "model", message)


_PINNED = {"cml_registered_model_id": "tiny", "revision": "3"}


@rule(
    AddModel,
    "MD-101",
    "cml_registered_model_id",
    need=Need.network,
    passes=[
        Example({"type": "model_registry", "model_registry_id": "tiny"}, NoWorld(found={"model": _PINNED})),
        Example(
            {"type": "model_registry", "model_registry_id": "tiny"},
            NoWorld({"models": [{"id": "1", **_PINNED, "revision": "2"}]}, {"model": _PINNED}),
        ),
    ],
    fails=[
        Example(
            {"type": "model_registry", "model_registry_id": "tiny@champion"},
            NoWorld({"models": [{"id": "1", **_PINNED}]}, {"model": _PINNED}),
        )
    ],
)
def _unique_version(message: AddModel, world: World) -> Iterator[str]:
    """a version of a model registry is registered once"""
    if message.type != ModelType.model_registry or not (message.model_registry_id or "").strip():
        return
    try:
        pinned = {name: world.inspect("model", message).get(name) for name in _PINNED}
    except StudioError:
        raise
    except ValueError:
        return  # told by MD-003
    if rows := world.find("models", **pinned):
        yield f"version {pinned['revision']} of {pinned['cml_registered_model_id']} is registered already (id {rows[0]['id']})"


@rule(
    AddModel,
    "MD-103",
    "location",
    need=Need.files,
    passes=[Example({}, NoWorld(found={"model": {"family": "LlamaForCausalLM"}}))],
    fails=[Example({}, NoWorld(found={"model": ValueError("models/tiny has no config.json")}))],
)
def _readable(message: AddModel, world: World) -> Iterator[str | Breach]:
    """the directory must hold config.json, a tokenizer and safetensors weights"""
    if message.type == ModelType.project and message.location:
        yield from inspected(world, "model", message)


@rule(
    AddModel,
    "MD-101",
    "name",
    need=Need.store,
    passes=[{}],
    fails=[
        Example({}, NoWorld({"models": [{"id": "1", "name": "tiny"}]})),
        Example({"name": ""}, NoWorld({"models": [{"id": "1", "name": "tiny"}]})),
    ],
)
def _unique_name(message: AddModel, world: World) -> Iterator[str]:
    """a model's name is unique"""
    yield from unique(world, "models", "name", message.own_name, "model")


@rule(
    AddModel,
    "MD-101",
    "huggingface_model_name",
    need=Need.store,
    passes=[{}],
    fails=[
        Example(
            {"type": "huggingface", "huggingface_name": "o/m@v2"},
            NoWorld({"models": [{"id": "1", "name": "x", "huggingface_model_name": "o/m"}]}),
        )
    ],
)
def _unique_hub_name(message: AddModel, world: World) -> Iterator[str]:
    """a model of the Hub is registered once"""
    if message.type == ModelType.huggingface:
        yield from unique(world, "models", "huggingface_model_name", message.repository, "model")
