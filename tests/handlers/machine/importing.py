"""Importing a file: every row has an outcome of its own (D-036, D-037, D-114)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import PurePath
from typing import Any

from tests.handlers.machine.adding import TEMPLATE_RULES, named
from tests.handlers.machine.model import ENDS, LINKS, Model, Row, Tables, free_name
from tests.handlers.machine.plays import Expected, Payload, Picker, Play, expected, plays
from tests.handlers.machine.starting import BEGINNING, SAYING_NOTHING
from tests.handlers.machine.values import (
    BASE_TEMPLATES,
    BY_TEXT,
    DATASET_TYPES,
    HUB_DATASETS,
    HUB_MODELS,
    MODEL_TYPES,
    NO_TEMPLATES,
    TEXTS,
)

TABLES = ("datasets", "models", "prompts", "adapters", "fine_tuning_jobs", "evaluation_jobs", "configs")
OTHER_NAMES = {"local": "project", "lora": "lora_config"}
HUB = {"datasets": "huggingface_name", "models": "huggingface_model_name", "adapters": "huggingface_name"}
ALIKE = {
    "datasets": ("huggingface_name", "config_name"),
    "models": ("huggingface_model_name",),
    "configs": ("type", "model_family", "_content"),
}
TAKEN_NAMES = ("alpha", "tiny", "imported", " alpha ", None, "")
INSIDE, OUTSIDE = "models/tiny", "/etc/passwd"
NO_FILES = ("nowhere.json", "../x.json", "ragged.csv", "notes.txt", "folder")
NO_EXPORTS = ("", "{", "[]", "17", '{"users": []}', '{"models": {"data": 3}}', "[" * 5000)


@plays("ImportDatabase")
class ImportDatabase(Play):
    """An import of a few rows, or of what was exported before."""

    def ask(self, pick: Picker) -> Payload:
        payload: Payload = {}
        if pick.model.exported is not None and pick.chance(2):
            payload["imported_json_path"] = "export.json"
        elif pick.careless and pick.chance(3):
            payload |= pick.of([{}, {"imported_json": "{}", "imported_json_path": "x"}, {"imported_json_path": " "}])
        elif pick.careless and pick.chance(3):
            given = pick.of([("imported_json_path", NO_FILES), ("imported_json", NO_EXPORTS)])
            payload[given[0]] = pick.of(given[1])
        else:
            payload["imported_json"] = json.dumps(self._file(pick))
        return payload | pick.some({"preview": lambda: True, "strict": lambda: True}, 4)

    def _file(self, pick: Picker) -> Payload:
        rows: dict[str, list[Any]] = {}
        for _ in range(1 + pick.count(5)):
            table = pick.of(TABLES)
            rows.setdefault(table, []).append(pick.of([self._row(pick, table)], [None, 17, {"id": []}, {"id": "\0"}]))
        return {**rows, "users; DROP TABLE models": []} if pick.chance(6) else dict(rows)

    def _row(self, pick: Picker, table: str) -> Row:
        model = pick.model
        row: Row = {"id": pick.of([f"{table[:-1]}-{number}" for number in range(4)], [*model.tables[table]])}
        if table in ("datasets", "models", "adapters"):
            kinds = DATASET_TYPES if table == "datasets" else MODEL_TYPES
            row |= {
                "type": pick.of([*kinds, "local", None], ["zip", ""]),
                "location": pick.of([None, INSIDE], [OUTSIDE]),
            }
        if table in ("datasets", "models"):
            row[HUB[table]] = pick.of([None, *(HUB_DATASETS if table == "datasets" else HUB_MODELS)])
        if table == "datasets":
            row["features"] = pick.of(['["q", "a"]', None], ["nonsense", "[1]", "{}"])
        if table == "prompts":
            good = [each for each in BASE_TEMPLATES if each]
            row |= {name: pick.of(good, [*NO_TEMPLATES, None]) for name in TEMPLATE_RULES}
        if table == "configs":
            text = pick.of([each for each in TEXTS if not each.errors], [each for each in TEXTS if each.errors])
            row |= {"type": text.kind, "config": text.text, "description": pick.of([None, "alpaca", "told"])}
            row["is_default"] = pick.of([0, 1, None])
        else:
            row |= {name: self._link(pick, target) for name, target in LINKS[table].items() if target != "configs"}
        if table in ("datasets", "models", "prompts", "adapters"):
            row["name"] = pick.of(TAKEN_NAMES)
        if table == "fine_tuning_jobs":
            row["adapter_name"] = pick.of(["tickets", None])
        if table == "evaluation_jobs":
            row |= {"parent_job_id": pick.of(["batch-1", "batch-2"], [None])}
            row |= {"status": pick.of([None, *ENDS, "running"], ["done"]), "run_number": pick.of([1, 2, None])}
        return row

    @staticmethod
    def _link(pick: Picker, target: str) -> Any:
        return pick.of(
            [None, *pick.model.tables[target], *(f"{target[:-1]}-{number}" for number in range(4))], ["gone"]
        )

    def expect(self, model: Model, payload: Payload) -> Expected:
        path, text = payload.get("imported_json_path"), payload.get("imported_json")
        if (path is None) == (text is None) or (text is None and not (path or "").strip()):
            unread = text is not None or bool((path or "").strip())
            return expected(["DB-102", *(["DB-103"] if unread and not readable(model, payload) else [])])
        if not readable(model, payload):
            return expected(["DB-103"])
        failed = any(outcome == "failed" for _, outcome in Import(model, payload).outcomes())
        return expected(["DB-106"] if payload.get("strict") and failed else [])

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        run = Import(model, payload)
        wanted = Counter(run.outcomes())
        told = Counter({(each["table"], name): each[name] for each in value["tables"] for name in ENDINGS})
        assert +told == wanted, f"wanted {wanted - told}, told {told - wanted}: {value['rows']}"
        assert value["preview"] is bool(payload.get("preview")), value
        if not value["preview"]:
            run.store(model, seen)
            model.say("DatabaseImported", "database", "")


ENDINGS = ("inserted", "mended", "skipped", "failed")


def readable(model: Model, payload: Payload) -> bool:
    """Whether there are tables of rows; the text is looked at before the file."""
    if payload.get("imported_json") is not None:
        return payload["imported_json"] not in (*NO_EXPORTS, "{}")
    return payload["imported_json_path"] == "export.json" and model.exported is not None


class Import:
    """What an import comes to: rows first, then their links, so that the order of a file does not matter."""

    def __init__(self, model: Model, payload: Payload) -> None:
        self.model = model
        self.own = payload.get("imported_json") is None  # what the studio exported: nothing of it is unknown
        self.file: dict[str, list[Any]] = (
            {name: [*rows.values()] for name, rows in (model.exported or {}).items()}
            if self.own
            else json.loads(payload["imported_json"])
        )
        self.rows: dict[str, dict[str, Row]] = {table: {} for table in TABLES}  # what is stored
        self.meant: dict[tuple[str, str], str] = {}
        self.ends: list[tuple[str, str]] = []
        self.links: list[tuple[int, str, Row]] = []

    def outcomes(self) -> list[tuple[str, str]]:
        """(table, outcome) of every row."""
        if not self.ends:
            for table in TABLES:
                for row in self.file.get(table, ()):
                    self.ends.append((table, self._row(table, row)))
            for place, table, row in self.links:
                if self._link(table, row):
                    self.ends[place] = (table, "mended")
        return self.ends

    def _there(self, table: str) -> dict[str, Row]:
        return {**self.model.tables[table], **self.rows[table]}

    def _row(self, table: str, given: Any) -> str:
        if not isinstance(given, dict) or not isinstance(given["id"], str) or given["id"] == "\0":
            return "failed"
        row, id = dict(given), given["id"]
        if id in self._there(table):
            self.meant[table, id] = id
            return "skipped"
        mended = [] if self.own else fitted(table, row)
        if mended is None:
            return "failed"
        if (same := self._same(table, row)) is not None:
            self.meant[table, id] = same
            return "skipped"
        if table == "prompts" and not self._nameable(row):
            return "failed"
        if table in ("datasets", "models", "prompts", "adapters"):
            name = free_name([each["name"] for each in self._there(table).values()], row["name"])
            mended += [] if name == row["name"] else ["name"]
            row["name"] = name
        self.rows[table][id] = row
        self.meant[table, id] = id
        self.links.append((len(self.ends), table, row))
        return "mended" if mended else "inserted"

    def _same(self, table: str, row: Row) -> str | None:
        names = ALIKE.get(table, ())
        if not names or not row.get(names[0]):
            return None
        rows = self._there(table).values()
        return next((each["id"] for each in rows if all(each[name] == row[name] for name in names)), None)

    def _nameable(self, row: Row) -> bool:
        wanted = row["dataset_id"] or ""
        dataset = self._there("datasets").get(self.meant.get(("datasets", wanted), wanted))
        if dataset is None or not dataset["_columns"]:
            return True
        return all(set(named(row[name] or "") or ()) <= set(dataset["_columns"]) for name in TEMPLATE_RULES)

    def _link(self, table: str, row: Row) -> bool:
        """Let links lead to what they mean here; tell whether one leads elsewhere now, or nowhere."""
        mended = False
        for name, target in {
            **LINKS[table],
            **({"comparison_adapter_id": "adapters"} if table == "evaluation_jobs" else {}),
        }.items():
            if wanted := row.get(name):
                here = self.meant.get((target, wanted), wanted if wanted in self._there(target) else None)
                mended = mended or here != wanted
                row[name] = here
            else:
                row[name] = None
        return mended

    def store(self, model: Model, seen: Tables) -> None:
        """Put the rows in, and beside jobs how they stood."""
        for table in TABLES:
            for id, row in self.rows[table].items():
                model.put(table, id, **{name: value for name, value in row.items() if name != "id"})
                if not table.endswith("_jobs"):
                    model.say("ResourceAdded", table, id)
        for id, row in self.rows["fine_tuning_jobs"].items():
            trained = bool(model.find("adapters", fine_tuning_job_id=id))
            self._job(model, id, "fine_tuning", "succeeded" if trained else "cancelled", row, seen)
        for id in dict.fromkeys(row["parent_job_id"] for row in self.rows["evaluation_jobs"].values()):
            batch = model.batch(id)
            scored = all(row["status"] == "succeeded" for row in batch)
            self._job(model, id, "evaluation", "succeeded" if scored else "cancelled", {}, seen)

    def _job(self, model: Model, id: str, kind: str, status: str, row: Row, seen: Tables) -> None:
        if model.get("jobs", id) is not None:
            return
        stood = (model.exported or {}).get("jobs", {}).get(id) if self.own else None
        if stood is not None:
            status = stood["status"] if stood["status"] in ENDS else "cancelled"
        told = seen["jobs"][id]
        if stood is None and row.get("adapter_name"):
            assert told["name"] == row["adapter_name"], told
        names = ("name", "description", "engine", "priority", "cpus", "gpus", "memory", "workers", "created_at")
        state = {"status": status, "queued_at": told["queued_at"], **BEGINNING}
        if stood is not None:
            assert all(told[name] == stood[name] for name in names[:4]), (told, stood)
        model.put(
            "jobs", id, kind=kind, **{name: told[name] for name in names}, **state, **{**SAYING_NOTHING, "_spec": False}
        )
        model.say("JobImported", "jobs", id)


def fitted(table: str, row: Row) -> list[str] | None:
    """Complete a row of a file; what was mended, or None when it can't be stored."""
    mended: list[str] = []
    if not table.endswith("_jobs"):
        row["created_at"] = None
    if table in HUB:
        kinds = DATASET_TYPES if table == "datasets" else MODEL_TYPES
        if row["type"] is None:
            row["type"] = "huggingface" if row.get(HUB[table]) else "project"
            mended.append("type")
        elif row["type"] in OTHER_NAMES:
            row["type"] = OTHER_NAMES[row["type"]]
            mended.append("type")
        if row["type"] not in kinds:
            return None
        row |= {"_outside": row["location"] == OUTSIDE, "_place": row["location"], "description": None}
        row.setdefault(HUB[table], None)
    if table == "datasets":
        columns = {'["q", "a"]': ("q", "a")}.get(row["features"] or "", ())
        mended += [] if columns or row["features"] is None else ["features"]
        row |= {"_columns": columns, "_rows": False, "config_name": ""}
        del row["features"]
    if table == "prompts" and any(
        row[name] in NO_TEMPLATES or (row[name] is None and name == "prompt_template") for name in TEMPLATE_RULES
    ):
        return None
    if table == "prompts":
        row |= {"description": None, "type": None}
    if "name" in row and row["name"] != (row["name"] or "").strip():
        row["name"] = (row["name"] or "").strip() or None
        mended += ["name"] if row["name"] else []
    if "name" in row and not row["name"]:
        row["name"] = row.get(HUB.get(table, "")) or PurePath(row.get("location") or "").name or row["id"]
        mended.append("name")
    if table == "models":
        row |= {"family": None, "cml_registered_model_id": None}
    if table == "adapters":
        row["cml_registered_model_id"] = None
    if table == "configs":
        return config(row)
    if table == "fine_tuning_jobs":
        row |= {"out_dir": None, "auto_add_adapter": None, "train_test_split": None, "method": None}
        row |= {"chat_template": None, "eval_split": None}
    if table == "evaluation_jobs":
        mended += evaluation(row) or []
        return mended if row["status"] != "done" else None
    return mended


def config(row: Row) -> list[str] | None:
    """The same for a config: what its text holds is compared with what is there."""
    mended = []
    kind, text = row["type"], BY_TEXT[row["type"], row["config"]]
    if kind in OTHER_NAMES:
        mended.append("type")
    if "CF-001" in text.errors or text.unread:
        return None
    row |= {"model_family": None, "_content": text.content, "_text": text, "is_default": row["is_default"] or 0}
    del row["config"]
    return mended


def evaluation(row: Row) -> list[str]:
    """The same for an evaluation: what was unfinished elsewhere is of unknown end here."""
    mended = []
    if row["status"] == "running":
        row["status"] = None
        mended.append("status")
    if not row["parent_job_id"]:
        row["parent_job_id"] = row["id"]
        mended.append("parent_job_id")
    row["comparison_adapter_id"] = None
    return mended
