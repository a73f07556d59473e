"""What was: the log of messages, dead letters, and the queue as it was, against what the machine saw at each step."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from core.events import Event, fold_status
from core.masking import MASK
from core.types import JobStatus
from tests.handlers.machine.looking import Look, looks
from tests.handlers.machine.model import ENDS, HELD, Model, Row, Tables
from tests.handlers.machine.plays import Expected, Payload, Picker, Play, expected, plays

CONFIG = {"type": "lora_config", "config": '{"r": 8}'}
# What lies among the dead letters when the machine begins, and the rules that keep each from going out as it is.
LETTERS: dict[str, tuple[bytes, set[str]]] = {
    "1-0": (b'{"actor_name": "AddConfig", "kwargs": {"payload": %s}}' % json.dumps(CONFIG).encode(), set()),
    "2-0": (b"\xff{", {"DL-103"}),
    "3-0": (b'{"actor_name": "Explode", "kwargs": {"payload": {}}}', {"DL-103"}),
    "4-0": (b'{"actor_name": "AddConfig", "kwargs": {"payload": {"type": "tea", "config": "{}"}}}', {"CF-001"}),
    "5-0": (b'{"actor_name": "AddConfig", "kwargs": {"payload": {"tea": 1}}}', {"MS-102", "CF-001", "CF-002"}),
    "6-0": (b"[]", {"DL-103"}),
    "7-0": (b'{"actor_name": "ListDatasets", "kwargs": {"payload": {}}}', set()),
    "8-0": (b"", {"DL-103"}),
}
NAMES = ("AddConfig", "GetConfig", "ReportProgress")


def letter_id(pick: Picker) -> str:
    """A letter that there is, or was."""
    return pick.of(sorted(pick.model.letters), ["gone", "1-0", "99999999999999999999-0", "8-0"])


@plays("RequeueDeadLetter")
class RequeueDeadLetter(Play):
    """A letter goes out once; who asks again for the same hears the same."""

    def ask(self, pick: Picker) -> Payload:
        return {
            "id": letter_id(pick),
            **pick.some({"payload": lambda: pick.of([CONFIG, {**CONFIG, "type": "tea"}])}, 2),
            **pick.some({"name": lambda: pick.of(["AddConfig"], ["Explode"])}, 3),
        }

    def expect(self, model: Model, payload: Payload) -> Expected:
        wish = (payload.get("name"), json.dumps(payload.get("payload"), sort_keys=True))
        if payload.get("name") and payload.get("payload") is None:
            return expected({"DL-102"})
        if payload["id"] in model.requeued:
            return expected(code="" if model.requeued[payload["id"]] == wish else "conflict")
        if payload["id"] not in model.letters:
            return expected(code="not_found")
        return replace(expected(self._wrong(payload)), carried=True)

    @staticmethod
    def _wrong(payload: Payload) -> set[str]:
        """What stands against sending out what would go out."""
        raw, wrong = LETTERS[payload["id"]]
        if payload.get("payload") is None:
            return wrong
        name = payload.get("name") or _name(raw)
        if name not in ("AddConfig", "ListDatasets"):
            return {"DL-103"}
        if name == "ListDatasets":
            return {"MS-102", "DS-001"}
        return {"CF-001"} if payload["payload"]["type"] == "tea" else set()

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        if payload["id"] in model.requeued:
            return
        model.letters.remove(payload["id"])
        model.requeued[payload["id"]] = (payload.get("name"), json.dumps(payload.get("payload"), sort_keys=True))
        model.say("LetterRequeued", "letters", payload["id"])


def _name(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["actor_name"])
    except (ValueError, TypeError):
        return ""


@plays("DropDeadLetters")
class DropDeadLetters(Play):
    """What is there goes."""

    def ask(self, pick: Picker) -> Payload:
        return {"ids": [letter_id(pick) for _ in range(pick.count(2))]}

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(() if payload["ids"] else {"DL-101"})

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        ids = list(dict.fromkeys(payload["ids"]))
        there = [id for id in ids if id in model.letters]
        assert (value["dropped"], value["gone"]) == (len(there), len(ids) - len(there))
        model.letters -= set(there)
        if there:
            model.say("LettersDropped", "letters", there[0] if len(there) == 1 else "")


@looks("ListDeadLetters")
class ListDeadLetters(Look):
    """Those that are there, newest first."""

    def ask(self, pick: Picker) -> Payload:
        return pick.some({"limit": lambda: pick.of([1, 2, 100]), "contains": lambda: pick.of(["addconfig", "tea"])}, 2)

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected()

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        word = payload.get("contains", "").encode()
        wanted = [id for id in sorted(model.letters, reverse=True) if word in LETTERS[id][0].lower()]
        assert [each["id"] for each in value["letters"]] == wanted[: payload.get("limit", 100)]
        assert value["total"] == len(model.letters)
        assert value["has_more"] == (len(wanted) > payload.get("limit", 100))


@looks("GetDeadLetter")
class GetDeadLetter(Look):
    """One of them."""

    def ask(self, pick: Picker) -> Payload:
        return {"id": letter_id(pick)}

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(code="" if payload["id"] in model.letters else "not_found")

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        raw = LETTERS[payload["id"]][0]
        assert value["letter"]["raw"] == raw.decode("utf-8", "backslashreplace")
        assert value["letter"]["name"] == _name(raw)


@looks("ListMessages")
class ListMessages(Look):
    """The log of messages, newest first."""

    def ask(self, pick: Picker) -> Payload:
        options = {
            "limit": lambda: pick.of([1, 3, 100]),
            "name": lambda: pick.of([*NAMES, "AddDataset"]),
            "state": lambda: pick.of(["done", "refused", "not_found", "conflict"], ["fine"]),
            "sender": lambda: pick.of(["", "a@b"]),
            "after": lambda: pick.of(["1", "2", "5"], ["0", "9" * 30, "gone", str(2**31 - 1)]),
            "contains": lambda: pick.of(["Add", "KEY", "a%"]),
        }
        return pick.some(options, 3)

    def expect(self, model: Model, payload: Payload) -> Expected:
        if payload.get("state") == "fine":
            return expected({"MS-107"})
        after = payload.get("after")
        known = after is None or after in {str(number) for number in range(1, len(model.log) + 1)}
        return expected(() if known else {"MS-105"})

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        rows = sorted(seen["messages"].values(), key=lambda row: (-row["at"], -row["id"]))
        wanted = [row["id"] for row in rows if self._wanted(payload, row)]
        limit = payload.get("limit", 100)
        assert [each["id"] for each in value["messages"]] == [str(id) for id in wanted[:limit]]
        assert value["has_more"] == (len(wanted) > limit)

    def _wanted(self, payload: Payload, row: Row) -> bool:
        named = all(row[name] == payload[name] for name in ("name", "sender") if payload.get(name) is not None)
        state = payload.get("state") in (None, row["code"] or "done")
        shown = " ".join(str(row[name]) for name in ("name", "payload", "key", "message", "resource_id", "code"))
        words = payload.get("contains", "").lower() in shown.lower()
        return named and state and words and row["id"] < int(payload.get("after", 2**31))


@looks("GetMessage")
class GetMessage(Look):
    """One line of it."""

    def ask(self, pick: Picker) -> Payload:
        return {"id": pick.of(["1", "2", "3", "10"], ["0", "٣", "-1", "9" * 30, str(2**31 - 1)])}

    def expect(self, model: Model, payload: Payload) -> Expected:
        known = {str(number) for number in range(1, len(model.log) + 1)}
        return expected(code="" if payload["id"] in known else "not_found")

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        key, name, code, attempts, asked = model.log[int(payload["id"]) - 1]
        told = value["message"]
        assert (told["key"], told["name"], told["attempts"]) == (key, name, attempts)
        assert told["state"] == (code or "done")
        secret = isinstance(asked, dict) and bool(asked.get("key_sha256"))
        assert told["payload"] == ({**asked, "key_sha256": MASK} if secret else asked)
        assert (told["reply"] is None) == bool(code)


@looks("GetQueueAt")
class GetQueueAt(Look):
    """The queue as it was after any event: what the machine saw then in the rows, or the log folded by hand."""

    def ask(self, pick: Picker) -> Payload:
        seen = sorted(pick.model.history)
        if pick.careless and pick.chance(4):
            return {"at": 1.0, "event": 1}
        return {} if pick.chance(5) else {"event": pick.of(seen[-30:] if pick.chance(2) else seen), "limit": 1000}

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected({"TM-101"} if {"at", "event"} <= payload.keys() else ())

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        then, events = value["event"]["id"], sorted(seen["events"].values(), key=lambda row: row["id"])
        told = [job for part in ("queued", "held", "paused") for job in value[part]]
        assert {job["id"]: job["status"] for job in told} == self._folded(events, then)
        assert value["unknown"] == [] and value["complete"]
        now = max((event["at"] for event in events if event["id"] == then), default=0.0)
        if "event" in payload:
            self._compare(model.history[payload["event"]], told, [job["id"] for job in value["queued"]], now)
        neighbours = [event["id"] for event in events if _moves(event)]
        assert value["earlier"] == max((id for id in neighbours if id < then), default=None)
        assert value["later"] == min((id for id in neighbours if id > then), default=None)

    def _folded(self, events: Iterable[Row], then: int) -> dict[str, str]:
        """The unfinished jobs by the log alone."""
        states: dict[str, JobStatus] = {}
        plans = {row["resource_id"] for row in events if row["data"].get("kind") == "plan"}
        for row in events:
            if row["id"] <= then:
                fold_status(states, Event(prev=0, **row))
        return {id: state for id, state in states.items() if state not in ENDS and id not in plans}

    def _compare(self, rows: dict[str, Row], told: list[Row], queued: list[str], now: float) -> None:
        """The rows as they were after that event."""
        for job in told:
            row = rows[job["id"]]
            assert (job["priority"], job["attempt"], job["name"]) == (row["priority"], row["attempt"], row["name"])
            assert job["runner_id"] == row["runner_id"]
            assert (job["status"] in HELD) == (job["runner_id"] is not None)
        waiting = [row for row in rows.values() if row["status"] == "queued" and row["kind"] != "plan"]
        day = 86_400
        waiting.sort(
            key=lambda row: (-row["priority"] - max(0, now - row["queued_at"]) / day, row["queued_at"], row["id"])
        )
        assert queued == [row["id"] for row in waiting]


def _moves(event: Row) -> bool:
    """Whether an event changes what is shown of a moment."""
    data: Any = event["data"]
    of_runner = event["type"] in ("RunnerRegistered", "RunnerBack", "RunnerLost", "RunnerDraining")
    of_job = event["kind"] == "jobs" and ("status" in data or event["type"] == "JobPriorityChanged")
    return (of_job or of_runner) and data.get("kind") != "plan"
