"""One way for every request: done once a key, whole or not at all, and honest about what went wrong."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from actors.answering import answer
from actors.desk import Desk
from actors.handlers import HANDLERS
from actors.tables import inspect_file
from core.errors import Unavailable
from core.queue import stream
from core.store.session import as_of
from core.store.tables import Config, Dataset, EventRow, Inbox
from tests.handlers.crowd import count, together

LORA = {"type": "lora_config", "config": '{"r": 5}'}


def rules(reply: dict[str, Any]) -> list[str]:
    return [each["rule"] for each in reply["breaches"]]


def test_a_hundred_senders_with_one_key_have_one_effect_and_equal_replies(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    payload = {"type": "project_csv", "name": "tickets", "location": "t.csv"}
    replies = together(100, lambda _: answer(desk, "AddDataset", payload, "one"))
    assert replies[0]["ok"], replies[0]
    assert all(reply == replies[0] for reply in replies)
    assert count(desk, Dataset) == 1


def test_the_key_order_of_a_payload_makes_no_other_request(desk: Desk) -> None:
    first = answer(desk, "AddConfig", LORA, "k")
    assert answer(desk, "AddConfig", dict(reversed(LORA.items())), "k") == first


@pytest.mark.parametrize(
    ("name", "payload"), [("AddConfig", {**LORA, "config": '{"r": 6}'}), ("CancelJob", {"id": "x"})]
)
def test_a_key_used_for_something_else_is_a_conflict_that_changes_nothing(
    desk: Desk, name: str, payload: dict[str, Any]
) -> None:
    assert answer(desk, "AddConfig", LORA, "k")["ok"]
    before = count(desk, EventRow)
    reply = answer(desk, name, payload, "k")
    assert (reply["ok"], reply["code"]) == (False, "conflict")
    assert "AddConfig" in reply["message"]
    assert count(desk, EventRow) == before


def test_a_refusal_is_remembered_even_when_it_would_pass_today(desk: Desk, tmp_path: Path) -> None:
    payload = {"type": "project_csv", "name": "t", "location": "t.csv"}
    refused = answer(desk, "AddDataset", payload, "k")
    assert refused["code"] == "refused"
    assert rules(refused) == ["DS-003"]
    (tmp_path / "t.csv").write_text("a\n1\n")
    assert answer(desk, "AddDataset", payload, "k") == refused
    assert answer(desk, "AddDataset", payload, "k2")["ok"]


def test_all_breaches_come_at_once_slow_ones_too(desk: Desk) -> None:
    payload = {"type": "project_csv", "name": " ", "location": "missing.csv"}
    reply = answer(desk, "AddDataset", payload, "k")
    assert sorted(rules(reply)) == ["DS-003", "DS-102"]


def test_a_failure_of_the_studio_is_never_remembered_and_tells_no_secret(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("token hf_secret")

    with monkeypatch.context() as patch:
        patch.setitem(HANDLERS, "AddConfig", fails)
        reply = answer(desk, "AddConfig", LORA, "k")
    assert reply["code"] == "internal"
    assert "hf_secret" not in str(reply)
    assert "logs" in reply["message"]
    assert "hf_secret" in caplog.text
    assert count(desk, Inbox) == 0
    assert answer(desk, "AddConfig", LORA, "k")["ok"]


def test_what_was_unavailable_is_not_remembered(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> None:
        raise Unavailable("the registry is away")

    with monkeypatch.context() as patch:
        patch.setitem(HANDLERS, "AddConfig", away)
        assert answer(desk, "AddConfig", LORA, "k")["code"] == "unavailable"
    assert answer(desk, "AddConfig", LORA, "k")["ok"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_store_whose_disk_is_full_says_so_changes_nothing_and_takes_requests_again(desk: Desk) -> None:
    answer(desk, "AddConfig", LORA, "before")
    with desk.store.writer.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    large = {**LORA, "config": json.dumps({"r": 6, "target_modules": ["x" * 100_000]})}
    reply = answer(desk, "AddConfig", large, "k")
    assert reply["code"] == "unavailable" and "no room on its disk: nothing was changed" in reply["message"]
    assert answer(desk, "ListConfigs", {})["ok"]
    with desk.store.read() as session:
        assert session.get(Inbox, "k") is None
    with desk.store.writer.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    assert answer(desk, "AddConfig", large, "k")["ok"]


def test_a_store_that_cannot_be_used_is_unavailable(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: Any) -> None:
        raise OperationalError("BEGIN", {}, Exception("database is locked"))

    monkeypatch.setitem(HANDLERS, "ListConfigs", locked)
    assert answer(desk, "ListConfigs", {})["code"] == "unavailable"


def test_what_a_refusing_handler_did_before_is_undone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.errors import Conflict

    def half(message: Any, unit: Any, world: Any) -> None:
        unit.session.add(Config(id="half", created_at=0))
        unit.emit("ResourceAdded", "configs", "half")
        raise Conflict("not now")

    before = count(desk, EventRow)
    monkeypatch.setitem(HANDLERS, "AddConfig", half)
    assert answer(desk, "AddConfig", LORA, "k")["code"] == "conflict"
    assert count(desk, EventRow) == before
    with desk.store.read() as session:
        assert session.get(Config, "half") is None


def test_a_lost_race_for_a_name_gives_the_breach(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    payload = {"type": "project_csv", "name": "same", "location": "t.csv"}
    replies = together(8, lambda index: answer(desk, "AddDataset", payload, f"k{index}"))
    assert sum(reply["ok"] for reply in replies) == 1
    assert {tuple(rules(reply)) for reply in replies if not reply["ok"]} == {("DS-101",)}


def test_a_reply_tells_which_state_it_reflects(desk: Desk) -> None:
    added = answer(desk, "AddConfig", LORA, "k")
    with desk.store.read() as session:
        now = as_of(session)
    assert added["as_of"] == now.model_dump()
    assert answer(desk, "ListConfigs", {})["as_of"] == now.model_dump()


def test_events_are_on_the_stream_when_the_reply_comes_and_after_a_second_delivery(desk: Desk) -> None:
    added = answer(desk, "AddConfig", LORA, "k")
    at = added["as_of"]
    assert stream.top(desk.redis, desk.settings.namespace, at["epoch"]) == at["event"]
    desk.redis.delete(f"{desk.settings.namespace}:events:{at['epoch']}")
    answer(desk, "AddConfig", LORA, "k")
    assert stream.top(desk.redis, desk.settings.namespace, at["epoch"]) == at["event"]


def test_the_stream_has_every_event_in_order_without_a_gap(desk: Desk) -> None:
    with desk.store.read() as session:
        begun = as_of(session)
    desk.publish()

    def send(index: int) -> None:
        for number in range(5):
            answer(desk, "AddConfig", {"type": "custom", "config": f'{{"x": [{index}, {number}]}}'}, None)

    together(12, send)
    events, gap = stream.read_events(desk.redis, desk.settings.namespace, begun.epoch, begun.event)
    assert (len(events), gap) == (60, None)
    assert answer(desk, "ListConfigs", {})["as_of"] == {"epoch": begun.epoch, "event": events[-1]["id"]}


def test_no_write_lock_is_held_while_files_are_read(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    begun, go_on = threading.Event(), threading.Event()

    def slow(path: Path) -> Any:
        begun.set()
        assert go_on.wait(60)
        return inspect_file(path)

    monkeypatch.setattr("actors.datasets.inspect_file", slow)
    payload = {"type": "project_csv", "name": "t", "location": "t.csv"}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(answer, desk, "AddDataset", payload, "slow")
        assert begun.wait(60)
        assert answer(desk, "AddConfig", LORA, "meanwhile")["ok"]
        go_on.set()
        assert waiting.result()["ok"]


def test_values_that_no_database_holds_are_breaches(desk: Desk) -> None:
    big = answer(desk, "ListEvents", {"after": 2**63})
    nul = answer(desk, "AddConfig", {**LORA, "description": "a\0b"}, "k")
    assert (rules(big), rules(nul)) == (["MS-101"], ["MS-101"])
    assert answer(desk, "AddConfig", {**LORA, "description": r"a\u0000b"}, "k")["ok"]


def test_an_unknown_message_names_the_nearest_one(desk: Desk) -> None:
    reply = answer(desk, "AddDatset", {})
    assert rules(reply) == ["MS-104"]
    assert "AddDataset" in reply["message"]


@pytest.mark.parametrize("payload", [None, 7, [], "x", float("nan")])
def test_a_payload_that_is_no_object_is_a_breach(desk: Desk, payload: object) -> None:
    assert rules(answer(desk, "ListConfigs", payload)) == ["MS-101"]


def test_a_second_reader_sees_the_snapshot_of_its_as_of(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query's rows and its as_of are of one moment, even when something is written in between."""
    listing = HANDLERS["ListConfigs"]

    def list_while_writing(message: Any, session: Any, world: Any) -> Any:
        value = listing(message, session, world)
        with desk.store.write() as unit:
            unit.session.execute(text("DELETE FROM configs"))
            unit.emit("ResourceRemoved", "configs", "all")
        return value

    before = answer(desk, "ListConfigs", {})
    monkeypatch.setitem(HANDLERS, "ListConfigs", list_while_writing)
    during = answer(desk, "ListConfigs", {})
    assert during == before


def test_every_message_has_a_handler_or_is_not_shipped(desk: Desk) -> None:
    from core.messages import REGISTRY

    assert set(REGISTRY) == set(HANDLERS)
