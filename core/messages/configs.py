"""Configs: named blobs that parameterise training, quantisation, generation or Axolotl (guide, "Configuration Specification")."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from core.axolotl import axolotl_problems, format_problems
from core.axolotl_keys import strange_keys
from core.facts import renamed, wrong
from core.messages.base import Command, Query, Value, unstorable
from core.messages.common import Page, PagedQuery, filled, known, no_twice, one_of, one_of_or_none, ordered
from core.rules import Example, Need, NoWorld, World, rule
from core.types import ConfigType, Severity

# Whose text is kept as it came: the one for its comments, the other for the order of its columns.
AS_GIVEN = (ConfigType.axolotl, ConfigType.axolotl_dataset_formats)


class ConfigMetadata(Value):
    """A stored config. `config` is its canonical text, or Axolotl's as it came; `is_default` is 1 for shipped ones, 0 for users'."""

    id: str
    type: str
    description: str | None = None
    config: str
    model_family: str | None = None
    is_default: int = 0
    created_at: float | None = None


class ConfigReply(Value):
    """One config; `deduplicated` tells that an equal one existed and is answered."""

    config: ConfigMetadata
    deduplicated: bool = False


class ConfigsReply(Page):
    """A page of configs."""

    configs: list[ConfigMetadata]


class AddConfig(Command[ConfigReply]):
    """Store a config. An equal one of the same type and family is answered instead of stored again."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"type": "lora_config", "config": '{"r": 16}'}

    type: str = Field("", json_schema_extra=known(ConfigType))
    config: str = Field("", description="JSON text; YAML for axolotl.")
    description: str | None = Field(
        None, description="Free text; when it names a model, the config belongs to its family."
    )


class GetConfig(Query[ConfigReply]):
    """Return one config by its id."""

    id: str


class ListConfigs(PagedQuery[ConfigsReply]):
    """Return configs, oldest first; with model_id the defaults of its family come first."""

    order: str | None = ordered("type", "description", "model_family", "created_at")
    name_contains: str | None = Field(
        None, description="Only those whose description contains this text, in upper or lower case."
    )
    type: str | None = Field(None, description="Only configs of this type.", json_schema_extra=known(ConfigType))
    model_family: str | None = Field(None, description="Only configs of this family.")
    is_default: bool | None = Field(None, description="Only the ones that the studio ships, or only users'.")
    model_id: str | None = Field(None, description="Put the defaults of this model's family first.")
    fine_tuning_job_id: str | None = Field(None, description="Only the configs that this job was started with.")
    adapter_id: str | None = Field(None, description="Only the configs of the job that trained this adapter.")


@rule(ListConfigs, "CF-001", "type", passes=[{}, {"type": "axolotl"}], fails=[{"type": "toml"}])
def _listed_type(message: ListConfigs, world: World) -> Iterator[str]:
    """a list is filtered by a type that there is"""
    yield from one_of_or_none(message.type, ConfigType, "type")


class ConfigTextError(ValueError):
    """A config's text is not JSON or YAML, or not a mapping."""


def parse_config(kind: str, text: str) -> dict[str, Any]:
    """Return the mapping that `text` holds: YAML for axolotl, JSON for every other type; raise ConfigTextError.

    NaN and infinities are refused, since JSON has none; so are duplicate keys, of which one would be lost, and what no
    column of a database holds.
    """
    content = _yaml(text) if kind == ConfigType.axolotl else _json(text)
    if not isinstance(content, dict):
        raise ConfigTextError(f"the content must be a mapping of keys to values, not {type(content).__name__}")
    return content


def canonical(content: Any) -> str:
    """Return the one text of equal contents: key order does not matter; 1, 1.0 and true differ."""
    return json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)


def shown(kind: str, text: str, content: dict[str, Any]) -> str:
    """Return the text that is stored of a config."""
    return text if kind in AS_GIVEN else canonical(content)


def content_hash(kind: str, family: str | None, content: dict[str, Any]) -> str:
    """Return the SHA-256 that is unique among configs: of type, family and canonical content."""
    return hashlib.sha256("\0".join([kind, family or "", canonical(content)]).encode()).hexdigest()


def _json(text: str) -> Any:
    try:
        content = json.loads(text, parse_constant=_no_constant, object_pairs_hook=no_twice)
        _keepable(content)
    except (ValueError, RecursionError) as error:
        raise ConfigTextError(f"not valid JSON: {error}") from None
    return content


def _keepable(content: Any) -> None:
    """Raise ValueError or TypeError for what is no JSON (a number such as 1e400 is read as infinity) or no column holds."""
    canonical(content)
    if (breach := next(unstorable(content), None)) is not None:
        raise ValueError(f"{breach.field}: {breach.message}" if breach.field else breach.message)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _yaml(text: str) -> Any:
    from core.plainyaml import load  # late: only axolotl configs are YAML

    try:
        content = load(text)
        _keepable(content)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigTextError(f"not valid YAML of plain values: {error}") from None
    return content


@rule(AddConfig, "CF-001", "type", passes=[{}], fails=[{"type": "toml"}])
def _type(message: AddConfig, world: World) -> Iterator[str]:
    """type must be one of the config types"""
    yield from one_of(message.type, ConfigType, "type")


@rule(
    AddConfig,
    "CF-002",
    "config",
    passes=[{}],
    fails=[{"config": "{"}, {"config": "[1]"}, {"config": ""}, {"config": '{"lora_alpha": 1e400}'}],
)
def _valid_json(message: AddConfig, world: World) -> Iterator[str]:
    """config must be a JSON object whose keys are there once (all types but axolotl)"""
    if message.type != ConfigType.axolotl:
        yield from _unparsed(message)


@rule(
    AddConfig,
    "CF-003",
    "config",
    passes=[{"type": "axolotl", "config": "base_model: x"}],
    fails=[{"type": "axolotl", "config": each} for each in ("a: [1", "- 1", "1: 2", "a: 1\na: 2")],
)
def _valid_yaml(message: AddConfig, world: World) -> Iterator[str]:
    """config must be a YAML mapping whose keys are texts, each there once (axolotl)"""
    if message.type == ConfigType.axolotl:
        yield from _unparsed(message)


@rule(
    AddConfig,
    "CF-102",
    "config",
    passes=[{}],
    fails=[
        {"config": '{"rank": 8}'},
        {"config": '{"r": "8"}'},
        {"type": "training_arguments", "config": '{"output_dir": "/x"}'},
    ],
)
def _known_keys(message: AddConfig, world: World) -> Iterator[str]:
    """the keys must be ones that the training libraries know and the studio allows, with values of their types"""
    yield from _about(message, wrong)


@rule(
    AddConfig,
    "CF-104",
    "config",
    passes=[
        {},
        {"type": "axolotl", "config": "base_model: x"},
        {"type": "axolotl", "config": "datasets: [{path: , type: alpaca}]"},
    ],
    fails=[
        {"type": "axolotl", "config": "datasets: rows.jsonl"},
        {"type": "axolotl", "config": "datasets: [rows.jsonl]"},
        {"type": "axolotl", "config": "datasets: [{type: 7}]"},
        {"type": "axolotl", "config": "learning_rate: high"},
        {"type": "axolotl", "config": "lora_r: -1"},
        {"type": "axolotl", "config": "lora_droput: 0.1"},
    ],
)
def _axolotl_shape(message: AddConfig, world: World) -> Iterator[str]:
    """an axolotl config's datasets are mappings, its values are of Axolotl's types and ranges, and no key is mistyped"""
    if message.type == ConfigType.axolotl:
        yield from _about(message, lambda kind, content: axolotl_problems(content))


@rule(
    AddConfig,
    "CF-106",
    "config",
    severity=Severity.INFO,
    passes=[{}, {"type": "axolotl", "config": "base_model: x"}],
    fails=[
        {"type": "axolotl", "config": "something_else: 1"},
        {"type": "axolotl", "config": "run_name: of another version"},
    ],
)
def _axolotl_strange(message: AddConfig, world: World) -> Iterator[str]:
    """Axolotl passes over keys that it does not know"""
    if message.type == ConfigType.axolotl:
        yield from _about(message, lambda kind, content: strange_keys(content))


@rule(
    AddConfig,
    "CF-105",
    "config",
    passes=[
        {},
        {"type": "axolotl_dataset_formats", "config": '{"question": "string", "answer": "string"}'},
        {
            "type": "axolotl_dataset_formats",
            "config": '{"name": "Q and A", "description": "qa", "format": {"question": "string"}}',
        },
    ],
    fails=[
        {"type": "axolotl_dataset_formats", "config": "{}"},
        {"type": "axolotl_dataset_formats", "config": '{"format": {}}'},
        {"type": "axolotl_dataset_formats", "config": '{"format": {"a": "string"}, "columns": 1}'},
        {"type": "axolotl_dataset_formats", "config": '{" ": "string"}'},
    ],
)
def _format_shape(message: AddConfig, world: World) -> Iterator[str]:
    """a dataset format names its columns: {name, description, format: {column: type}}, or just {column: type}"""
    if message.type == ConfigType.axolotl_dataset_formats:
        yield from _about(message, lambda kind, content: format_problems(content))


@rule(
    AddConfig,
    "CF-103",
    "config",
    severity=Severity.INFO,
    passes=[{}],
    fails=[{"type": "training_arguments", "config": '{"warmup_ratio": 0.03}'}],
)
def _older_keys(message: AddConfig, world: World) -> Iterator[str]:
    """keys of older libraries are accepted and translated at launch"""
    yield from _about(message, renamed)


@rule(
    AddConfig,
    "CF-004",
    "config",
    need=Need.store,
    severity=Severity.INFO,
    passes=[{}],
    fails=[
        Example({}, NoWorld({"configs": [{"id": "c", "content_hash": content_hash("lora_config", None, {"r": 16})}]})),
        Example(
            {"description": "org/tiny"},
            NoWorld(
                {
                    "models": [{"id": "m", "name": "x", "huggingface_model_name": "org/tiny", "family": "Llama"}],
                    "configs": [{"id": "c", "content_hash": content_hash("lora_config", "Llama", {"r": 16})}],
                }
            ),
        ),
    ],
)
def _duplicate(message: AddConfig, world: World) -> Iterator[str]:
    """an equal config of the same type and family is answered instead of stored again"""
    try:
        content = parse_config(message.type, message.config)
    except ConfigTextError:
        return  # told by CF-002 and CF-003
    for row in world.find(
        "configs", content_hash=content_hash(message.type, family_of(world, message.description), content)
    ):
        yield f"an equal config exists (id {row['id']}) and is answered"


def family_of(world: World, description: str | None) -> str | None:
    """The family of the registered model that the description names; no network."""
    if not description:
        return None
    rows = world.find("models", name=description) or world.find("models", huggingface_model_name=description)
    return rows[0]["family"] if rows else None


def _unparsed(message: AddConfig) -> Iterator[str]:
    if not message.config.strip():
        yield from filled(message.config, "config")
        return
    try:
        parse_config(message.type, message.config)
    except ConfigTextError as error:
        yield str(error)


def _about(message: AddConfig, complaints: Any) -> Iterator[str]:
    if message.type in ConfigType.__members__:
        try:
            yield from complaints(ConfigType(message.type), parse_config(message.type, message.config))
        except ConfigTextError:
            return  # told by CF-002 and CF-003
