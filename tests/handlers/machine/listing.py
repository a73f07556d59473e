"""Lists: filters, pages, and one order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.handlers.machine.looking import Look, looks, same, shown
from tests.handlers.machine.model import ENDS, LINKS, ONES, Model, Row, Tables, age
from tests.handlers.machine.plays import Expected, Payload, Picker, expected
from tests.handlers.machine.values import NO_TYPES

ABOUT_CONFIGS = (("model_id", "models"), ("adapter_id", "adapters"), ("fine_tuning_job_id", "fine_tuning_jobs"))
STATUSES = ("queued", "assigned", "running", "pausing", "paused", "cancel_requested", *ENDS)


@looks("ListDatasets", "datasets", "name", {"type": "DS-001"})
@looks("ListModels", "models", "name", {"type": "MD-001", "family": ""})
@looks("ListPrompts", "prompts", "name", {"dataset_id": ""})
@looks(
    "ListAdapters", "adapters", "name", {"type": "AD-102", "model_id": "", "prompt_id": "", "fine_tuning_job_id": ""}
)
@looks("ListConfigs", "configs", "description", {"type": "CF-001", "model_family": "", "is_default": ""})
@looks(
    "ListFineTuningJobs",
    "fine_tuning_jobs",
    "name",
    {"status": "FT-125", "framework_type": "FT-001", "dataset_id": "", "base_model_id": ""},
)
@looks(
    "ListEvaluationJobs",
    "evaluation_jobs",
    "name",
    {"status": "EV-125", "parent_job_id": "", "adapter_id": "", "dataset_id": "", "base_model_id": ""},
)
@looks("ListExportJobs", "export_jobs", "", {"status": "EX-125", "adapter_id": "", "base_model_id": ""})
@looks("ListComparisons", "comparisons", "", {"status": "CP-125", "base_model_id": ""})
@looks("ListEndpoints", "endpoints", "name", {"status": "EP-125", "base_model_id": ""})
class List(Look):
    """A page, filtered; `filters` maps fields to the rule about values that can't be, empty where any is fine."""

    def __init__(self, table: str, named: str, filters: dict[str, str]) -> None:
        self.table, self.named, self.filters = table, named, filters

    def ask(self, pick: Picker) -> Payload:
        model = pick.model
        rows = [shown(model, self.table, id) for id in model.tables[self.table]]
        values = {name: [value for row in rows if (value := row.get(name)) not in (None, "")] for name in self.filters}
        options: dict[str, Callable[[], Any]] = {
            name: lambda name=name: self._value(pick, name, values[name]) for name in self.filters
        }
        options |= {"limit": lambda: pick.of([1, 2, 3, 1000]), "after": lambda: pick.id(self.table)}
        if self.named:
            options["name_contains"] = lambda: pick.of(
                ["A", "alpha", "%", "_", "É", "", "\x1b", "' OR 1=1 --", "TICKETS-"]
            )
        if self.table == "configs":
            options |= {"model_id": lambda: pick.id("models"), "adapter_id": lambda: pick.id("adapters")}
            options["fine_tuning_job_id"] = lambda: pick.id("fine_tuning_jobs")
        return pick.some(options, 3)

    def _value(self, pick: Picker, name: str, known: list[Any]) -> Any:
        if name == "is_default":
            return pick.of([True, False])
        if name == "status":
            return pick.of([*STATUSES], ["done", ""])
        return pick.of([*known, None], [*NO_TYPES] if self.filters[name] else ["gone", ""])

    def expect(self, model: Model, payload: Payload) -> Expected:
        wrong = {
            rule for name, rule in self.filters.items()
            if rule and payload.get(name) in (*NO_TYPES, "done") and payload.get(name) is not None
        }  # fmt: skip
        if wrong:
            return expected(wrong)
        if self.table == "configs" and any(
            payload.get(name) is not None and model.get(table, payload[name]) is None for name, table in ABOUT_CONFIGS
        ):
            return expected(code="not_found")
        if payload.get("after") is not None and not self._is_place(model, payload["after"]):
            return expected(["MS-105"])
        return expected()

    def _is_place(self, model: Model, id: str) -> bool:
        return model.get(self.table, id) is not None

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        wanted, more = self.page(model, payload)
        (told,) = (rows for rows in value.values() if isinstance(rows, list))
        assert ([row["id"] for row in told], value["has_more"]) == (wanted, more), (wanted, more)
        for row in told:
            same(row, shown(model, self.table, row["id"]))

    def page(self, model: Model, payload: Payload) -> tuple[list[str], bool]:
        """The ids of the page, and whether there are more."""
        ids = [id for id in self._ordered(model, payload) if self._wanted(model, payload, id)]
        if payload.get("after") is not None:
            place = self._place(model, payload, payload["after"])
            ids = [id for id in ids if self._place(model, payload, id) > place]
        limit = payload.get("limit", 100)
        return ids[:limit], len(ids) > limit

    def _ordered(self, model: Model, payload: Payload) -> list[str]:
        return sorted(model.tables[self.table], key=lambda id: self._place(model, payload, id))

    def _place(self, model: Model, payload: Payload, id: str) -> Any:
        """What the list is ordered by."""
        if self.table in ONES:
            return Newest(model.tables["jobs"][id])
        row = model.tables[self.table][id]
        if self.table == "evaluation_jobs":
            return (Newest(model.tables["jobs"][row["parent_job_id"]]), row["run_number"] or 0, id)
        return (not self._of_family(model, payload, row), *age(row))

    def _of_family(self, model: Model, payload: Payload, row: Row) -> bool:
        """Whether it is a default of the family of the model that the list of configs was asked for with (D-042)."""
        base = model.get("models", payload.get("model_id")) if self.table == "configs" else None
        family = None if base is None else base["family"]
        return family is not None and row["is_default"] == 1 and row["model_family"] == family

    def _wanted(self, model: Model, payload: Payload, id: str) -> bool:
        row, text = shown(model, self.table, id), (payload.get("name_contains") or "").lower()
        asked = {name: payload[name] for name in self.filters if payload.get(name) is not None}
        names = [row.get(self.named) or "", row.get("adapter_name") or ""]
        equal = all(
            int(value) == row[name] if name == "is_default" else row.get(name) == value for name, value in asked.items()
        )
        equal = equal and (self.table != "configs" or self._of_job(model, payload, id))
        return equal and (not text or any(text in name.lower() for name in names))

    @staticmethod
    def _of_job(model: Model, payload: Payload, id: str) -> bool:
        """Whether the jobs that the list of configs was asked for with were started with the config."""
        jobs = [payload["fine_tuning_job_id"]] if payload.get("fine_tuning_job_id") is not None else []
        if payload.get("adapter_id") is not None:
            jobs.append(model.tables["adapters"][payload["adapter_id"]]["fine_tuning_job_id"])
        columns = [name for name, target in LINKS["fine_tuning_jobs"].items() if target == "configs"]
        return all(
            (row := model.get("fine_tuning_jobs", job)) is not None and id in [row[name] for name in columns]
            for job in jobs
        )


class Newest:
    """A job's place in a list: the newest first."""

    def __init__(self, job: Row) -> None:
        self.at = (job["created_at"], job["id"])

    def __lt__(self, other: Newest) -> bool:
        return self.at > other.at

    def __gt__(self, other: Newest) -> bool:
        return self.at < other.at

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Newest) and self.at == other.at

    __hash__ = None  # type: ignore[assignment]


@looks("GetPromotion")
class GetPromotion(Look):
    """No play asks for a promotion (tests/handlers/test_promotion.py does): there is none."""

    def ask(self, pick: Picker) -> Payload:
        return {"id": pick.id("fine_tuning_jobs")}

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(code="not_found")


@looks("ListPromotions")
class ListPromotions(Look):
    """None of them, by whatever filter."""

    def ask(self, pick: Picker) -> Payload:
        options = {
            "name": lambda: pick.of(["tickets", ""]),
            "state": lambda: pick.of(["waiting", "kept"], ["done", ""]),
            "after": lambda: pick.id("fine_tuning_jobs"),
        }
        return pick.some(options, 2)

    def expect(self, model: Model, payload: Payload) -> Expected:
        if payload.get("state") in ("done", ""):
            return expected(["FT-151"])
        return expected(["MS-105"] if payload.get("after") is not None else [])

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        assert (value["promotions"], value["has_more"]) == ([], False)
