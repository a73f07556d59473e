"""The queries: what each must answer, as the model has it."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from tests.handlers.machine.adding import named
from tests.handlers.machine.formats import best_format
from tests.handlers.machine.model import ENDS, HELD, TABLES, WORK, Model, Row, Tables
from tests.handlers.machine.plays import Expected, Payload, Picker, expected
from tests.handlers.machine.starting import lacks


class Look:
    """One query; subclasses are named after it."""

    def ask(self, pick: Picker) -> Payload:
        """A payload of the right shape."""
        raise NotImplementedError

    def expect(self, model: Model, payload: Payload) -> Expected:
        """What must be answered."""
        raise NotImplementedError

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        """Compare the answer with the model."""
        raise NotImplementedError


LOOKS: dict[str, Look] = {}


def looks(name: str, *arguments: Any) -> Callable[[type[Look]], type[Look]]:
    """Register the decorated class for a query."""

    def register(kind: type[Look]) -> type[Look]:
        LOOKS[name] = kind(*arguments)
        return kind

    return register


def shown(model: Model, table: str, id: str) -> Row:
    """A row as queries show it."""
    row = {name: value for name, value in model.tables[table][id].items() if not name.startswith("_")}
    if table == "datasets":
        return {**row, "features": list(model.columns(id))}
    job = model.get("jobs", row.get("parent_job_id") or id)
    if table not in WORK or job is None:
        return row
    if table == "endpoints":
        serves = job["status"] in HELD and row["served_by"] == job["attempt"]
        row |= {"last_address": row["address"], "address": row["address"] if serves else None}
        return {**row, "status": job["status"], "attempt": job["attempt"]}
    row = {name: value for name, value in row.items() if value is not None}
    names = ("name", "description", "attempt", "priority", "runner_id", "created_at")
    return {"status": job["status"], **row, **{name: job[name] for name in names}, **status(row, job)}


def status(row: Row, job: Row) -> Row:
    """The state of one evaluation: its own, or its batch's; it is assigned while the batch is held before its turn."""
    if "parent_job_id" not in row:
        return {}
    own = row.get("status") or job["status"]
    return {"status": "assigned" if own == "queued" and job["status"] in HELD else own}


def same(told: Row, wanted: Row) -> None:
    """All that the model knows of a row is told so."""
    wrong = {name: (told[name], value) for name, value in wanted.items() if name in told and told[name] != value}
    assert not wrong, f"(told, wanted) of {wanted['id']}: {wrong}"
    assert told["id"] == wanted["id"]


@looks("GetDataset", "datasets", "dataset")
@looks("GetModel", "models", "model")
@looks("GetPrompt", "prompts", "prompt")
@looks("GetAdapter", "adapters", "adapter")
@looks("GetConfig", "configs", "config")
@looks("GetFineTuningJob", "fine_tuning_jobs", "fine_tuning_job")
@looks("GetEvaluationJob", "evaluation_jobs", "evaluation_job")
@looks("GetExportJob", "export_jobs", "export_job")
@looks("GetEndpoint", "endpoints", "endpoint")
class Get(Look):
    """One row, by its id."""

    def __init__(self, table: str, field: str) -> None:
        self.table, self.field = table, field

    def ask(self, pick: Picker) -> Payload:
        return {"id": pick.id(self.table)}

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(code="" if model.get(self.table, payload["id"]) else "not_found")

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        same(value[self.field], shown(model, self.table, payload["id"]))


JOB_LINKS = ("base_model_id", "dataset_id", "adapter_id", "parent_job_id", "framework_type")


@looks("ListRunners")
class ListRunners(Look):
    """Every runner, and what it holds."""

    def ask(self, pick: Picker) -> Payload:
        return {}

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected()

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        told = {row["id"]: (row["status"], sorted(row["jobs"]), row["incarnation"]) for row in value["runners"]}
        assert told == {
            id: (self._status(row), sorted(job["id"] for job in model.held(id)), row["incarnation"])
            for id, row in model.tables["runners"].items()
        }

    @staticmethod
    def _status(row: Row) -> str:
        if row["lost"]:
            return "lost"
        if not row["trusted"]:
            return "no shared artifacts"
        return "draining" if row["draining"] else "online"


@looks("ListEvents")
class ListEvents(Look):
    """The log, or a part of it."""

    def ask(self, pick: Picker) -> Payload:
        options: dict[str, Callable[[], Any]] = {
            "type": lambda: pick.of(
                ["ResourceAdded", "ResourceRemoved", "JobQueued", "JobFailed"], ["JobExploded", ""]
            ),
            "kind": lambda: pick.of(["datasets", "jobs", "runners", "configs"], ["dataset"]),
            "resource_id": lambda: pick.id("jobs", "datasets"),
            "after": lambda: pick.of([0, 60, 70, 10**9]),
            "limit": lambda: pick.of([1, 5, 5000]),
            "last": lambda: True,
            "before": lambda: pick.of([0, 60, 70, 10**9]),
            "since": lambda: pick.of([0.0, time.time() - 1, time.time() + 60]),
            "until": lambda: pick.of([0.0, time.time() - 1, time.time() + 60]),
            "contains": lambda: pick.of(["QUEUED", "was added", "%"]),
        }
        return pick.some(options, 3)

    def expect(self, model: Model, payload: Payload) -> Expected:
        wrong = payload.get("type") in ("JobExploded", "") or payload.get("kind") == "dataset"
        return expected(["MS-107"] if wrong else [])

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        asked = {name: payload[name] for name in ("type", "kind", "resource_id") if payload.get(name) is not None}
        rows = [row for row in seen["events"].values() if all(row[name] == each for name, each in asked.items())]
        rows = [row for row in rows if payload.get("since", 0.0) <= row["at"] < payload.get("until", 1e12)]
        words, last = payload.get("contains", "").lower().split(), payload.get("last", False)
        rows = [row for row in rows if all(any(word in row[name].lower() for name in SEEN) for word in words)]
        limit, place = payload.get("limit", 500), payload.get("before", 10**10) if last else payload.get("after", 0)
        there = [row["id"] for row in rows if (row["id"] < place if last else row["id"] > place)]
        wanted = there[-limit:] if last else there[:limit]
        assert [row["id"] for row in value["events"]] == wanted, wanted
        assert value["has_more"] is (not last and len(there) > limit)
        assert value["has_before"] is (last and len(there) > limit)


SEEN = ("message", "type", "resource_id")  # where words are looked for


class OfJob(Look):
    """A query of a job, or of an evaluation of a batch."""

    def ask(self, pick: Picker) -> Payload:
        return {"id": pick.id("jobs", "evaluation_jobs")}

    def meant(self, model: Model, id: str) -> Row | None:
        """The job."""
        child = model.get("evaluation_jobs", id)
        return model.get("jobs", id) or (model.get("jobs", child["parent_job_id"]) if child else None)

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(code="" if self.meant(model, payload["id"]) else "not_found")


@looks("GetJobMetrics")
class GetJobMetrics(OfJob):
    """A job's numbers."""

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        job = self.meant(model, payload["id"])
        assert job is not None
        wanted = {(name, step): number for (id, name, step), (number, _) in model.metrics.items() if id == job["id"]}
        told = {
            (series["name"], step): number
            for series in value["series"]
            for step, number in zip(series["steps"], series["values"], strict=True)
        }
        assert (told, value["attempt"], value["offset"]) == (wanted, job["attempt"], job["accepted"])


@looks("GetJobLog")
class GetJobLog(OfJob):
    """A job's log: nobody writes one here."""

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        assert value["lines"] == []


@looks("GetEvaluationAnswers")
class GetEvaluationAnswers(Look):
    """The answers of a batch: nobody writes any here."""

    def ask(self, pick: Picker) -> Payload:
        return {"parent_job_id": pick.id("jobs", "evaluation_jobs")}

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(code="" if model.batch(payload["parent_job_id"]) else "not_found")

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        assert (value["rows"], value["total"]) == ([], 0)


@looks("GetEvaluationResults")
class GetEvaluationResults(Look):
    """The table of a batch: its combinations in order, and one of them as what the others are compared with."""

    def ask(self, pick: Picker) -> Payload:
        return {"parent_job_id": pick.id("jobs", "evaluation_jobs")}

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(code="" if model.batch(payload["parent_job_id"]) else "not_found")

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        rows = model.batch(payload["parent_job_id"])
        assert [each["id"] for each in value["results"]] == [row["id"] for row in rows]
        assert sum(each["baseline"] for each in value["results"]) == 1


@looks("GetDatasetSplitByAdapter")
class GetDatasetSplitByAdapter(Look):
    """How the adapter's own job split its dataset."""

    def ask(self, pick: Picker) -> Payload:
        return {"adapter_id": pick.id("adapters")}

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(code="" if model.get("adapters", payload["adapter_id"]) else "not_found")

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        job = model.get("fine_tuning_jobs", model.tables["adapters"][payload["adapter_id"]]["fine_tuning_job_id"])
        told = value["response"]
        wanted = (None, None, 0.9) if job is None else (job["id"], job["dataset_id"], job["train_test_split"] or 0.9)
        assert (told["fine_tuning_job_id"], told["dataset_id"], told["train_test_split"], told["seed"]) == (*wanted, 42)


@looks("ExportDatabase")
class ExportDatabase(Look):
    """All resources: answered, or written to a file that is imported later."""

    def ask(self, pick: Picker) -> Payload:
        options: dict[str, Callable[[], Any]] = {
            "path": lambda: pick.of(["export.json"], ["../x.json", "/etc/x.json", "folder", " ", "outside/x"]),
            "overwrite": lambda: True,
            "guide_columns": lambda: True,
        }
        payload = pick.some(options, 2)
        return {**payload, "guide_columns": False} if payload.get("path") == "export.json" else payload

    def expect(self, model: Model, payload: Payload) -> Expected:
        path = payload.get("path")
        there = path == "export.json" and model.exported is not None and not payload.get("overwrite")
        return expected(["DB-101"] if there or path not in (None, "export.json") else [])

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        told = {name: number for name, number in value["rows"].items() if name in TABLES}
        passing = ("plan", "endpoint", "comparison")  # of no use tomorrow, or elsewhere
        jobs = {id: row for id, row in model.tables["jobs"].items() if row["kind"] not in passing}
        tables = {**model.tables, "jobs": jobs}
        assert told == {name: len(tables[name]) for name in told}
        if payload.get("path"):
            model.exported = deepcopy(tables)
            for row in model.exported["evaluation_jobs"].values():
                row["status"] = row["status"] if row["status"] in ENDS else None


@looks("MatchAxolotlFormats")
class MatchAxolotlFormats(Look):
    """The format that fits a dataset."""

    def ask(self, pick: Picker) -> Payload:
        return {"dataset_id": pick.id("datasets")}

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected([] if model.get("datasets", payload["dataset_id"]) else ["FT-014"])

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        assert value["chosen"] == best_format(model, payload["dataset_id"])


@looks("GeneratePrompt")
class GeneratePrompt(Look):
    """A draft of a prompt: what AddPrompt takes."""

    def ask(self, pick: Picker) -> Payload:
        return {"dataset_id": pick.id("datasets"), **pick.some({"style": lambda: "poem"}, 12)}

    def expect(self, model: Model, payload: Payload) -> Expected:
        columns = model.columns(payload["dataset_id"])
        errors = {
            "PR-002": model.get("datasets", payload["dataset_id"]) is None,
            "PR-103": "style" in payload,
            "PR-104": model.get("datasets", payload["dataset_id"]) is not None
            and not columns
            and "style" not in payload,
        }
        return expected(rule for rule, broken in errors.items() if broken)

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        prompt = value["prompt"]
        assert not model.taken("prompts", prompt["name"]) and prompt["name"].strip()
        for field in ("prompt_template", "input_template", "completion_template"):
            assert set(named(prompt[field]) or ()) <= set(model.columns(payload["dataset_id"])), prompt


@looks("PreviewPrompt")
class PreviewPrompt(Look):
    """A row as the model will see it."""

    def ask(self, pick: Picker) -> Payload:
        return {"prompt_id": pick.id("prompts")}

    def expect(self, model: Model, payload: Payload) -> Expected:
        row = model.get("prompts", payload["prompt_id"])
        if row is None:
            return expected(["PR-105"])
        dataset = model.get("datasets", row["dataset_id"])
        lacking = dataset is not None and lacks(model, payload["prompt_id"], row["dataset_id"])
        shows = dataset is not None and dataset["_rows"]
        return expected([*([] if shows else ["PR-106"]), *(["PR-107"] if lacking else [])])

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        row = model.tables["prompts"][payload["prompt_id"]]
        for name in named(row["prompt_template"]) or ():
            assert str(value["values"][name]) in value["text"], value


@looks("CheckCommand")
class CheckCommand(Look):
    """Nothing of what it is asked about is done: the play goes on as if it had not been asked."""

    def ask(self, pick: Picker) -> Payload:
        payloads = [{"id": pick.id("datasets", "models")} for _ in range(2)]
        return {"name": pick.of(["RemoveDataset", "RemoveModel"], ["ListModels"]), "payloads": payloads}

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(["MS-104"] if payload["name"] == "ListModels" else [])

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        for told in value["checked"]:
            assert told["refused"] == any(each["severity"] == "ERROR" for each in told["breaches"])
