"""Starting evaluations and exports."""

from __future__ import annotations

import re
from math import inf, nan
from pathlib import PurePath
from typing import Any

from tests.handlers.machine.model import Model, Row, Tables
from tests.handlers.machine.plays import Expected, Payload, Picker, Play, blank, expected, plays
from tests.handlers.machine.starting import (
    a_dataset,
    config_of,
    either,
    given_configs,
    lacks,
    misplaced,
    resources,
    submitted,
    wrong_resources,
)
from tests.handlers.machine.values import BLANK, NAMES

QUANTISED = {"model_bnb_config": "bitsandbytes_config", "adapter_bnb_config": "bitsandbytes_config"}
EVALUATION_CONFIGS = {**QUANTISED, "generation_config": "generation_config"}


@plays("StartEvaluationJob")
class StartEvaluationJob(Play):
    """A batch of combinations."""

    def ask(self, pick: Picker) -> Payload:
        dataset = a_dataset(pick)
        pairs = [self._pair(pick) for _ in range(pick.of([1, 2, 3], [0]))]
        prompts = [id for id in pick.model.tables["prompts"] if not lacks(pick.model, id, dataset)]
        row = pick.model.get("datasets", dataset)
        prompts += [""] if row and row["_chat"] else []
        payload: Payload = {"model_adapter_combinations": pairs, "dataset_id": dataset}
        payload["prompt_id"] = pick.of(prompts, ["gone", "", " ", *pick.model.tables["prompts"]])
        options: dict[str, Any] = {
            name: lambda kind=kind: either(pick, kind) for name, kind in EVALUATION_CONFIGS.items()
        }
        options |= {
            "type": lambda: pick.of(["mlflow"], ["by hand", ""]),
            "eval_dataset_fraction": lambda: pick.of([1.0, 0.1], [0.0, 1.5, nan, inf]),
            "selected_features": lambda: pick.of([[], list(pick.model.columns(dataset))], [["nope"], [""]]),
            "priority": lambda: pick.of([-100, 5, 100]),
        }
        return payload | resources(pick) | pick.some(options, 5)

    @staticmethod
    def _pair(pick: Picker) -> Payload:
        adapted = [row for row in pick.model.tables["adapters"].values() if row["model_id"]]
        if adapted and pick.chance(2):
            row = pick.of(adapted)
            return {"base_model_id": row["model_id"], "adapter_id": row["id"]}
        base = pick.id("models")
        own = pick.model.find("adapters", model_id=base)
        pair: Payload = {"base_model_id": base}
        if own or pick.careless:
            pair["adapter_id"] = pick.of([*own, None, ""], ["gone", *pick.model.tables["adapters"]])
        return pair

    def expect(self, model: Model, payload: Payload) -> Expected:
        errors = {**self._pairs(model, payload), **self._rest(model, payload)}
        if wrong := [rule for rule, broken in errors.items() if broken]:
            return expected(wrong)
        places = [("datasets", payload["dataset_id"])]
        for pair in payload["model_adapter_combinations"]:
            places += [("models", pair["base_model_id"]), ("adapters", pair.get("adapter_id") or None)]
        if rule := misplaced(model, places):
            return expected([rule])
        return expected(["EV-106"] if self._none_held_out(model, payload) else [])

    @staticmethod
    def _pairs(model: Model, payload: Payload) -> dict[str, bool]:
        pairs = [
            (pair["base_model_id"], pair.get("adapter_id") or None) for pair in payload["model_adapter_combinations"]
        ]
        adapters = [(base, id, model.get("adapters", id)) for base, id in pairs if id]
        return {
            "EV-001": not pairs,
            "EV-101": len(set(pairs)) < len(pairs),
            "EV-005": any(model.get("models", base) is None for base, _ in pairs),
            "EV-006": any(row is None or row["model_id"] != base for base, id, row in adapters),
        }

    def _rest(self, model: Model, payload: Payload) -> dict[str, bool]:
        dataset, prompt = payload["dataset_id"], payload["prompt_id"]
        known = model.get("datasets", dataset) is not None
        return {
            "EV-002": blank(dataset),
            "EV-007": bool(dataset) and not known,
            "EV-003": blank(prompt) and not self._conversations(model, payload),
            "EV-008": bool(prompt) and model.get("prompts", prompt) is None,
            "EV-004": any(wrong_resources(payload).values()),
            "EV-102": payload.get("type", "mlflow") != "mlflow",
            "EV-103": not 0 < payload.get("eval_dataset_fraction", 1.0) <= 1,
            "EV-104": given_configs(model, payload, EVALUATION_CONFIGS),
            "EV-105": known and not set(payload.get("selected_features", [])) <= set(model.columns(dataset)),
            "EV-107": lacks(model, prompt, dataset),
        }

    @staticmethod
    def _baseline(payload: Payload) -> str | None:
        return next(
            (pair["adapter_id"] for pair in payload["model_adapter_combinations"] if pair.get("adapter_id")), None
        )

    @staticmethod
    def _own_job(model: Model, pair: Payload) -> Row | None:
        """The job that trained the adapter; without an adapter, the model."""
        adapter = pair.get("adapter_id")
        row = model.get("adapters", adapter) if adapter else model.get("models", pair["base_model_id"])
        return None if row is None else model.get("fine_tuning_jobs", row["fine_tuning_job_id"])

    def _conversations(self, model: Model, payload: Payload) -> bool:
        """Whether all is asked with the chat template, as it was taught: then no prompt is needed."""
        dataset = model.get("datasets", payload["dataset_id"])
        jobs = [self._own_job(model, pair) for pair in payload["model_adapter_combinations"]]
        taught = [job for job in jobs if job is not None]
        return dataset is not None and dataset["_chat"] and bool(taught) and all(job["chat_template"] for job in taught)

    def _none_held_out(self, model: Model, payload: Payload) -> bool:
        """Whether the baseline (the first adapter, else the first model that a job made) learned all of the rows (D-029)."""
        pairs = payload["model_adapter_combinations"]
        adapted = [pair for pair in pairs if pair.get("adapter_id")]
        trainings = [_training(model, pair) for pair in (adapted[:1] or pairs)]
        found = next((each for each in trainings if each is not None), None)
        if found is None or found["split"] != 1.0 or found["eval_split"]:
            return False
        return _same_rows(model, found, payload["dataset_id"])

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        parent, told, pairs = value["parent_job_id"], value["evaluation_jobs"], payload["model_adapter_combinations"]
        configs = {
            f"{name}_id": config_of(model, payload, name, kind, told[0][f"{name}_id"])
            for name, kind in EVALUATION_CONFIGS.items()
        }
        assert [each["run_number"] for each in told] == list(range(1, len(pairs) + 1)), told  # D-027, D-028
        for pair, each in zip(pairs, told, strict=True):
            row = {"parent_job_id": parent, "run_number": each["run_number"], "status": "queued", **configs}
            row |= {"base_model_id": pair["base_model_id"], "adapter_id": pair.get("adapter_id") or None}
            row |= {"dataset_id": payload["dataset_id"], "prompt_id": payload["prompt_id"] or None}
            row |= {"comparison_adapter_id": self._baseline(payload)}
            model.put("evaluation_jobs", each["id"], **row)
        name = f"evaluation on {model.tables['datasets'][payload['dataset_id']]['name']}"
        submitted(model, parent, "evaluation", payload, told[0], name=name)


def fit_name(kind: str, name: str) -> bool:
    """Whether a directory, or the registry, can have the name."""
    if kind == "merged":
        return not name or (len(name) <= 100 and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is not None)
    return kind != "model_registry" or not set(name) & {"/", ":"}


def _training(model: Model, pair: Payload) -> Row | None:
    """What made the adapter, or the model: by its link, else by the directory that it lies in (D-185)."""
    adapter = pair.get("adapter_id")
    row = model.get("adapters", adapter) if adapter else model.get("models", pair["base_model_id"])
    if row is None:
        return None
    places = sorted(set(PurePath(row["_place"] or "").parts) & model.trainings.keys())
    for id in filter(None, (row["fine_tuning_job_id"], *places)):
        if (found := model.trainings.get(id) or _imported(model, id)) is not None:
            return found
    return None


def _imported(model: Model, id: str) -> Row | None:
    """What an imported job tells."""
    job = model.get("fine_tuning_jobs", id)
    dataset = model.get("datasets", job["dataset_id"]) if job is not None else None
    if job is None or dataset is None or misplaced(model, [("datasets", job["dataset_id"])]):
        return None
    hub = (dataset["huggingface_name"], dataset["config_name"]) if dataset["huggingface_name"] else None
    return {"dataset": dataset["id"], "hub": hub, "split": job["train_test_split"], "eval_split": job["eval_split"]}


def _same_rows(model: Model, training: Row, id: str) -> bool:
    """Whether a dataset is the one that was learned: by its content, else as the Hub names it, else by its id."""
    row = model.tables["datasets"][id]
    (one, was), (other, now) = model.data[training["dataset"]], model.data[id]
    if one and other:
        return one == other
    if training["hub"] and row["huggingface_name"]:
        return (*training["hub"], was) == (row["huggingface_name"], row["config_name"], now)
    return bool(training["dataset"] == id)


@plays("ExportModel")
class ExportModel(Play):
    """An adapter, to the registry, merged, or as an endpoint of Cloudera ML where a runner of it has registered."""

    def ask(self, pick: Picker) -> Payload:
        far = [id for id in pick.model.find("adapters", type="project") if self._of_hub(pick.model, id)]
        clouderas = bool(far) and pick.chance(3)
        adapter = pick.of(far) if clouderas else pick.id("adapters")
        row = pick.model.get("adapters", adapter)
        base = row["model_id"] if row and row["model_id"] and not pick.chance(8) else pick.id("models")
        payload: Payload = {"base_model_id": base, "adapter_id": adapter, "model_name": pick.of(NAMES, BLANK)}
        options = {
            "type": lambda: pick.of(["model_registry", "merged", "cml_model"], ["zip", ""]),
            "generation_config": lambda: either(pick, "generation_config"),
            "model_description": lambda: "told",
            "auth": lambda: pick.of([True], [False]),
            "priority": lambda: pick.of([-100, 5, 100]),
        }
        payload |= resources(pick) | pick.some(options, 3)
        return {**payload, "type": "cml_model"} if clouderas else payload

    @staticmethod
    def _of_hub(model: Model, adapter: str) -> bool:
        """Whether an adapter's base model is of the Hub: Cloudera ML takes no other."""
        base = model.get("models", model.tables["adapters"][adapter]["model_id"])
        return base is not None and base["type"] == "huggingface"

    def expect(self, model: Model, payload: Payload) -> Expected:
        kind, base, id = payload.get("type", "model_registry"), payload["base_model_id"], payload["adapter_id"]
        registry = kind == "model_registry"
        if registry and model.registry_away:
            return expected(code="unavailable")
        adapter, row, name = model.get("adapters", id), model.get("models", base), payload["model_name"].strip()
        served = [each for each in model.find("endpoints", name=name) if model.unfinished(each)]
        errors = {
            "EX-101": kind not in ("model_registry", "merged", "cml_model"),
            "EX-001": row is None,
            "EX-002": adapter is None,
            "EX-003": blank(payload["model_name"]),
            "EX-004": kind == "cml_model" and adapter is not None and adapter["type"] != "project",
            "EX-005": (kind == "cml_model" or (registry and model.cloudera))
            and row is not None
            and row["type"] != "huggingface",
            "EX-103": adapter is not None and bool(base) and adapter["model_id"] != base,
            "EX-106": not fit_name(kind, payload["model_name"].strip()),
            "EX-109": kind == "cml_model"
            and not any("cml_model" in row["engines"] for row in model.tables["runners"].values()),
            "EX-113": kind != "cml_model" and payload.get("auth") is False,
            "EX-112": kind == "cml_model" and (not name.isprintable() or len(name) > 255 or bool(served)),
            "EX-104": any(wrong_resources(payload).values()),
            "EX-105": given_configs(model, payload, {"generation_config": "generation_config"}),
        }
        if wrong := [rule for rule, broken in errors.items() if broken]:
            return expected(wrong)
        rule = misplaced(model, (("models", base), ("adapters", id)))
        return expected([rule] if rule else [])

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        if payload.get("type") == "cml_model":
            self._deployed(model, payload, value)
            return
        assert value["endpoint"] is None
        told = value["export_job"]
        config = config_of(model, payload, "generation_config", "generation_config", told["generation_config_id"])
        links = {"base_model_id": payload["base_model_id"], "adapter_id": payload["adapter_id"]}
        name = payload["model_name"].strip()
        row = {
            **links,
            "generation_config_id": config,
            "model_name": name,
            "type": payload.get("type", "model_registry"),
        }
        model.put("export_jobs", told["id"], **row)
        submitted(model, told["id"], "export", payload, told, name=f"export {name}")

    @staticmethod
    def _deployed(model: Model, payload: Payload, value: Payload) -> None:
        """It is an endpoint, and no export; where it listens is Cloudera's."""
        told, name = value["endpoint"], payload["model_name"].strip()
        assert value["export_job"] is None
        config = config_of(model, payload, "generation_config", "generation_config", told["generation_config_id"])
        links = {"base_model_id": payload["base_model_id"], "adapter_ids": [payload["adapter_id"]]}
        own = {"engine": "cml_model", "host": "", "auth": payload.get("auth", True), "key_sha256": None}
        counts = {"requests": 0, "failures": 0, "served_by": None, "address": None, "stop_asked": False}
        model.put("endpoints", told["id"], name=name, generation_config_id=config, **links, **own, **counts)
        submitted(model, told["id"], "endpoint", payload, told, name=name, engine="cml_model")
