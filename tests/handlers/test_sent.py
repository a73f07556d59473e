"""The log of messages: every outcome of a command, by whom, without the secrets in it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from actors.answering import answer
from actors.desk import Desk
from actors.ticking import retain
from core.masking import MASK
from core.store.sent import LONGEST, Sent
from tests.handlers.work import add_inputs, start

CONFIG = {"type": "lora_config", "config": '{"r": 8}'}


def sent() -> Sent:
    """As a command comes now."""
    return Sent("maria@gpu1", "fts", 1.0)


def lines(desk: Desk, **fields: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer(desk, "ListMessages", fields)["value"]["messages"]
    return found


def line(desk: Desk, id: str) -> dict[str, Any]:
    found: dict[str, Any] = answer(desk, "GetMessage", {"id": id})["value"]["message"]
    return found


def test_what_was_done_tells_who_sent_it_what_it_was_about_and_what_was_answered(desk: Desk) -> None:
    began = time.time()
    reply = answer(desk, "AddConfig", CONFIG, "k", sent())
    [told] = lines(desk)
    assert (told["name"], told["key"], told["state"]) == ("AddConfig", "k", "done")
    assert (told["sender"], told["program"], told["sent_at"]) == ("maria@gpu1", "fts", 1.0)
    assert began - 60 < told["at"] and 0 <= told["seconds"] < 60
    assert (told["kind"], told["resource_id"]) == ("configs", reply["value"]["config"]["id"])
    whole = line(desk, told["id"])
    assert whole["payload"] == CONFIG and whole["reply"] == reply["value"] and whole["attempts"] == 1


def test_refusals_conflicts_and_faults_are_told_with_their_breaches_and_what_only_asks_is_not(desk: Desk) -> None:
    answer(desk, "ListConfigs", {}, "q", sent())
    answer(desk, "AddConfig", {**CONFIG, "type": "tea"}, "a", sent())
    answer(desk, "AddConfig", {"tea": 1}, "b", sent())
    answer(desk, "CancelJob", {"id": "gone"}, "c", sent())
    answer(desk, "AddConfig", CONFIG, "a", sent())
    assert [(each["key"], each["state"]) for each in lines(desk)] == [
        ("a", "conflict"),
        ("c", "not_found"),
        ("b", "refused"),
        ("a", "refused"),
    ]
    assert line(desk, lines(desk, key="b")[0]["id"])["breaches"][0]["rule"] == "MS-102"
    assert lines(desk, name="CancelJob")[0]["resource_id"] == "gone"


def test_a_second_delivery_is_counted_and_not_told_twice(desk: Desk) -> None:
    for _ in range(3):
        answer(desk, "AddConfig", CONFIG, "k", sent())
    assert [(each["state"], each["attempts"]) for each in lines(desk)] == [("done", 3)]
    answer(desk, "AddConfig", {**CONFIG, "config": '{"r": 9}'}, "again", Sent(deliveries=2))
    assert lines(desk, key="again")[0]["attempts"] == 3


def test_a_page_begins_after_an_id_or_lies_around_one_on_any_database(desk: Desk) -> None:
    for key in "abc":
        answer(desk, "CancelJob", {"id": "gone"}, key, sent())
    ids = [each["id"] for each in lines(desk)]
    assert [each["id"] for each in lines(desk, after=ids[0])] == ids[1:]
    assert [each["id"] for each in lines(desk, around=ids[1], limit=3)] == ids
    for place in ({"around": "@W10="}, {"after": "0"}, {"around": "0"}):
        assert answer(desk, "ListMessages", place)["breaches"][0]["rule"] == "MS-105"


def test_a_refused_payload_of_any_depth_is_shown(desk: Desk) -> None:
    for depth in (110, 300):
        nested: Any = 1
        for _ in range(depth):
            nested = {"a": nested}
        answer(desk, "AddConfig", {"deep": nested}, f"k{depth}", sent())
        [told] = lines(desk, key=f"k{depth}")
        assert "…" in json.dumps(line(desk, told["id"])["payload"], ensure_ascii=False)


def test_a_second_delivery_of_what_is_slow_is_counted_too(desk: Desk) -> None:
    (desk.settings.roots[0] / "t.csv").write_text("a\n1\n")
    payload = {"type": "project_csv", "name": "t", "location": "t.csv"}
    for _ in range(2):
        assert answer(desk, "AddDataset", payload, "k", sent())["ok"]
    assert [each["attempts"] for each in lines(desk)] == [2]


def test_the_log_is_filtered_ordered_and_paged(desk: Desk) -> None:
    for n in range(5):
        answer(desk, "AddConfig", {**CONFIG, "config": f'{{"r": {n + 1}}}'}, f"k{n}", Sent(f"user{n % 2}@a"))
    assert [each["key"] for each in lines(desk, sender="user1@a")] == ["k3", "k1"]
    assert [each["key"] for each in lines(desk, contains=r"\"r\": 4}")] == ["k3"]
    first = answer(desk, "ListMessages", {"limit": 2, "counts": True})["value"]
    assert (first["has_more"], first["total"]) == (True, 5)
    rest = answer(desk, "ListMessages", {"after": first["ends"]})["value"]["messages"]
    assert [each["key"] for each in rest] == ["k2", "k1", "k0"]
    assert [each["sender"] for each in lines(desk, order="sender", limit=1, descending=True)] == ["user1@a"]
    assert lines(desk, until=time.time() - 60) == [] == lines(desk, since=time.time() + 60)


CANARY = "Canary1234567890abcdef"
SECRETS: dict[str, Any] = {
    "by what it looks like": {"description": f"use hf_{CANARY}"},
    "an endpoint's key": {"description": f"curl -H 'Authorization: Bearer fts-{CANARY}'"},
    "in a URL": {"description": f"https://maria:{CANARY}@example.org/x"},
    "by its name in JSON": {"config": json.dumps({"hub_token": CANARY, "r": 8})},
    "by its name in YAML": {"config": f"wandb_api_key: {CANARY}\nr: 8\n"},
    "by the field's name": {"api_key": CANARY},
    "deep in it": {"config": [{"auth": {"password": CANARY}}]},
    "in a name": {f"hf_{CANARY}": 1},
    "by its value": {"description": "it is S3cretOfTheSettings, don't tell"},
    "a password of the settings": {"description": "PgPassw0rd"},
}


def test_no_secret_that_a_payload_carries_is_in_the_log(desk: Desk) -> None:
    desk.settings.hub_token = SecretStr("S3cretOfTheSettings")
    desk.settings.external_redis_url = SecretStr("redis://u:PgPassw0rd@h:1/0")
    for number, (what, fields) in enumerate(SECRETS.items()):
        answer(desk, "AddConfig", {**CONFIG, **fields}, f"k{number}", sent())
        [logged] = lines(desk, key=f"k{number}")
        with desk.store.read() as session:
            row = {"key": f"k{number}"}
            stored = str(session.execute(text("SELECT * FROM messages WHERE key = :key"), row).all())
        told = json.dumps([logged, line(desk, logged["id"])["payload"]], ensure_ascii=False)
        for secret in (CANARY, "S3cretOfTheSettings", "PgPassw0rd"):
            assert secret not in stored and secret not in told, what
        assert MASK in stored, what


def test_what_is_no_secret_stays_legible(desk: Desk) -> None:
    text = json.dumps({"eos_token": "</s>", "pad_token": "<pad>", "max_new_tokens": 64, "use_auth_token": True})
    payload = {"type": "custom", "config": text, "description": "skip tokens; a secretary; https://host/path@v1"}
    answer(desk, "AddConfig", payload, "k", sent())
    assert line(desk, lines(desk)[0]["id"])["payload"] == payload


def test_the_key_that_a_reply_told_once_is_not_in_the_log(desk: Desk) -> None:
    add_inputs(desk.store)
    asked = {"base_model_id": "m", "name": "support", "num_memory": 1}
    reply = answer(desk, "StartEndpoint", asked, "k", sent())
    key = reply["value"]["key"]
    assert key.startswith("fts-")
    told = json.dumps(line(desk, lines(desk)[0]["id"]))
    with desk.store.read() as session:
        stored = str(session.execute(text("SELECT * FROM messages")).all())
    assert key not in told and key not in stored


STRANGE: tuple[dict[str, Any], ...] = (
    {"sender": "x" * 9_999, "program": ["a"]},
    {"sender": "a\0\x1b]0;b\x07", "program": "\ud800"},
    {"sender": {"a": 1}, "program": 7, "deliveries": "many"},
)


def test_whatever_a_sender_says_of_itself_is_kept_short_and_storable(desk: Desk) -> None:
    for number, options in enumerate(STRANGE):
        for stamp in (1e300, -1, "now", None, float("nan")):
            told = Sent.of(options, stamp)
            assert len(told.sender) <= 255 and "\0" not in told.sender and told.at is None
        answer(desk, "CancelJob", {"id": "x"}, f"k{number}", Sent.of(options, 5_000))
        [shown] = lines(desk, key=f"k{number}")
        assert shown["sent_at"] == 5.0
        json.dumps(shown).encode()


def test_a_payload_that_is_longer_than_the_log_keeps_is_told_by_its_length(desk: Desk) -> None:
    payload = {"type": "custom", "config": json.dumps({"a": "x" * LONGEST})}
    answer(desk, "AddConfig", payload, "k", sent())
    whole = line(desk, lines(desk)[0]["id"])
    assert whole["payload"] is None and whole["bytes"] > LONGEST and whole["state"] == "done"


def test_what_no_column_holds_is_logged_as_it_can_be(desk: Desk) -> None:
    for number, value in enumerate(["a\0", "\ud800", 2**70]):
        answer(desk, "AddConfig", {**CONFIG, "description": value}, f"k{number}", sent())
    assert [each["state"] for each in lines(desk)] == ["refused"] * 3
    assert line(desk, lines(desk, key="k0")[0]["id"])["payload"]["description"] == "a\0"


def test_the_newest_lines_are_kept(desk: Desk) -> None:
    desk.settings.keep_messages = 2
    for n in range(4):
        answer(desk, "CancelJob", {"id": str(n)}, f"k{n}", sent())
    retain(desk, time.time())
    assert [each["key"] for each in lines(desk)] == ["k3", "k2"]


def test_a_log_that_cannot_be_written_keeps_no_answer_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("core.store.sent.Line.note", full)
    assert answer(desk, "AddConfig", {"tea": 1}, "k", sent())["code"] == "refused"


def test_a_jobs_line_leads_to_the_job(desk: Desk) -> None:
    add_inputs(desk.store)
    id = start(desk)
    answer(desk, "SetJobPriority", {"id": id, "priority": 3}, "k", sent())
    assert (lines(desk)[0]["kind"], lines(desk)[0]["resource_id"]) == ("jobs", id)
