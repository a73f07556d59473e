"""Starting, stopping and removing endpoints."""

from __future__ import annotations

from typing import Any

from tests.handlers.machine.model import ENDS, Model, Tables
from tests.handlers.machine.plays import Expected, Payload, Picker, Play, blank, expected, plays
from tests.handlers.machine.removing import Removal
from tests.handlers.machine.running import moved, stopped
from tests.handlers.machine.starting import (
    config_of,
    either,
    given_configs,
    misplaced,
    resources,
    submitted,
    wrong_resources,
)
from tests.handlers.machine.values import BLANK, NAMES

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@plays("StartEndpoint")
class StartEndpoint(Play):
    """A model and its adapters behind HTTP."""

    def ask(self, pick: Picker) -> Payload:
        base = pick.id("models")
        own = pick.model.find("adapters", model_id=base)
        adapters = pick.of([own, own[:1], []], [["gone"], own * 2, [""], [*pick.model.tables["adapters"]]])
        payload: Payload = {"base_model_id": base, "adapter_ids": adapters, "name": pick.of(NAMES, BLANK)}
        options: dict[str, Any] = {
            "host": lambda: pick.of([*LOOPBACK, "0.0.0.0"], ["", "a b", "10.0.0"]),
            "port": lambda: pick.of([0, 8000], [-1, 65536]),
            "auth": lambda: pick.of([True, False]),
            "key_sha256": lambda: pick.of(["0a" * 32], ["0A" * 32, "", "x"]),
            "idle_seconds": lambda: pick.of([0, 900], [-1, 10**8]),
            "max_concurrency": lambda: pick.of([1, 256], [0, 257]),
            "engine": lambda: pick.of(["auto", "studio", "vllm"], ["tgi", ""]),
            "generation_config": lambda: either(pick, "generation_config"),
            "priority": lambda: pick.of([-100, 5, 100]),
        }
        return payload | resources(pick) | pick.some(options, 4)

    def expect(self, model: Model, payload: Payload) -> Expected:
        base, adapters = payload["base_model_id"], payload["adapter_ids"]
        if wrong := [rule for rule, broken in self._errors(model, payload).items() if broken]:
            return expected(wrong)
        rule = misplaced(model, (("models", base), *(("adapters", id) for id in adapters)))
        return expected([rule] if rule else [])

    @staticmethod
    def _errors(model: Model, payload: Payload) -> dict[str, bool]:
        base, adapters, name = payload["base_model_id"], payload["adapter_ids"], payload["name"]
        row, rows = model.get("models", base), [model.get("adapters", id) for id in adapters]
        host = payload.get("host", "127.0.0.1")
        there = [id for id in model.find("endpoints", name=name.strip()) if model.unfinished(id)]
        return {
            "EP-101": row is None,
            "EP-102": len(set(adapters)) < len(adapters)
            or len(adapters) > 32
            or any(each is None or (base and each["model_id"] != base) for each in rows),
            "EP-103": row is not None and any(each is not None and each["name"] == row["name"] for each in rows),
            "EP-104": blank(name) or not name.isprintable() or bool(there),
            "EP-105": host in ("", "a b", "10.0.0"),
            "EP-106": not 0 <= payload.get("port", 0) <= 65535,
            "EP-107": payload.get("auth") is False and host not in LOOPBACK,
            "EP-113": payload.get("key_sha256") is not None
            and (payload["key_sha256"] != "0a" * 32 or payload.get("auth") is False),
            "EP-108": not 0 <= payload.get("idle_seconds", 0) <= 10**7,
            "EP-109": payload.get("engine", "auto") not in ("auto", "studio", "vllm"),
            "EP-110": not 1 <= payload.get("max_concurrency", 8) <= 256,
            "EP-111": any(wrong_resources(payload).values()),
            "EP-112": given_configs(model, payload, {"generation_config": "generation_config"}),
        }

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        told, key = value["endpoint"], value["key"]
        config = config_of(model, payload, "generation_config", "generation_config", told["generation_config_id"])
        asked = payload.get("auth", True)
        makes = asked and "key_sha256" not in payload
        assert (key is not None, told["auth"], told["address"]) == (makes, asked, None), value
        assert key is None or key not in str(seen), "a key was kept"
        name = payload["name"].strip()
        links = {"base_model_id": payload["base_model_id"], "adapter_ids": payload["adapter_ids"]}
        counts = {"requests": 0, "failures": 0, "served_by": None, "address": None, "stop_asked": False}
        model.put("endpoints", told["id"], name=name, generation_config_id=config, **links, **counts)
        engine = "vllm" if payload.get("engine") == "vllm" else "endpoint"
        submitted(model, told["id"], "endpoint", payload, told, name=name, engine=engine)


@plays("StopEndpoint")
class StopEndpoint(Play):
    """The end of an endpoint, which has succeeded then if a runner had it."""

    def ask(self, pick: Picker) -> Payload:
        return {"id": pick.id("endpoints")}

    def expect(self, model: Model, payload: Payload) -> Expected:
        if model.get("endpoints", payload["id"]) is None:
            return expected(code="not_found")
        return expected(code="conflict" if not model.unfinished(payload["id"]) else "")

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        job = model.tables["jobs"][payload["id"]]
        model.change("endpoints", payload["id"], stop_asked=stopped(model, job, "endpoints"))
        if job["status"] in ("queued", "paused"):
            moved(model, job, "cancelled")
        elif job["status"] != "cancel_requested":
            moved(model, job, "cancel_requested")
        assert value["status"] == job["status"], value


@plays("RemoveEndpoint")
class RemoveEndpoint(Removal):
    """The record of an endpoint that is over."""

    table = "endpoints"

    def ask(self, pick: Picker) -> Payload:
        return {"id": pick.id("endpoints")} | pick.some({"remove_files": lambda: True}, 2)

    def expect(self, model: Model, payload: Payload) -> Expected:
        job = model.get("jobs", payload["id"])
        stands = job is not None and job["kind"] == "endpoint" and job["status"] not in ENDS
        return expected(["EP-121"] if stands else [])

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        super().do(model, payload, value, seen)
        if value["removed"]:
            model.drop("jobs", payload["id"])
            model.forget(payload["id"])
