"""Sessions: what is compared live, asked, stopped and ended."""

from __future__ import annotations

from math import inf, nan
from typing import Any

from tests.handlers.machine.looking import Look, looks, same
from tests.handlers.machine.model import ENDS, HELD, Model, Row, Tables
from tests.handlers.machine.plays import Expected, Payload, Picker, Play, expected, plays
from tests.handlers.machine.removing import Removal
from tests.handlers.machine.running import moved, stopped
from tests.handlers.machine.starting import (
    either,
    given_configs,
    lacks,
    misplaced,
    resources,
    submitted,
    wrong_resources,
)

CONFIGS = {"generation_config": "generation_config", "model_bnb_config": "bitsandbytes_config"}
MOST_OPEN = 8


@plays("StartComparison")
class StartComparison(Play):
    """A model and adapters that answer side by side."""

    def ask(self, pick: Picker) -> Payload:
        base = pick.id("models")
        own = pick.model.find("adapters", model_id=base)
        adapters = pick.of([own[:2], own[:1], []], [["gone"], own[:1] * 2, [""], [*pick.model.tables["adapters"]][:3]])
        options: dict[str, Any] = {name: lambda kind=kind: either(pick, kind) for name, kind in CONFIGS.items()}
        options |= {
            "dataset_id": lambda: pick.id("datasets", none=True),
            "prompt_id": lambda: pick.id("prompts", none=True),
            "idle_seconds": lambda: pick.of([0.5, 900.0], [0.0, -1.0, inf, nan, 1e9]),
            "priority": lambda: pick.of([-100, 5, 100]),
        }
        return {"base_model_id": base, "adapter_ids": adapters} | resources(pick) | pick.some(options, 3)

    def expect(self, model: Model, payload: Payload) -> Expected:
        base, adapters = payload["base_model_id"], payload["adapter_ids"]
        if wrong := [rule for rule, broken in self._errors(model, payload).items() if broken]:
            return expected(wrong)
        _, dataset = self._rows(model, payload)
        rule = misplaced(model, (("models", base), *(("adapters", id) for id in adapters), ("datasets", dataset)))
        return expected([rule] if rule else [])

    @staticmethod
    def _errors(model: Model, payload: Payload) -> dict[str, bool]:
        base, adapters = payload["base_model_id"], payload["adapter_ids"]
        rows = [model.get("adapters", id) for id in adapters]
        dataset, prompt = payload.get("dataset_id"), payload.get("prompt_id")
        missing = [(dataset, "datasets"), (prompt, "prompts")]
        return {
            "CP-101": model.get("models", base) is None,
            "CP-102": any(each is None or each["model_id"] != base for each in rows),
            "CP-103": len(set(adapters)) < len(adapters),
            "CP-104": any(bool(id) and model.get(table, id) is None for id, table in missing),
            "CP-105": lacks(model, prompt, dataset),
            "CP-106": any(wrong_resources(payload).values()),
            "CP-107": given_configs(model, payload, CONFIGS),
            "CP-108": not 0 < payload.get("idle_seconds", 900) <= 7 * 86_400,
        }

    @staticmethod
    def _rows(model: Model, payload: Payload) -> tuple[str | None, str | None]:
        """The prompt and the dataset: what was left open is the first adapter's."""
        first = model.get("adapters", payload["adapter_ids"][0]) if payload["adapter_ids"] else None
        trained = model.get("fine_tuning_jobs", first["fine_tuning_job_id"]) if first else None
        own = first["prompt_id"] if first else None
        prompt = payload.get("prompt_id") or own or (trained["prompt_id"] if trained else None)
        row = model.get("prompts", prompt)
        dataset = payload.get("dataset_id") or (trained["dataset_id"] if trained else None)
        return prompt, dataset or (row["dataset_id"] if row else None)

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        told, base = value["comparison"], payload["base_model_id"]
        prompt, dataset = self._rows(model, payload)
        links = {"base_model_id": base, "dataset_id": dataset, "prompt_id": prompt}
        model.put("comparisons", told["id"], stop_asked=False, _voices=payload["adapter_ids"], _open={}, **links)
        name = f"comparison on {model.tables['models'][base]['name']}"
        submitted(model, told["id"], "comparison", payload, told, name=name)


@plays("AskComparison")
class AskComparison(Play):
    """A question."""

    def ask(self, pick: Picker) -> Payload:
        id = pick.id("comparisons")
        row = pick.model.get("comparisons", id)
        text = pick.of([{"prompt": "hello"}, {"prompt": "\x1b[31m{}"}, {"random": True}], [{}, {"prompt": ""}])
        voices = row["_voices"] if row else []
        options: dict[str, Any] = {
            "voices": lambda: pick.of([["", *voices], [""], None], [[], ["gone"]]),
            "generation_config": lambda: pick.of(['{"max_new_tokens": 8}', None], ["{", '{"nope": 1}', "an-id"]),
            "seed": lambda: 7,
        }
        return {"id": id} | text | pick.some(options, 3)

    def expect(self, model: Model, payload: Payload) -> Expected:
        row, random = model.get("comparisons", payload["id"]), payload.get("random", False)
        voices, text = payload.get("voices"), payload.get("generation_config")
        known = {"", *(row["_voices"] if row else ())}
        errors = {
            "CP-111": not random and not payload.get("prompt"),
            "CP-112": row is not None and voices is not None and (not voices or not set(voices) <= known),
            "CP-113": text is not None and text != '{"max_new_tokens": 8}',
            "CP-114": random and row is not None and row["dataset_id"] is None,
        }
        if wrong := [rule for rule, broken in errors.items() if broken]:
            return expected(wrong)
        if row is None:
            return expected(code="not_found")
        over = model.tables["jobs"][row["id"]]["status"] in (*ENDS, "cancel_requested")
        return expected(code="conflict" if over or len(row["_open"]) >= MOST_OPEN else "")

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        row = model.tables["comparisons"][payload["id"]]
        numbers = [
            each["number"] for each in seen["comparison_questions"].values() if each["comparison_id"] == row["id"]
        ]
        assert value["number"] == max(numbers), value
        voices = payload.get("voices")
        asked = {"", *row["_voices"]} if voices is None else {*voices}
        model.change("comparisons", row["id"], _open={**row["_open"], value["number"]: asked})
        assert value["status"] == model.tables["jobs"][row["id"]]["status"], value


@plays("StopAnswers")
class StopAnswers(Play):
    """No more of an answer."""

    def ask(self, pick: Picker) -> Payload:
        return {"id": pick.id("comparisons")} | pick.some({"number": lambda: pick.of([1, 2, None])}, 2)

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(code="" if model.get("comparisons", payload["id"]) else "not_found")

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        row, number = model.tables["comparisons"][payload["id"]], payload.get("number")
        stopped = [each for each in row["_open"] if number in (None, each)]
        assert value["numbers"] == sorted(stopped), value
        model.touched.add(("comparisons", row["id"]))  # when it was of use
        if model.tables["jobs"][row["id"]]["status"] not in HELD:
            left = {each: voices for each, voices in row["_open"].items() if each not in stopped}
            model.change("comparisons", row["id"], _open=left)


@plays("EndComparison")
class EndComparison(Play):
    """The end of a session, which has succeeded then if a runner had it."""

    def ask(self, pick: Picker) -> Payload:
        return {"id": pick.id("comparisons")}

    def expect(self, model: Model, payload: Payload) -> Expected:
        if model.get("comparisons", payload["id"]) is None:
            return expected(code="not_found")
        return expected(code="" if model.unfinished(payload["id"]) else "conflict")

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        job = model.tables["jobs"][payload["id"]]
        model.change("comparisons", payload["id"], stop_asked=stopped(model, job, "comparisons"))
        if job["status"] in ("queued", "paused"):
            moved(model, job, "cancelled")
        elif job["status"] != "cancel_requested":
            moved(model, job, "cancel_requested")
        assert value["status"] == job["status"], value


@plays("RemoveComparison")
class RemoveComparison(Removal):
    """The record of a session that is over."""

    table = "comparisons"

    def ask(self, pick: Picker) -> Payload:
        return {"id": pick.id("comparisons")} | pick.some({"remove_files": lambda: True}, 2)

    def expect(self, model: Model, payload: Payload) -> Expected:
        job = model.get("jobs", payload["id"])
        stands = job is not None and job["kind"] == "comparison" and job["status"] not in ENDS
        return expected(["CP-121"] if stands else [])

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        super().do(model, payload, value, seen)
        if value["removed"]:
            model.drop("jobs", payload["id"])
            model.forget(payload["id"])


def said(model: Model, job: Row, record: Payload) -> None:
    """A piece of an answer; a question whose answers are all done is open no more."""
    row = model.get("comparisons", job["id"])
    open = row["_open"].get(record["question"]) if row else None
    if row is None or open is None or record["voice"] not in open:
        return
    model.touched.add(("comparisons", row["id"]))
    if record.get("done"):
        left = {**row["_open"], record["question"]: open - {record["voice"]}}
        model.change("comparisons", row["id"], _open={number: voices for number, voices in left.items() if voices})


@looks("GetComparison")
class GetComparison(Look):
    """A session, and what it was asked."""

    def ask(self, pick: Picker) -> Payload:
        return {"id": pick.id("comparisons")}

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(code="" if model.get("comparisons", payload["id"]) else "not_found")

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        row, job = model.tables["comparisons"][payload["id"]], model.tables["jobs"][payload["id"]]
        told = value["comparison"]
        same(told, {"id": row["id"], "base_model_id": row["base_model_id"], "dataset_id": row["dataset_id"]})
        assert told["status"] == job["status"] and [each["id"] for each in told["adapters"]] == row["_voices"]
        if not value["has_more"]:
            assert {each["number"] for each in value["questions"] if not each["done"]} == row["_open"].keys()
