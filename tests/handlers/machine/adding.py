"""Adding resources."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

from tests.handlers.machine.model import Model, Row, Tables
from tests.handlers.machine.plays import Expected, Payload, Picker, Play, blank, expected, plays, too_long
from tests.handlers.machine.values import (
    ADAPTERS,
    BAD_ADAPTERS,
    BAD_FILES,
    BAD_MODELS,
    BASE_TEMPLATES,
    BLANK,
    BY_TEXT,
    COUNT,
    DATASET_TYPES,
    DESCRIPTIONS,
    FILES,
    HUB_ADAPTERS,
    HUB_DATASETS,
    HUB_MODELS,
    MODEL_TYPES,
    MODELS,
    NAMES,
    NO_REPOSITORIES,
    NO_TEMPLATES,
    NO_TYPES,
    REGISTERED,
    REVISIONS,
    SAVED,
    SUFFIXES,
    TEXTS,
    Text,
)

HUB_CONFIGS = ("", "en", " de ")
TEMPLATE_RULES = {"prompt_template": "PR-003", "input_template": "PR-004", "completion_template": "PR-005"}


def repository(name: str | None) -> str:
    """The org/name of what is named on the Hub."""
    return (name or "").split("@")[0].strip()


def on_hub(pick: Picker, names: Iterable[str]) -> str:
    """A name on the Hub, of any revision."""
    return pick.of([*names], NO_REPOSITORIES) + pick.of(REVISIONS)


def first_filled(*names: str | None) -> str:
    """The first name that says something, without blanks at its ends."""
    return next((name.strip() for name in names if name and name.strip()), "")


@plays("AddDataset")
class AddDataset(Play):
    """A file, a directory, or a dataset on the Hub."""

    def ask(self, pick: Picker) -> Payload:
        kind = pick.of(DATASET_TYPES, NO_TYPES)
        payload: Payload = {"type": kind, "description": pick.of(DESCRIPTIONS)}
        if kind == "huggingface" or pick.chance(8):
            payload["huggingface_name"] = on_hub(pick, HUB_DATASETS) if pick.chance(2) else pick.of([*HUB_DATASETS])
            payload["config_name"] = pick.of(HUB_CONFIGS, ("fr",))
        if kind != "huggingface" or pick.chance(8):
            fitting = (
                SAVED
                if kind == "project"
                else [each for each in FILES if each.lower().endswith(SUFFIXES.get(kind, ""))]
            )
            payload["location"] = pick.of([*fitting], [*BAD_FILES, *FILES, *SAVED, "", None])
        payload["name"] = pick.name("datasets", [*NAMES, ""] if kind == "huggingface" else NAMES, BLANK)
        return payload

    def expect(self, model: Model, payload: Payload) -> Expected:
        kind, location, hub_name = payload["type"], payload.get("location"), payload.get("huggingface_name")
        repo, config = repository(hub_name), payload.get("config_name", "").strip()
        errors = set()
        if kind not in DATASET_TYPES:
            errors.add("DS-001")
        if kind == "huggingface":
            if hub_name and model.hub_away:
                return expected(code="unavailable")
            errors |= {"DS-102"} if blank(hub_name) else set()
            errors |= {"DS-002"} if hub_name and not (repo in HUB_DATASETS and config in ("", "en", "de")) else set()
            errors |= (
                {"DS-101"} if repo and model.find("datasets", huggingface_name=repo, config_name=config) else set()
            )
        else:
            errors |= {"DS-102"} if blank(payload["name"]) else set()
            errors |= {"DS-102"} if kind in DATASET_TYPES and blank(location) else set()
            errors |= {"DS-003"} if kind in DATASET_TYPES and location and not self.readable(kind, location) else set()
        if model.taken("datasets", self.own_name(payload)):
            errors.add("DS-101")
        return expected(errors)

    @staticmethod
    def readable(kind: str, location: str) -> bool:
        """Whether there is such a dataset, of that type."""
        return (
            location in SAVED if kind == "project" else location in FILES and location.lower().endswith(SUFFIXES[kind])
        )

    @staticmethod
    def own_name(payload: Payload) -> str:
        """What it will be called."""
        repo, config = repository(payload.get("huggingface_name")), payload.get("config_name", "").strip()
        return first_filled(payload["name"], f"{repo}/{config}" if config else repo)

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        hub = payload["type"] == "huggingface"
        repo, config = repository(payload.get("huggingface_name")), payload.get("config_name", "").strip()
        columns = HUB_DATASETS[repo] if hub else {**FILES, **SAVED}[payload["location"]]
        row = {"type": payload["type"], "name": self.own_name(payload), "description": payload["description"] or None}
        row |= {"huggingface_name": repo if hub else None, "config_name": config if hub else ""}
        place = None if hub else payload["location"]
        file = payload["type"] in SUFFIXES
        own = {"_columns": columns, "_rows": file, "_outside": False, "_place": place}
        own |= {"_chat": file and columns == ("messages",), "_splits": ("train",) if file else ()}
        own |= {"_count": None if hub else COUNT if file else 1}
        model.put("datasets", value["dataset"]["id"], **row, **own)
        model.say("ResourceAdded", "datasets", value["dataset"]["id"])


@plays("AddModel")
class AddModel(Play):
    """A directory, or a model on the Hub or in a registry."""

    def ask(self, pick: Picker) -> Payload:
        kind = pick.of(MODEL_TYPES, NO_TYPES)
        payload: Payload = {"type": kind, "description": pick.of(DESCRIPTIONS)}
        payload["name"] = pick.name("models", [*NAMES, "", "tiny"], BLANK)
        if kind == "huggingface" or pick.chance(8):
            payload["huggingface_name"] = on_hub(pick, HUB_MODELS) if pick.chance(2) else pick.of([*HUB_MODELS])
        if kind == "project" or pick.chance(8):
            payload["location"] = pick.of([*MODELS], [*BAD_MODELS, "", None])
        if kind == "model_registry" or pick.chance(8):
            payload["model_registry_id"] = pick.of([*REGISTERED], ["gone", "", " ", None])
        return payload

    def expect(self, model: Model, payload: Payload) -> Expected:
        kind, location, hub_name = payload["type"], payload.get("location"), payload.get("huggingface_name")
        registry_id, repo = payload.get("model_registry_id"), repository(hub_name)
        errors = set()
        if kind not in MODEL_TYPES:
            errors.add("MD-001")
        if kind == "huggingface":
            if hub_name and model.hub_away:
                return expected(code="unavailable")
            errors |= {"MD-102"} if blank(hub_name) else set()
            errors |= {"MD-002"} if hub_name and repo not in HUB_MODELS else set()
            errors |= {"MD-101"} if model.taken("models", repo, "huggingface_model_name") else set()
        if kind == "project":
            errors |= {"MD-102"} if blank(location) else set()
            errors |= {"MD-103"} if location and location not in MODELS else set()
        if kind == "model_registry":
            if not blank(registry_id) and model.hub_away:
                return expected(code="unavailable")
            errors |= {"MD-003"} if registry_id not in REGISTERED else set()
            if registry_id in REGISTERED and model.find(
                "models", cml_registered_model_id=registry_id.strip(), _version="1"
            ):
                errors.add("MD-101")
        if model.taken("models", self.own_name(payload)):
            errors.add("MD-101")
        return expected(errors)

    @staticmethod
    def own_name(payload: Payload) -> str:
        """What it will be called."""
        directory = PurePath(payload.get("location") or "").name
        repo = repository(payload.get("huggingface_name"))
        registered = (payload.get("model_registry_id") or "").strip().removeprefix("models:").lstrip("/")
        return first_filled(payload["name"], repo, directory, registered)

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        kind, repo = payload["type"], repository(payload.get("huggingface_name"))
        family = {"huggingface": HUB_MODELS.get(repo), "project": MODELS.get(payload.get("location") or "")}.get(kind)
        row = {"type": kind, "name": self.own_name(payload), "description": payload["description"], "family": family}
        row |= {"huggingface_model_name": repo if kind == "huggingface" else None}
        registered = payload.get("model_registry_id")
        place = {"project": payload.get("location"), "model_registry": "models/tiny"}.get(kind)
        if kind == "model_registry":
            registered = registered.strip()  # type: ignore[union-attr]
            row["_version"] = "1"
        row |= {"cml_registered_model_id": registered}
        model.put("models", value["model"]["id"], **row, _outside=False, _place=place)
        model.say("ResourceAdded", "models", value["model"]["id"])


def means(named: str, row: Row) -> bool:
    """Whether the base model that an adapter names (on the Hub, or by any path) is that model."""
    own = {row["name"], row["huggingface_model_name"]}
    parts = {row["name"], PurePath(row["_place"] or "").name, row["cml_registered_model_id"]}
    return named in own or PurePath(named).name in parts


@plays("AddAdapter")
class AddAdapter(Play):
    """A directory, an adapter on the Hub, or one of a registry."""

    def ask(self, pick: Picker) -> Payload:
        kind = pick.of(MODEL_TYPES, NO_TYPES)
        payload: Payload = {"type": kind, "name": pick.name("adapters", NAMES, BLANK)}
        payload["description"] = pick.of(DESCRIPTIONS)
        payload["model_id"] = pick.id("models")
        if kind == "project" or pick.chance(8):
            payload["location"] = pick.of([*ADAPTERS], [*BAD_ADAPTERS, "", None])
        if kind == "huggingface" or pick.chance(8):
            payload["huggingface_name"] = on_hub(pick, HUB_ADAPTERS)
        if kind == "model_registry" or pick.chance(8):
            payload["cml_registered_model_id"] = pick.of([*REGISTERED], ["gone", "", " ", None])
        links = {
            "fine_tuning_job_id": lambda: pick.id("fine_tuning_jobs", none=True),
            "prompt_id": lambda: pick.id("prompts", none=True),
        }
        return payload | pick.some(links, 3)

    def expect(self, model: Model, payload: Payload) -> Expected:
        kind, location, hub_name = payload["type"], payload.get("location"), payload.get("huggingface_name")
        base, job, prompt = payload["model_id"], payload.get("fine_tuning_job_id"), payload.get("prompt_id")
        given = {"huggingface": hub_name, "model_registry": payload.get("cml_registered_model_id")}.get(kind)
        if model.hub_away and (not blank(given) or (kind == "huggingface" and hub_name)):
            return expected(code="unavailable")
        errors = {
            "AD-102": kind not in MODEL_TYPES,
            "AD-001": blank(payload["name"]) or model.taken("adapters", payload["name"]),
            "AD-002": model.get("models", base) is None,
            "AD-003": kind == "project" and location not in ADAPTERS,
            "AD-103": kind == "huggingface" and blank(hub_name),
            "AD-104": kind == "huggingface" and bool(hub_name) and repository(hub_name) not in HUB_ADAPTERS,
            "AD-105": kind == "model_registry" and payload.get("cml_registered_model_id") not in REGISTERED,
            "AD-004": bool(job) and model.get("fine_tuning_jobs", job) is None,
            "AD-005": bool(prompt) and model.get("prompts", prompt) is None,
            "AD-106": self.of_another(model, payload) is True,
        }
        told = self.of_another(model, payload)
        return expected((rule for rule, broken in errors.items() if broken), ["AD-107"] if told is None else [])

    @staticmethod
    def of_another(model: Model, payload: Payload) -> bool | None:
        """Whether it names a base model that is registered as another one; None when nobody can tell, False when it fits."""
        row, kind, location = model.get("models", payload["model_id"]), payload["type"], payload.get("location")
        repo, registered = repository(payload.get("huggingface_name")), payload.get("cml_registered_model_id")
        found = {
            "project": ADAPTERS.get(location or "", ...),
            "huggingface": HUB_ADAPTERS.get(repo, ...),
            "model_registry": REGISTERED.get(registered or "", ...),
        }
        named = found.get(kind, ...)
        if row is None or named is ...:
            return False  # nothing was found that could name one: told by other rules
        if named is None:
            return None
        if means(named, row):
            return False
        known = (
            each for each in model.tables["models"].values() if named in (each["name"], each["huggingface_model_name"])
        )
        return True if any(known) else None

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        names = ("description", "fine_tuning_job_id", "prompt_id", "cml_registered_model_id")
        row: Row = {"type": payload["type"], "name": payload["name"].strip(), "model_id": payload["model_id"]}
        links = {name: payload.get(name) for name in names}
        links |= {name: links[name] or None for name in ("fine_tuning_job_id", "prompt_id")}
        links["huggingface_name"] = repository(payload.get("huggingface_name")) or None
        if payload["type"] == "model_registry":
            links["cml_registered_model_id"] = payload["cml_registered_model_id"].strip()
        place = {"project": payload.get("location"), "model_registry": "models/tiny"}.get(payload["type"])
        model.put("adapters", value["adapter"]["id"], **row, **links, _outside=False, _place=place)
        model.say("ResourceAdded", "adapters", value["adapter"]["id"])


def named(template: str) -> tuple[str, ...] | None:
    """The columns that a template names; None when it is none."""
    if template in NO_TEMPLATES:
        return None
    return BASE_TEMPLATES.get(template, tuple(re.findall(r"\{(\w+)\}", template)))


@plays("AddPrompt")
class AddPrompt(Play):
    """A prompt of a dataset."""

    def ask(self, pick: Picker) -> Payload:
        dataset = pick.id("datasets")
        columns = pick.model.columns(dataset)
        fitting = [each for each, names in BASE_TEMPLATES.items() if set(names) <= set(columns)]
        wrong = [*NO_TEMPLATES, *(each for each in BASE_TEMPLATES if each not in fitting)]
        prompt: Payload = {
            "name": pick.name("prompts", NAMES, BLANK),
            "dataset_id": dataset,
            "description": pick.of(DESCRIPTIONS),
        }
        prompt |= {name: pick.of(fitting, wrong) for name in TEMPLATE_RULES}
        ids = [each for each in ("p1", "p2") if each not in pick.model.tables["prompts"]]
        more = {
            "id": lambda: pick.of([None, "", *ids], [*pick.model.tables["prompts"], "p1"]),
            "type": lambda: pick.of(["in_place"], ["remote", ""]),
        }
        return {"prompt": prompt | pick.some(more, 3)}

    def expect(self, model: Model, payload: Payload) -> Expected:
        prompt = payload["prompt"]
        if too_long(prompt["name"]):
            return expected(["MS-101"])
        errors = {
            "PR-001": blank(prompt["name"]) or model.taken("prompts", prompt["name"]),
            "PR-101": prompt.get("type", "in_place") != "in_place",
            "PR-102": bool(prompt.get("id")) and model.get("prompts", prompt["id"]) is not None,
            "PR-002": model.get("datasets", prompt["dataset_id"]) is None,
        }
        for field, rule in TEMPLATE_RULES.items():
            names = named(prompt[field])
            errors[rule] = names is None or (
                not errors["PR-002"] and not set(names) <= set(model.columns(prompt["dataset_id"]))
            )
        return expected(rule for rule, broken in errors.items() if broken)

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        given, id = payload["prompt"], value["prompt"]["id"]
        assert id == given["id"] if given.get("id") else id
        columns = {name: given[name] for name in ("dataset_id", "description", *TEMPLATE_RULES)}
        model.put("prompts", id, name=given["name"].strip(), type="in_place", **columns)
        model.say("ResourceAdded", "prompts", id)


def kept(model: Model, text: Text, id: str, description: str | None = None, family: str | None = None) -> None:
    """A config of a user's was stored, or an equal one found: then it is that one."""
    existing = model.content(text.kind, family, text.content)
    assert existing in ([], [id]), f"an equal config is {existing}, and {id} was answered"
    if not existing:
        row: dict[str, Any] = {"type": text.kind, "description": description, "model_family": family, "is_default": 0}
        model.put("configs", id, **row, _content=text.content, _text=text)
        model.say("ResourceAdded", "configs", id)


@plays("AddConfig")
class AddConfig(Play):
    """A config, or one that is there already."""

    def ask(self, pick: Picker) -> Payload:
        good, wrong = [each for each in TEXTS if not each.errors], [each for each in TEXTS if each.errors]
        text = pick.of(wrong if pick.chance(3) else good)
        models = pick.model.tables["models"].values()
        named = [name for row in models for name in (row["name"], row["huggingface_model_name"]) if name]
        return {"type": text.kind, "config": text.text, "description": pick.of([*DESCRIPTIONS, *named])}

    @staticmethod
    def family(model: Model, description: str | None) -> str | None:
        """The family of the model that the description names, by its name or else on the Hub."""
        for column in ("name", "huggingface_model_name"):
            if description and (ids := model.find("models", **{column: description})):
                return str(model.tables["models"][ids[0]]["family"] or "") or None
        return None

    def expect(self, model: Model, payload: Payload) -> Expected:
        text = BY_TEXT[payload["type"], payload["config"]]
        family = self.family(model, payload["description"])
        equal = not text.unread and bool(model.content(text.kind, family, text.content))
        return expected(text.errors, [*text.notes, *(["CF-004"] if equal else [])])

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        text, family = BY_TEXT[payload["type"], payload["config"]], self.family(model, payload["description"])
        assert value["deduplicated"] is bool(model.content(text.kind, family, text.content)), value
        kept(model, text, value["config"]["id"], payload["description"], family)
