"""The queries that look at many things at once, or at files: the overview, notifications, rows before they are added."""

from __future__ import annotations

from collections import Counter

from tests.handlers.machine.looking import Look, looks
from tests.handlers.machine.model import ENDS, Model, Tables
from tests.handlers.machine.plays import Expected, Payload, Picker, Play, expected, plays
from tests.handlers.machine.values import FILES, SUFFIXES


@looks("GetOverview")
class GetOverview(Look):
    """All at a glance: rows are counted, and jobs that are not over."""

    def ask(self, pick: Picker) -> Payload:
        return {"events": pick.of([0, 20])}

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected()

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        known = {name: len(rows) for name, rows in model.tables.items() if name in value["resources"]}
        assert known and {name: value["resources"][name] for name in known} == known
        told = {(each["kind"], each["status"]): each["count"] for each in value["jobs"] if each["kind"] != "plan"}
        jobs = [row for row in model.tables["jobs"].values() if row["kind"] != "plan" and row["status"] not in ENDS]
        assert told == Counter((row["kind"], row["status"]) for row in jobs)
        assert value["runner_count"] == len(model.tables["runners"])


@looks("ListNotifications")
class ListNotifications(Look):
    """Nobody is to be told anything here."""

    def ask(self, pick: Picker) -> Payload:
        return pick.some({"state": lambda: pick.of(["waiting"], ["lost"]), "job_id": lambda: pick.id("jobs")}, 2)

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(["NT-101"] if payload.get("state") == "lost" else [])

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        assert value["notifications"] == []


@looks("GetWorkbench")
class GetWorkbench(Look):
    """Nothing outside a workbench. In one, whose API has no address here, what could not be asked for and why."""

    def ask(self, pick: Picker) -> Payload:
        names = {name: lambda: pick.of([["a"], []], [["a"] * 1001]) for name in ("jobs", "experiments")}
        return pick.some(names, 2)

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(["MS-101"] if any(len(names) > 1000 for names in payload.values()) else [])

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        assert (value["on"], value["project_id"]) == ((True, "1") if model.cloudera else (False, None))
        assert bool(value["away"]) == model.cloudera
        assert not any(value[name] for name in ("pages", "cluster", "accelerators", "jobs", "experiments", "at"))


@looks("ListFiles")
class ListFiles(Look):
    """The project's files that a path may become."""

    def ask(self, pick: Picker) -> Payload:
        return {"beginning": pick.of(["", "rows", "sub dir/", "nothing"], ["/etc/", "../"])}

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(["DS-104"] if payload["beginning"] in ("/etc/", "../") else [])

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        told = {each["path"] for each in value["files"]}
        assert all(each.startswith(payload["beginning"]) for each in told)
        here = {name for name in FILES if name.startswith(payload["beginning"]) and name.count("/") == 0}
        assert here <= told or payload["beginning"] == "sub dir/"


@looks("PreviewDataset")
class PreviewDataset(Look):
    """Rows of a file, added or not: it has the columns that the file has."""

    def ask(self, pick: Picker) -> Payload:
        kind = pick.of([*SUFFIXES])
        return {"type": kind, "location": pick.of([each for each in FILES if each.lower().endswith(SUFFIXES[kind])])}

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected()

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        assert set(value["columns"]) == set(FILES[payload["location"]]) and value["rows"]


@plays("RetryNotifications")
class RetryNotifications(Play):
    """There is none: all of them are none, and no id is one."""

    def ask(self, pick: Picker) -> Payload:
        return pick.some({"id": lambda: pick.id("jobs")}, 2)

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(code="not_found" if payload.get("id") is not None else "")

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        assert value["ids"] == []


@plays("TestNotifications")
class TryNotifications(Play):
    """Nobody would hear it."""

    def ask(self, pick: Picker) -> Payload:
        return {}

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(["NT-102"])

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        raise AssertionError("nobody is told here")
