"""Removing resources and jobs, with what hangs on them, and their files when asked."""

from __future__ import annotations

from pathlib import Path

from tests.handlers.machine.model import ONES, Model, Row, Tables
from tests.handlers.machine.plays import Expected, Payload, Picker, Play, expected, plays


class Removal(Play):
    """What removals have in common: what is not there was not removed."""

    table: str

    def ask(self, pick: Picker) -> Payload:
        return {"id": pick.linked(self.table)}

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected()

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        row = model.get(self.table, payload["id"])
        self.gone(model, value, [] if row is None else [(self.table, row)])

    def gone(self, model: Model, value: Payload, rows: list[tuple[str, Row]]) -> None:
        """The rows went: the reply names them all, the one that was asked for last."""
        told = [(each["kind"], each["id"]) for each in value["resources"]]
        wanted = [("jobs" if table in ONES else table, row["id"]) for table, row in rows]
        assert value["removed"] is bool(rows), value
        assert sorted(told) == sorted(wanted) and told[-1:] == wanted[-1:], (told, wanted)
        for table, row in rows:
            model.drop(table, row["id"])
        for kind, id in wanted:
            model.say("ResourceRemoved", kind, id)


@plays("RemoveDataset")
class RemoveDataset(Removal):
    """A dataset, with its prompts when asked."""

    table = "datasets"

    def ask(self, pick: Picker) -> Payload:
        flags = {"remove_prompts": lambda: True, "cascade": lambda: True}
        return super().ask(pick) | pick.some(flags, 2)

    def expect(self, model: Model, payload: Payload) -> Expected:
        prompts = model.find("prompts", dataset_id=payload["id"])
        whole = payload.get("remove_prompts") or payload.get("cascade")
        errors = {
            "DS-121": model.used("datasets", [payload["id"]]),
            "DS-122": bool(prompts) and not whole,
            "PR-121": bool(whole) and model.used("prompts", prompts),
        }
        return expected(rule for rule, broken in errors.items() if broken)

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        row = model.get("datasets", payload["id"])
        prompts = [("prompts", model.tables["prompts"][id]) for id in model.find("prompts", dataset_id=payload["id"])]
        self.gone(model, value, [] if row is None else [*prompts, ("datasets", row)])


@plays("RemoveModel")
class RemoveModel(Removal):
    """A model, with its adapters when asked."""

    table = "models"

    def ask(self, pick: Picker) -> Payload:
        return super().ask(pick) | pick.some({"cascade": lambda: True}, 2)

    def expect(self, model: Model, payload: Payload) -> Expected:
        adapters = model.find("adapters", model_id=payload["id"])
        errors = {
            "MD-121": model.used("models", [payload["id"]]),
            "MD-122": bool(adapters) and not payload.get("cascade"),
            "AD-121": bool(payload.get("cascade")) and model.used("adapters", adapters),
        }
        return expected(rule for rule, broken in errors.items() if broken)

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        row = model.get("models", payload["id"])
        adapters = [("adapters", model.tables["adapters"][id]) for id in model.find("adapters", model_id=payload["id"])]
        self.gone(model, value, [] if row is None else [*adapters, ("models", row)])


@plays("RemovePrompt")
class RemovePrompt(Removal):
    """A prompt; adapters that were trained with it lose the link."""

    table = "prompts"

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(["PR-121"] if model.used("prompts", [payload["id"]]) else [])


@plays("RemoveConfig")
class RemoveConfig(Removal):
    """A config; a shipped one may come back."""

    table = "configs"

    def expect(self, model: Model, payload: Payload) -> Expected:
        row = model.get("configs", payload["id"])
        return expected(notes=["CF-121"] if row is not None and row["is_default"] else [])


@plays("RemoveAdapter")
class RemoveAdapter(Removal):
    """An adapter, with its directory when that is the studio's and nobody else's."""

    table = "adapters"

    def ask(self, pick: Picker) -> Payload:
        return super().ask(pick) | pick.some({"remove_files": lambda: True}, 2)

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(["AD-121"] if model.used("adapters", [payload["id"]]) else [])

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        row = model.get("adapters", payload["id"])
        ours = row is not None and row["_made"] in model.made and self._studios(model, row)
        ours = ours and row["_made"] not in pointed(model, but=row["id"])  # type: ignore[index]
        super().do(model, payload, value, seen)
        freed(model, value, [row["_made"]] if row is not None and ours and payload.get("remove_files") else [])

    @staticmethod
    def _studios(model: Model, row: Row) -> bool:
        """Whether the directory is the studio's to remove: among all adapters, or where its own job was told to put it."""
        return "/data/adapters/" in row["_made"] or row["fine_tuning_job_id"] is not None


@plays("RemoveFineTuningJob")
class RemoveFineTuningJob(Removal):
    """A job that is over; its adapter stays, with its files."""

    table = "fine_tuning_jobs"

    def ask(self, pick: Picker) -> Payload:
        return super().ask(pick) | pick.some({"remove_files": lambda: True}, 2)

    def expect(self, model: Model, payload: Payload) -> Expected:
        running = model.kind(payload["id"]) == "fine_tuning" and model.unfinished(payload["id"])
        return expected(["FT-107"] if running else [])

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        id = payload["id"]
        super().do(model, payload, value, seen)
        if value["removed"]:
            model.drop("jobs", id)
            model.forget(id)
        left = [path for path in model.made if Path(path).parent.name == id and path not in pointed(model)]
        freed(model, value, left if payload.get("remove_files") and value["removed"] else [])


@plays("RemoveEvaluationJob")
class RemoveEvaluationJob(Removal):
    """A batch that is over, or one evaluation of it; the batch goes with its last one."""

    table = "evaluation_jobs"

    def ask(self, pick: Picker) -> Payload:
        return {"id": pick.id("evaluation_jobs", "jobs")} | pick.some({"remove_files": lambda: True}, 2)

    @staticmethod
    def parent(model: Model, id: str) -> str:
        """The batch that is meant."""
        one = model.get("evaluation_jobs", id)
        return id if one is None else str(one["parent_job_id"])

    def expect(self, model: Model, payload: Payload) -> Expected:
        parent = self.parent(model, payload["id"])
        return expected(["EV-121"] if model.kind(parent) == "evaluation" and model.unfinished(parent) else [])

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        parent, one = self.parent(model, payload["id"]), model.get("evaluation_jobs", payload["id"])
        batch = model.batch(parent) if model.kind(parent) == "evaluation" else []
        rows = [("evaluation_jobs", row) for row in batch if one is None or row is one]
        if rows and len(rows) == len(batch):
            rows.append(("jobs", model.tables["jobs"][parent]))
            model.forget(parent)
        self.gone(model, value, rows)


def pointed(model: Model, but: str = "") -> set[str]:
    """Where adapters and models lie, but the one of that id."""
    rows = [*model.tables["adapters"].values(), *model.tables["models"].values()]
    return {row["_place"] for row in rows if row["id"] != but and row["_place"] is not None}


def freed(model: Model, value: Payload, paths: list[str]) -> None:
    """Those directories went, and no others."""
    assert sorted(value["paths"]) == sorted(paths), (value, paths)
    model.made -= set(paths)
    assert {path for path in (*paths, *model.made) if Path(path).is_dir()} == model.made
