"""Dead letters for people: shown without secrets, mended, sent again once even when the studio is killed on the way."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import redis

from actors import answering, app, letters
from actors.answering import answer
from actors.desk import Desk
from core.masking import MASK
from core.queue import dead, wire
from core.queue.connect import connect
from core.store.eventlog import events_after
from core.store.session import Store
from tests.queue.test_dead import bury, lying

TOKEN = "hf_" + "Canary1234567890"
CONFIG = {"type": "lora_config", "config": '{"r": 8}'}


def add(desk: Desk, payload: Any = CONFIG, name: str = "AddConfig", key: str = "its-key") -> str:
    """A letter that says this."""
    sender = {"sender": "maria@gpu1", "program": "fts"}
    sent = wire.new_message(name, "commands", payload, key=key, expires_at=1.0, sender=sender)
    return bury(desk.redis, desk.settings.namespace, sent.data)


def raw(desk: Desk, data: bytes) -> str:
    return bury(desk.redis, desk.settings.namespace, data)


def show(desk: Desk, id: str) -> dict[str, Any]:
    letter: dict[str, Any] = answer(desk, "GetDeadLetter", {"id": id})["value"]["letter"]
    return letter


def requeue(desk: Desk, id: str, key: str = "k", **more: Any) -> dict[str, Any]:
    return answer(desk, "RequeueDeadLetter", {"id": id, **more}, key)


def queued(desk: Desk, queue: str = "commands") -> list[dict[str, Any]]:
    return lying(desk.redis, desk.settings.namespace, queue)


def happened(desk: Desk, type: str) -> list[Any]:
    with desk.store.read() as session:
        return events_after(session, 0, type=type)


def test_a_letter_goes_out_as_it_was_under_its_own_key_and_no_longer_expires(desk: Desk) -> None:
    id = add(desk)
    assert show(desk, id)["payload"] == CONFIG
    assert show(desk, id)["sender"] == "maria@gpu1"
    value = requeue(desk, id)["value"]
    assert value == {"id": id, "name": "AddConfig", "queue": "commands", "key": "its-key"}
    [message] = queued(desk)
    assert message["kwargs"] == {"payload": CONFIG}
    options = message["options"]
    assert options.pop("redis_message_id")
    assert options == {"key": "its-key", "sender": "maria@gpu1", "program": "fts"}
    assert answer(desk, "ListDeadLetters", {})["value"]["letters"] == []


def test_what_was_done_before_it_died_is_not_done_again(desk: Desk) -> None:
    assert answer(desk, "AddConfig", CONFIG, "its-key")["ok"]
    before = len(happened(desk, "ResourceAdded"))
    id = add(desk)
    assert show(desk, id)["answered"] == {"state": "done", "message": ""}
    requeue(desk, id)
    [message] = queued(desk)
    reply = answer(desk, message["actor_name"], message["kwargs"]["payload"], message["options"]["key"])
    assert reply["ok"] and len(happened(desk, "ResourceAdded")) == before


def test_a_mended_letter_goes_out_under_another_key(desk: Desk) -> None:
    id = add(desk, {**CONFIG, "type": "tea"})
    refused = requeue(desk, id, "one")
    assert {(each["rule"], each["field"]) for each in refused["breaches"]} == {("CF-001", "payload.type")}
    assert queued(desk) == [] and show(desk, id)
    assert requeue(desk, id, "two", payload=CONFIG)["value"]["key"] == f"letter-{id}"
    assert queued(desk)[0]["kwargs"]["payload"] == CONFIG


def test_who_asks_again_for_the_same_hears_the_same_and_who_wants_it_otherwise_hears_of_that(desk: Desk) -> None:
    id = add(desk)
    first = requeue(desk, id, "one")["value"]
    assert requeue(desk, id, "one")["value"] == requeue(desk, id, "two")["value"] == first
    other = requeue(desk, id, "three", payload=CONFIG)
    assert other["code"] == "conflict" and "its-key" in other["message"]
    assert len(queued(desk)) == 1 and len(happened(desk, "LetterRequeued")) == 1
    assert "sent again as AddConfig" in answer(desk, "GetDeadLetter", {"id": id})["message"]


STEPS: dict[str, tuple[Any, str, bool]] = {  # where the process is killed: module, function, and whether after it
    "before the letter moves": (dead, "requeue", False),
    "after the letter moved": (dead, "requeue", True),
    "before the reply is kept": (answering.Letter, "remember", False),
    "after the reply was written": (answering.Letter, "remember", True),
    "after the commit": (Desk, "publish_unit", False),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_on_the_way_neither_loses_nor_doubles_a_letter(desk: Desk, step: str) -> None:
    id = add(desk)
    child = os.fork()
    if child == 0:
        die_at(desk, id, *STEPS[step])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    there, out = dead.whole(desk.redis, desk.settings.namespace, id), queued(desk)
    assert (there is None) == (len(out) == 1), "it is in one of both places"
    value = requeue(desk, id)["value"]  # the queue delivers the command again
    assert value["key"] == "its-key"
    assert [each["kwargs"]["payload"] for each in queued(desk)] == [CONFIG]
    assert dead.count(desk.redis, desk.settings.namespace) == 0
    assert len(happened(desk, "LetterRequeued")) == 1


def die_at(desk: Desk, id: str, owner: Any, name: str, after: bool) -> None:
    """In a process of its own, with connections of its own: ask for the letter, and die at that step."""
    try:
        real: Callable[..., Any] = getattr(owner, name)

        def deadly(*arguments: Any, **named: Any) -> None:
            if after:
                real(*arguments, **named)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(owner, name, deadly)
        requeue(Desk(desk.settings, Store(desk.settings), connect(desk.settings.redis_url)), id)
    finally:
        os._exit(1)


BAD = {
    "not JSON": b"\xff\xfe{",
    "nothing": b"",
    "a list": b"[1]",
    "deep": b"[" * 50_000,
    "no payload": b'{"actor_name": "AddConfig", "kwargs": {"x": 1}}',
    "escapes": b'{"actor_name": "\\u001b]0;x\\u0007", "kwargs": {"payload": {}}}',
    "half a character": b'{"actor_name": "\\ud800", "options": {"key": "\\ud800"}, "kwargs": {"payload": {}}}',
    "NUL": b'{"actor_name": "a\\u0000", "message_id": 7, "options": [], "kwargs": null}',
}


def test_whatever_a_letter_is_it_is_shown_and_mended(desk: Desk) -> None:
    for number, (what, data) in enumerate(BAD.items()):
        id = raw(desk, data)
        [listed] = answer(desk, "ListDeadLetters", {})["value"]["letters"]
        assert (listed["id"], listed["bytes"]) == (id, len(data)), what
        json.dumps(show(desk, id)).encode()
        assert requeue(desk, id, f"a{number}")["code"] == "refused", what
        assert show(desk, id)["bytes"] == len(data), what
        assert requeue(desk, id, f"b{number}", payload=CONFIG, name="AddConfig")["ok"], what
        assert queued(desk)[-1]["kwargs"]["payload"] == CONFIG


def test_a_letter_of_ten_megabytes_is_cut_where_it_is_shown_and_goes_out_whole(desk: Desk) -> None:
    big = {"type": "lora_config", "config": json.dumps({"r": 8}) + " " * 10_000_000}
    id = add(desk, big)
    shown = show(desk, id)
    assert shown["cut"] and len(shown["raw"]) <= letters.SHOWN and shown["payload"] is None
    assert shown["name"] == "AddConfig" and len(json.dumps(answer(desk, "ListDeadLetters", {}))) < 2_000
    assert requeue(desk, id)["ok"]
    assert queued(desk)[0]["kwargs"]["payload"] == big


def test_secrets_are_masked_where_a_letter_is_shown_and_whole_where_it_goes_out(desk: Desk) -> None:
    payload = {"type": "custom", "config": json.dumps({"hub_token": TOKEN}), "description": f"Bearer {TOKEN}"}
    id = add(desk, payload)
    shown = show(desk, id)
    told = json.dumps([shown, answer(desk, "ListDeadLetters", {})])
    assert TOKEN not in told and MASK in shown["payload"]["config"]
    edited = {**shown["payload"], "type": "lora_config", "description": f"{MASK} elsewhere"}
    assert requeue(desk, id, "a", payload=edited)["breaches"][0]["rule"] == "DL-104"
    edited["description"] = shown["payload"]["description"]
    refused = requeue(desk, id, "b", payload=edited)  # no LoRA setting, but it was read with its secret
    assert refused["code"] == "refused" and TOKEN not in json.dumps(refused)
    assert requeue(desk, id, "c")["ok"]
    assert queued(desk)[0]["kwargs"]["payload"] == payload


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_secret_with_spaces_is_masked_whole_wherever_a_letter_is_shown(desk: Desk) -> None:
    inner = json.dumps({"passphrase": 'correct "horse" battery', "r": 8})
    id = add(desk, {"type": "lora_config", "config": inner, "password": "canary, staple} hf_abcdefgh12 wagon"})
    told = json.dumps([show(desk, id), answer(desk, "ListDeadLetters", {})])
    assert not [word for word in ("horse", "battery", "staple", "wagon") if word in told]
    assert "lora_config" in told and '\\"r\\": 8' in json.dumps(show(desk, id)["payload"])


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_letter_of_any_depth_is_shown_and_no_place_among_them_is_a_fault(desk: Desk) -> None:
    for depth in (110, 300, 900):
        nested = "[" * depth + "]" * depth
        id = raw(desk, f'{{"actor_name": "AddConfig", "kwargs": {{"payload": {{"a": {nested}}}}}}}'.encode())
        assert json.dumps(show(desk, id)["payload"]).count("[") < depth
        refused = requeue(desk, id, f"k{depth}")
        assert refused["code"] == "refused", refused
    for after in ("0-0", "00-000"):
        (breach,) = answer(desk, "ListDeadLetters", {"after": after})["breaches"]
        assert (breach["rule"], breach["field"]) == ("MS-105", "after")


def test_an_unchanged_secret_comes_back_in_an_edited_letter(desk: Desk) -> None:
    payload = {"type": "huggingface", "huggingface_name": "org/rows", "description": f"token={TOKEN}"}
    id = add(desk, payload, "AddDataset")
    edited = {**show(desk, id)["payload"], "huggingface_name": "org/others"}
    assert edited["description"] == f"token={MASK}"
    assert requeue(desk, id, payload=edited)["ok"]
    assert queued(desk, "slow")[0]["kwargs"]["payload"] == {**payload, "huggingface_name": "org/others"}


def test_letters_are_searched_dropped_and_told_of(desk: Desk) -> None:
    ids = [add(desk, name=name) for name in ("AddConfig", "AddModel", "AddPrompt")]
    found = answer(desk, "ListDeadLetters", {"contains": "addmodel why"})["value"]
    assert [each["id"] for each in found["letters"]] == [ids[1]] and found["total"] == 3
    page = answer(desk, "ListDeadLetters", {"limit": 2})["value"]
    assert page["has_more"]
    rest = answer(desk, "ListDeadLetters", {"limit": 2, "after": page["letters"][-1]["id"]})["value"]
    assert [each["id"] for each in rest["letters"]] == [ids[0]] and not rest["has_more"]
    dropped = answer(desk, "DropDeadLetters", {"ids": [*ids[:2], "gone", ids[0]]}, "k")["value"]
    assert dropped == {"dropped": 2, "gone": 1}
    assert [event.data for event in happened(desk, "LettersDropped")] == [{"number": 2}]


def test_a_message_that_could_not_be_run_is_an_event_and_in_the_log_of_messages(
    desk: Desk, client: redis.Redis
) -> None:
    broker = app.make_broker(desk)
    consumer = broker.consume("commands", timeout=50)
    ns = desk.settings.namespace
    wire.enqueue(client, ns, wire.new_message("AddConfig", "commands", CONFIG, key="late", expires_at=1.0))
    message = next(consumer)
    broker.refuse(message, "expired", f"it waited too long for {TOKEN}")
    message.options["given_up"] = f"its handler raised {TOKEN}"
    consumer.nack(message)
    [event] = happened(desk, "MessageBuried")
    assert event.kind == "letters" and event.level == "error" and TOKEN not in event.message
    [letter] = dead.newest(client, ns)
    assert event.resource_id == letter.id
    lines = answer(desk, "ListMessages", {"key": "late"})["value"]["messages"]
    assert {line["state"] for line in lines} == {"expired", "internal"}
    assert TOKEN not in json.dumps(lines)
    broker.close()
