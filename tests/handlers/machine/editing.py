"""Changing names and descriptions."""

from __future__ import annotations

from dataclasses import dataclass

from tests.handlers.machine.model import Model, Row, Tables
from tests.handlers.machine.plays import Expected, Payload, Picker, Play, blank, expected, plays, too_long
from tests.handlers.machine.values import ADAPTER_NAMES, BLANK, DESCRIPTIONS, NAMES


@dataclass(frozen=True)
class Kind:
    """What is edited: its table, and the rules about nothing to change, blank names and names twice."""

    table: str
    nothing: str
    blank: str
    twice: str = ""


KINDS = {
    "EditDataset": Kind("datasets", "DS-123", "DS-102", "DS-101"),
    "EditModel": Kind("models", "MD-123", "MD-102", "MD-101"),
    "EditAdapter": Kind("adapters", "AD-123", "AD-001", "AD-001"),
    "EditPrompt": Kind("prompts", "PR-123", "PR-001", "PR-001"),
    "EditConfig": Kind("configs", "CF-123", ""),
    "EditFineTuningJob": Kind("fine_tuning_jobs", "FT-123", "FT-124"),
    "EditEvaluationJob": Kind("evaluation_jobs", "EV-123", "EV-124"),
}


@plays(*KINDS)
@dataclass(frozen=True)
class Edit(Play):
    """An edit of a resource, or of a job."""

    name: str

    @property
    def kind(self) -> Kind:
        """What is edited."""
        return KINDS[self.name]

    def ask(self, pick: Picker) -> Payload:
        table = self.kind.table
        tables = ("evaluation_jobs", "jobs") if table == "evaluation_jobs" else (table,)
        payload: Payload = {"id": pick.id(*tables)}
        if table == "configs" or pick.chance(2):
            payload["description"] = pick.of([*DESCRIPTIONS[1:]], [None])
        if table != "configs" and ("description" not in payload or pick.chance(2)):
            payload["name"] = self._name(pick)
        return payload

    def _name(self, pick: Picker) -> str | None:
        good: list[str] = [*NAMES, *ADAPTER_NAMES, *self._hostile(pick.model)]
        named = self.kind.table if self.kind.twice else "jobs"
        return pick.name(named, good, [*BLANK, None], one_in=2)  # type: ignore[no-any-return]

    def _hostile(self, model: Model) -> list[str]:
        """Names that adapters of running jobs will want."""
        jobs = [row for row in model.tables["fine_tuning_jobs"].values() if model.unfinished(row["id"])]
        return [f"{row['adapter_name']}-{row['id'][:8]}" for row in jobs] if self.kind.table == "adapters" else []

    def expect(self, model: Model, payload: Payload) -> Expected:
        kind, name, description = self.kind, payload.get("name"), payload.get("description")
        if too_long(name):
            return expected(["MS-101"])
        errors = {
            kind.nothing: name is None and description is None,
            kind.blank: name is not None and blank(name),
        }
        if kind.twice and name is not None and model.taken(kind.table, name, but=payload["id"]):
            errors[kind.twice] = True
        there = self._row(model, payload["id"]) is not None
        return expected((rule for rule, broken in errors.items() if broken), code="" if there else "not_found")

    def _row(self, model: Model, id: str) -> tuple[str, Row] | None:
        """The row that is changed, and its table: of jobs their state's."""
        table = self.kind.table
        if table == "evaluation_jobs":
            one = model.get(table, id)
            id = id if one is None else one["parent_job_id"]
        wanted = {"fine_tuning_jobs": "fine_tuning", "evaluation_jobs": "evaluation"}.get(table)
        row = model.get("jobs" if wanted else table, id)
        return None if row is None or (wanted and row["kind"] != wanted) else ("jobs" if wanted else table, row)

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        found = self._row(model, payload["id"])
        assert found is not None
        table, row = found
        changed = {}
        if payload.get("name") is not None:
            changed["name"] = payload["name"].strip()
        if payload.get("description") is not None:
            changed["description"] = None if blank(payload["description"]) else payload["description"]
        if any(row[name] != changed[name] for name in changed):
            model.change(table, row["id"], **changed)
            model.say("ResourceChanged", table, row["id"])
