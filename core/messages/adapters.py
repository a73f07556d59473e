"""Adapters: PEFT LoRA weights on top of a base model (guide, "Adapter Specification")."""

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
    exists,
    filled,
    inspected,
    known,
    one_of,
    one_of_or_none,
    ordered,
    unique,
)
from core.rules import Breach, Example, Need, NoWorld, Row, World, rule
from core.types import AdapterType, Severity


class AdapterMetadata(Value):
    """A registered adapter. `revision` pins what was added: the Hub's commit, or the version in a model registry."""

    id: str
    type: str
    name: str
    description: str | None = None
    huggingface_name: str | None = None
    model_id: str | None = None
    location: str | None = None
    fine_tuning_job_id: str | None = None
    prompt_id: str | None = None
    cml_registered_model_id: str | None = None
    mlflow_experiment_id: str | None = None
    mlflow_run_id: str | None = None
    source: str | None = None
    revision: str | None = None
    created_at: float | None = None


class AdapterReply(Value):
    """One adapter."""

    adapter: AdapterMetadata


class AdaptersReply(Page):
    """A page of adapters."""

    adapters: list[AdapterMetadata]


_MODELS = NoWorld({"models": [{"id": "m", "name": "tiny"}]})


class AddAdapter(Command[AdapterReply]):
    """Register an adapter: a project directory, one on the Hugging Face Hub, or one of a model registry."""

    QUEUE: ClassVar[str] = "slow"
    SECONDS: ClassVar[float | None] = 120
    EXAMPLE: ClassVar[dict[str, Any]] = {"type": "project", "name": "a", "model_id": "m", "location": "adapters/a"}

    type: str = Field(AdapterType.project.value, json_schema_extra=known(AdapterType))
    name: Name = ""
    model_id: str = Field("", description="The base model that the adapter was trained on.")
    location: str | None = Field(
        None, description="Directory with adapter_config.json and safetensors weights, in the project."
    )
    huggingface_name: Name | None = Field(None, description="org/name[@revision] on the Hub.")
    cml_registered_model_id: Name | None = Field(
        None,
        description="Id in the model registry: NAME (its newest version), NAME/VERSION, NAME@ALIAS or models:/…",
        validation_alias=AliasChoices("cml_registered_model_id", "model_registry_id"),
    )
    fine_tuning_job_id: str | None = None
    prompt_id: str | None = None
    description: str | None = None


class GetAdapter(Query[AdapterReply]):
    """Return one adapter by its id."""

    id: str


class ListAdapters(PagedQuery[AdaptersReply]):
    """Return adapters, oldest first."""

    order: str | None = ordered("name", "type", "created_at")
    name_contains: NameContains = None
    type: str | None = Field(None, description="Only adapters of this type.", json_schema_extra=known(AdapterType))
    model_id: str | None = Field(None, description="Only the adapters of this base model.")
    prompt_id: str | None = Field(None, description="Only the adapters that were trained with this prompt.")
    fine_tuning_job_id: str | None = Field(None, description="Only the adapters that this job trained.")


@rule(ListAdapters, "AD-102", "type", passes=[{}, {"type": "huggingface"}], fails=[{"type": "zip"}, {"type": ""}])
def _listed_type(message: ListAdapters, world: World) -> Iterator[str]:
    """a list is filtered by a type that there is"""
    yield from one_of_or_none(message.type, AdapterType, "type")


@rule(AddAdapter, "AD-102", "type", passes=[{}], fails=[{"type": "zip"}])
def _type(message: AddAdapter, world: World) -> Iterator[str]:
    """type must be one of project, huggingface, model_registry"""
    yield from one_of(message.type, AdapterType, "type")


@rule(AddAdapter, "AD-001", "name", passes=[{}], fails=[{"name": ""}])
def _name(message: AddAdapter, world: World) -> Iterator[str]:
    """name is required"""
    yield from filled(message.name, "name")


@rule(
    AddAdapter,
    "AD-001",
    "name",
    need=Need.store,
    passes=[{}],
    fails=[Example({}, NoWorld({"adapters": [{"id": "1", "name": "a"}]}))],
)
def _unique_name(message: AddAdapter, world: World) -> Iterator[str]:
    """an adapter's name is unique"""
    yield from unique(world, "adapters", "name", message.name, "adapter")


@rule(AddAdapter, "AD-002", "model_id", passes=[{}], fails=[{"model_id": ""}])
def _model(message: AddAdapter, world: World) -> Iterator[str]:
    """model_id is required"""
    yield from filled(message.model_id, "model_id")


@rule(AddAdapter, "AD-002", "model_id", need=Need.store, passes=[Example({}, _MODELS)], fails=[{}])
def _model_exists(message: AddAdapter, world: World) -> Iterator[str]:
    """model_id must exist"""
    yield from exists(world, "models", message.model_id, "model")


@rule(AddAdapter, "AD-003", "location", passes=[{}], fails=[{"location": None}])
def _location(message: AddAdapter, world: World) -> Iterator[str]:
    """location is required for adapters of the project"""
    if message.type == AdapterType.project:
        yield from filled(message.location, "location")


@rule(
    AddAdapter,
    "AD-003",
    "location",
    need=Need.files,
    passes=[Example({}, NoWorld(found={"adapter": {"base_model": None}}))],
    fails=[Example({}, NoWorld(found={"adapter": ValueError("adapters/a is no directory")}))],
)
def _readable(message: AddAdapter, world: World) -> Iterator[str | Breach]:
    """the directory must hold adapter_config.json and safetensors weights"""
    if message.type == AdapterType.project and message.location:
        yield from inspected(world, "adapter", message)


@rule(
    AddAdapter,
    "AD-103",
    "huggingface_name",
    passes=[{"type": "huggingface", "huggingface_name": "o/a"}],
    fails=[{"type": "huggingface"}],
)
def _hub_name(message: AddAdapter, world: World) -> Iterator[str]:
    """huggingface_name is required for adapters of the Hub"""
    if message.type == AdapterType.huggingface:
        yield from filled(message.huggingface_name, "huggingface_name")


@rule(
    AddAdapter,
    "AD-104",
    "huggingface_name",
    need=Need.network,
    passes=[Example({"type": "huggingface", "huggingface_name": "o/a"}, NoWorld(found={"adapter": {}}))],
    fails=[
        Example({"type": "huggingface", "huggingface_name": "o/a"}, NoWorld(found={"adapter": ValueError("not found")}))
    ],
)
def _on_hub(message: AddAdapter, world: World) -> Iterator[str | Breach]:
    """the adapter must be found on the Hub"""
    if message.type == AdapterType.huggingface and message.huggingface_name:
        yield from inspected(world, "adapter", message)


@rule(
    AddAdapter,
    "AD-105",
    "cml_registered_model_id",
    passes=[{"type": "model_registry", "cml_registered_model_id": "7"}],
    fails=[{"type": "model_registry"}],
)
def _registry_id(message: AddAdapter, world: World) -> Iterator[str]:
    """cml_registered_model_id is required for adapters of a model registry"""
    if message.type == AdapterType.model_registry:
        yield from filled(message.cml_registered_model_id, "cml_registered_model_id")


@rule(
    AddAdapter,
    "AD-105",
    "cml_registered_model_id",
    need=Need.network,
    passes=[
        Example(
            {"type": "model_registry", "cml_registered_model_id": "7"}, NoWorld(found={"adapter": {"revision": "1"}})
        )
    ],
    fails=[
        Example(
            {"type": "model_registry", "cml_registered_model_id": "7"},
            NoWorld(found={"adapter": ValueError("7/1 has no adapter_config.json")}),
        )
    ],
)
def _in_registry(message: AddAdapter, world: World) -> Iterator[str | Breach]:
    """the adapter must be found in the model registry, with adapter_config.json and safetensors weights"""
    if message.type == AdapterType.model_registry and (message.cml_registered_model_id or "").strip():
        yield from inspected(world, "adapter", message)


@rule(
    AddAdapter,
    "AD-004",
    "fine_tuning_job_id",
    need=Need.store,
    passes=[{}, Example({"fine_tuning_job_id": "j"}, NoWorld({"fine_tuning_jobs": [{"id": "j"}]}))],
    fails=[{"fine_tuning_job_id": "j"}],
)
def _job_exists(message: AddAdapter, world: World) -> Iterator[str]:
    """fine_tuning_job_id must exist when given"""
    yield from exists(world, "fine_tuning_jobs", message.fine_tuning_job_id, "fine-tuning job")


@rule(
    AddAdapter,
    "AD-005",
    "prompt_id",
    need=Need.store,
    passes=[{}, Example({"prompt_id": "p"}, NoWorld({"prompts": [{"id": "p"}]}))],
    fails=[{"prompt_id": "p"}],
)
def _prompt_exists(message: AddAdapter, world: World) -> Iterator[str]:
    """prompt_id must exist when given"""
    yield from exists(world, "prompts", message.prompt_id, "prompt")


_NAMES_OTHER = NoWorld(
    {"models": [{"id": "m", "name": "tiny"}, {"id": "n", "name": "large", "huggingface_model_name": "org/large"}]},
    {"adapter": {"base_model": "org/large"}},
)
_NAMES_OWN = NoWorld(
    {"models": [{"id": "m", "name": "tiny", "location": "/project/models/tiny"}]},
    {"adapter": {"base_model": "/old/place/tiny"}},
)
_NAMES_REGISTERED = NoWorld(
    {"models": [{"id": "m", "name": "tiny", "cml_registered_model_id": "llama", "revision": "3"}]},
    {"adapter": {"base_model": "models:/llama/3"}},
)
_NAMES_STRANGER = NoWorld({"models": [{"id": "m", "name": "tiny"}]}, {"adapter": {"base_model": "org/unknown"}})


@rule(
    AddAdapter,
    "AD-106",
    "model_id",
    need=Need.files,
    passes=[Example({}, _NAMES_OWN), Example({}, _NAMES_STRANGER)],
    fails=[Example({}, _NAMES_OTHER)],
)
def _same_base(message: AddAdapter, world: World) -> Iterator[str]:
    """the base model that the adapter names must not be another one of the studio"""
    named, model = _bases(message, world)
    if named and model and not _is(named, model) and (other := _registered(named, world)):
        yield f"the adapter was trained on {named}, which is the model {other['name']} (id {other['id']}), not {model['name']}"


@rule(
    AddAdapter,
    "AD-107",
    "model_id",
    need=Need.files,
    severity=Severity.INFO,
    passes=[Example({}, _NAMES_OWN), Example({}, _NAMES_REGISTERED)],
    fails=[
        Example({}, _NAMES_STRANGER),
        Example({}, NoWorld({"models": [{"id": "m", "name": "tiny"}]}, {"adapter": {"base_model": None}})),
    ],
)
def _known_base(message: AddAdapter, world: World) -> Iterator[str]:
    """whether an adapter fits can't be told when it names a base model that the studio does not know"""
    named, model = _bases(message, world)
    if model and not (named and (_is(named, model) or _registered(named, world))):
        yield f"the adapter names {named or 'no'} base model; whether it fits {model['name']} shows when it is loaded"


def _bases(message: AddAdapter, world: World) -> tuple[str | None, Row | None]:
    """The base model's name in the adapter's files, and the model that the message names; None when there is none."""
    model = world.get("models", message.model_id)
    if not _named(message):
        return None, None
    try:
        facts = world.inspect("adapter", message)
    except StudioError:
        raise
    except ValueError:
        return None, None  # told by AD-003, AD-104 and AD-105
    return (facts["base_model"], model) if "base_model" in facts else (None, None)


def _named(message: AddAdapter) -> bool:
    """Whether the message says where the adapter is, as its type wants it."""
    given = {
        AdapterType.project.value: message.location,
        AdapterType.huggingface.value: message.huggingface_name,
        AdapterType.model_registry.value: message.cml_registered_model_id,
    }
    return bool((given.get(message.type) or "").strip())


def _is(named: str, model: Row) -> bool:
    """Whether a base model's name (a Hub name, a registry's, or a path on whatever machine trained) means `model`."""
    registered = model.get("cml_registered_model_id")
    own = {model["name"], model.get("huggingface_model_name"), model.get("location")}
    own.add(f"models:/{registered}/{model.get('revision')}")
    return named in own or PurePath(named).name in {
        model["name"],
        PurePath(model.get("location") or "").name,
        registered,
    }


def _registered(named: str, world: World) -> Row | None:
    found = (world.find("models", **{column: named}) for column in ("huggingface_model_name", "location", "name"))
    return next((rows[0] for rows in found if rows), None)
