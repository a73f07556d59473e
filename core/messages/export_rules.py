"""The rules of ExportModel: the guide's EX-001 to EX-005, and ours from EX-101 on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.messages import asking
from core.messages.common import LONGEST_NAME, exists, filled, inspected, of_model, one_of
from core.messages.endpoint_rules import name_taken
from core.messages.export import ExportModel
from core.rules import Breach, Example, Need, NoWorld, World, rule
from core.types import AdapterType, ConfigType, EndpointEngine, ModelExportType, ModelType

LONGEST = 100  # characters of a directory's or a repository's name
REGISTERED = 255  # characters of a name that every database of MLflow's keeps
_DIRECTORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_REPOSITORY = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*/)?[A-Za-z0-9][A-Za-z0-9._-]*")
_ALIAS = re.compile(r"(?!latest$|v\d+$)[a-z][a-z0-9_-]*", re.IGNORECASE | re.ASCII)

_PAIR = NoWorld(
    {
        "models": [{"id": "m", "name": "x", "type": "huggingface"}],
        "adapters": [{"id": "a", "name": "y", "type": "project", "model_id": "m"}],
    },
    {"registry": {"cloudera": False}},
)
_FROM_HUB = NoWorld({"adapters": [{"id": "a", "name": "y", "type": "huggingface", "model_id": "m"}]})
_SERVED = {"endpoints": [{"id": "1", "name": "tickets"}]}
_LOCAL = {"models": [{"id": "m", "name": "x", "type": "project"}]}


@rule(ExportModel, "EX-101", "type", passes=[{"type": "cml_model"}], fails=[{"type": "zip"}])
def _type(message: ExportModel, world: World) -> Iterator[str]:
    """type must be model_registry, merged, huggingface or cml_model"""
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
    yield from of_model(world, world.get("adapters", message.adapter_id), message.base_model_id)


@rule(
    ExportModel,
    "EX-104",
    "num_cpu",
    passes=[{}],
    fails=[{"num_cpu": 0}, {"num_gpu": -1}, {"num_memory": 0}],
)
def _resources(message: ExportModel, world: World) -> Iterator[Breach]:
    """num_cpu and num_memory must be greater than 0, num_gpu at least 0"""
    yield from asking.resources(message, "EX-104")


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
    yield from asking.config(world, ConfigType.generation_config, message.generation_config)


def _not_of_hub(message: ExportModel, world: World) -> Iterator[str]:
    row = world.get("models", message.base_model_id)
    if row is not None and row["type"] != ModelType.huggingface:
        yield f"model {row['name']!r} is of type {row['type']}: Cloudera ML loads base models by their name on the Hub"


@rule(
    ExportModel,
    "EX-106",
    "model_name",
    passes=[{"type": "merged", "model_name": " tickets-1.0 "}, {"model_name": "what it does: tickets?"[:12]}],
    fails=[{"type": "merged", "model_name": name} for name in ("a/b", "..", ".hidden", "a b", "x" * 101)]
    + [{"model_name": "a/b"}, {"model_name": "a:b"}, {"model_name": "x" * 256}]
    + [{"type": "huggingface", "hub_name": "me/tickets", "model_name": "x" * 256}],
)
def _fit_name(message: ExportModel, world: World) -> Iterator[str]:
    """model_name must be one that a directory, or MLflow's registry, can have"""
    name = message.model_name.strip()
    if message.type == ModelExportType.huggingface and len(name) > LONGEST_NAME:
        yield f"model_name may have {LONGEST_NAME} characters at most, not {len(name)}"
    if message.type == ModelExportType.merged and name and not _named(_DIRECTORY, name):
        yield f"model_name becomes a directory: at most {LONGEST} letters, digits, '.', '_' and '-', the first a letter or digit"
    if message.type == ModelExportType.model_registry and ("/" in name or ":" in name or len(name) > REGISTERED):
        yield f"MLflow's registry takes no name with '/' or ':' in it, and none of more than {REGISTERED} characters"


@rule(
    ExportModel,
    "EX-107",
    "artifact_location",
    need=Need.files,
    passes=[Example({"type": "merged"}, NoWorld(found={"place": {"directory": "/data/exports/tickets"}}))],
    fails=[Example({"type": "merged"}, NoWorld(found={"place": ValueError("/data/exports/tickets is there already")}))],
)
def _place(message: ExportModel, world: World) -> Iterator[str | Breach]:
    """artifact_location must be a directory that the studio may write to, with nothing of the model's name in it"""
    if message.type in (ModelExportType.merged, ModelExportType.model_registry):
        yield from inspected(world, "place", message)
    elif message.artifact_location:
        yield f"an export of type {message.type} has no artifact_location"


@rule(
    ExportModel,
    "EX-108",
    "hub_name",
    passes=[{}, {"type": "huggingface", "hub_name": "org/tickets"}, {"type": "huggingface", "hub_name": "tickets"}],
    fails=[
        {"type": "huggingface"},
        *(
            {"type": "huggingface", "hub_name": name}
            for name in ("a/b/c", "org/", "a b", "a--b", "a..b", "x.git", "a" * 101)
        ),
        {"hub_name": "org/tickets"},
    ],
)
def _repository(message: ExportModel, world: World) -> Iterator[str]:
    """hub_name must be a repository's ORG/NAME when the export goes to the Hub, and is for nothing else"""
    name = (message.hub_name or "").strip()
    if message.type != ModelExportType.huggingface:
        if name:
            yield "hub_name is for exports of type huggingface"
    elif not name:
        yield "hub_name is required for type huggingface: ORG/NAME"
    elif not _named(_REPOSITORY, name) or "--" in name or ".." in name or name.endswith(".git"):
        yield f"{name!r} is no name of a repository: ORG/NAME of letters, digits, '.', '_' and '-', not '--', '..' or an ending '.git'"


@rule(
    ExportModel,
    "EX-109",
    "type",
    need=Need.store,
    passes=[{}, {"type": "merged"}, Example({"type": "cml_model"}, NoWorld({"runners": [{"engines": ["cml_model"]}]}))],
    fails=[{"type": "cml_model"}, Example({"type": "cml_model"}, NoWorld({"runners": [{"engines": ["endpoint"]}]}))],
)
def _at_cloudera(message: ExportModel, world: World) -> Iterator[str]:
    """an endpoint of Cloudera ML is made by a runner there, and one must have registered"""
    if message.type != ModelExportType.cml_model:
        return
    if not any(EndpointEngine.cml_model in (row["engines"] or []) for row in world.find("runners")):
        yield "no runner of Cloudera ML has registered: `fts runner --backend cml` starts one in a project there (docs/cloudera.md); elsewhere `fts serve` puts the adapter behind HTTP"


@rule(
    ExportModel,
    "EX-112",
    "model_name",
    passes=[{}, {"type": "cml_model"}],
    fails=[{"type": "cml_model", "model_name": "a\nb"}, {"type": "cml_model", "model_name": "x" * 256}],
)
def _endpoint_name(message: ExportModel, world: World) -> Iterator[str]:
    """the name of an endpoint of Cloudera ML is one line"""
    if message.type == ModelExportType.cml_model and not _is_line(message.model_name.strip()):
        yield f"model_name becomes the name of a model of Cloudera ML: one line of at most {REGISTERED} characters"


@rule(
    ExportModel,
    "EX-112",
    "model_name",
    need=Need.store,
    passes=[{}, Example({"type": "cml_model"}, NoWorld({**_SERVED, "jobs": [{"id": "1", "status": "succeeded"}]}))],
    fails=[Example({"type": "cml_model"}, NoWorld({**_SERVED, "jobs": [{"id": "1", "status": "running"}]}))],
)
def _endpoint_name_free(message: ExportModel, world: World) -> Iterator[str]:
    """two endpoints that are not over have different names"""
    if message.type == ModelExportType.cml_model:
        yield from name_taken(world, message.model_name)


@rule(
    ExportModel,
    "EX-113",
    "auth",
    passes=[{}, {"type": "cml_model", "auth": False}],
    fails=[{"auth": False}, {"type": "merged", "auth": False}],
)
def _asks_who_calls(message: ExportModel, world: World) -> Iterator[str]:
    """auth is for endpoints of Cloudera ML"""
    if not message.auth and message.type != ModelExportType.cml_model:
        yield f"an export of type {message.type} asks nobody for a key: auth is for type cml_model"


@rule(
    ExportModel,
    "EX-110",
    "merge",
    passes=[{"merge": False}, {"type": "merged"}],
    fails=[{"type": "merged", "merge": False}, {"type": "huggingface", "hub_name": "o/n", "merge": False}],
)
def _apart(message: ExportModel, world: World) -> Iterator[str]:
    """base and adapter stay apart in the model registry only"""
    if not message.merge and message.type != ModelExportType.model_registry:
        yield f"merge can be false for type model_registry only, not for {message.type}"


@rule(
    ExportModel,
    "EX-111",
    "alias",
    passes=[{}, {"alias": "champion"}],
    fails=[{"alias": "latest"}, {"alias": "V3"}, {"alias": "a b"}, {"type": "merged", "alias": "champion"}],
)
def _named_alias(message: ExportModel, world: World) -> Iterator[str]:
    """alias must be one that MLflow takes, and is for the model registry only"""
    if message.alias is None:
        return
    if message.type != ModelExportType.model_registry:
        yield f"an export of type {message.type} has no alias"
    elif not _named(_ALIAS, message.alias):
        yield f"{message.alias!r} is no alias: a letter, then letters, digits, '-' and '_'; not latest, and not v with a number"


def _is_line(name: str) -> bool:
    return name.isprintable() and len(name) <= REGISTERED


def _named(pattern: re.Pattern[str], name: str) -> bool:
    return len(name) <= LONGEST and pattern.fullmatch(name) is not None
