"""What a row must be before it is stored: the checks of its domain, and what older or foreign rows lack."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from core.messages.configs import ConfigTextError, content_hash, parse_config, shown
from core.store.transfer.reading import Unusable
from core.template import TemplateError, columns, problems
from core.types import AdapterType, ConfigType, DatasetType, JobStatus, ModelType

Values = dict[str, Any]
TEMPLATES = {"prompt_template": "PR-003", "input_template": "PR-004", "completion_template": "PR-005"}

# The guide's tables name some types otherwise than its enumerations do.
OTHER_NAMES = {
    "local": "project",
    "cml": "model_registry",
    "bnb": "bitsandbytes_config",
    "lora": "lora_config",
    "generation": "generation_config",
}


def fit(table: str, values: Values) -> list[str]:
    """Complete and check `values` in place; return what was mended. Raises Unusable."""
    return [told for each in FITS.get(table, ()) for told in each(values)]


def _typed(kinds: Any, rule: str, hub: str) -> Callable[[Values], list[str]]:
    def check(values: Values) -> list[str]:
        if values.get("type") is None:
            values["type"] = "huggingface" if values.get(hub) else "project"
            return [f"type was missing and is taken to be {values['type']}"]
        if (told := _by_other_name(values)) and values["type"] in list(kinds):
            return told
        if values["type"] not in list(kinds):
            raise Unusable(f"type {values['type']!r} is none of {', '.join(kinds)} ({rule})")
        return []

    return check


def _by_other_name(values: Values) -> list[str]:
    was = values["type"]
    values["type"] = OTHER_NAMES.get(was, was)
    return [f"type {was} is called {values['type']} here"] if was in OTHER_NAMES else []


def _named(hub: str) -> Callable[[Values], list[str]]:
    def check(values: Values) -> list[str]:
        if name := (values.get("name") or "").strip():
            was, values["name"] = values["name"], name
            return [] if was == name else ["blanks around its name were left out"]
        values["name"] = values.get(hub) or PurePath(values.get("location") or "").name or values["id"]
        return [f"name was missing and is taken to be {values['name']!r}"]

    return check


def _features(values: Values) -> list[str]:
    try:
        known = json.loads(values.get("features") or "[]")
    except ValueError:
        known = None
    if isinstance(known, list) and all(isinstance(each, str) for each in known):
        return []
    values["features"] = None
    return ["features was no list of column names and is left empty"]


def _no_null(values: Values) -> list[str]:
    if values.get("config_name") is None:
        values.pop("config_name", None)  # the column's own default
    return []


def _templates(values: Values) -> list[str]:
    for name, rule in TEMPLATES.items():
        template = values.get(name)
        if template is None and name != "prompt_template":
            continue
        try:
            columns(template or "")
        except TemplateError as error:
            raise Unusable(f"{name}: {error} ({rule})") from None
        if not (template or "").strip():
            raise Unusable(f"{name} is empty ({rule})")
    return []


def name_only(values: Values, known: list[str]) -> None:
    """Raise Unusable when a prompt's templates name columns that its dataset lacks."""
    for name, rule in TEMPLATES.items():
        if wrong := problems(values.get(name) or "", known):
            raise Unusable(f"{name}: {'; '.join(wrong)} ({rule})")


def _config(values: Values) -> list[str]:
    told = _by_other_name(values) if values.get("type") else []
    kind = values.get("type")
    if kind not in list(ConfigType):
        raise Unusable(f"type {kind!r} is no type of config (CF-001)")
    try:
        content = parse_config(kind, values.get("config") or "")
    except ConfigTextError as error:
        raise Unusable(f"config: {error} ({'CF-003' if kind == ConfigType.axolotl else 'CF-002'})") from None
    values["content_hash"] = content_hash(kind, values.get("model_family"), content)
    values["config"] = shown(kind, values["config"], content)
    return told + _whose(values)


def _whose(values: Values) -> list[str]:
    was = values.get("is_default")
    if was in (0, 1):
        return []
    values["is_default"] = 0
    return [] if was is None else [f"is_default was {was} and is taken to be 0"]


def _status(values: Values) -> list[str]:
    status = values.get("status")
    if status is None:
        return []
    if status not in list(JobStatus):
        raise Unusable(f"status {status!r} is none of {', '.join(JobStatus)}")
    if not JobStatus(status).finished:
        values["status"] = None
        return [f"it was {status} where it was exported"]
    return []


def _batch(values: Values) -> list[str]:
    if values.get("parent_job_id"):
        return []
    values["parent_job_id"] = values["id"]
    return ["parent_job_id was missing: it is a batch of its own"]


FITS: dict[str, tuple[Callable[[Values], list[str]], ...]] = {
    "models": (_typed(ModelType, "MD-001", "huggingface_model_name"), _named("huggingface_model_name")),
    "datasets": (_typed(DatasetType, "DS-001", "huggingface_name"), _named("huggingface_name"), _features, _no_null),
    "adapters": (_typed(AdapterType, "AD-102", "huggingface_name"), _named("huggingface_name")),
    "prompts": (_named("id"), _templates),
    "configs": (_config,),
    "evaluation_jobs": (_status, _batch),
}
