"""Whatever lies in a queue, the messages behind it are done, and who can be answered is answered."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import redis

from core.queue import dead, wire
from tests.queue.conftest import Serve, until

GOOD = {
    "queue_name": "commands",
    "actor_name": "echo",
    "args": [],
    "kwargs": {"payload": {}},
    "options": {},
    "message_id": "m",
    "message_timestamp": 1,
}
FAR = 10**15  # milliseconds


def lay(client: redis.Redis, ns: str, raw: bytes, slot: bytes = b"bad") -> None:
    client.hset(f"{ns}:commands.msgs", slot, raw)
    client.rpush(f"{ns}:commands", slot)


def envelope(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def echoed(client: redis.Redis, ns: str) -> bool:
    message = wire.new_message("echo", "commands", {"n": 1})
    return wire.ask(client, ns, message, 60) == {"ok": True, "value": {"n": 1}}


BAD = {
    "not UTF-8": b"\xff{",
    "not JSON": b"{",
    "no object": b"[1]",
    "deep": b"[" * 100_000,
    "no fields": b"{}",
    "too many fields": envelope(more=1),
    "another queue": envelope(queue_name="elsewhere"),
    "a known but other queue": envelope(queue_name="commands.DQ"),
    "a list for a name": envelope(actor_name=["echo"]),
    "half a character for a name": envelope(actor_name="\ud800"),
    "half a character for an id": envelope(message_id="\ud800"),
    "a number for an id": envelope(message_id=7),
    "no options": envelope(options=None),
    "no keywords": envelope(kwargs=[1]),
    "no arguments": envelope(args=None),
}


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD)
def test_what_cannot_be_read_is_kept_as_it_was_and_delays_nobody(
    raw: bytes, client: redis.Redis, ns: str, serve: Serve
) -> None:
    for n in range(9):  # more than there are threads
        lay(client, ns, raw, b"bad%d\xff" % n)
    serve(threads=2)
    begun = time.monotonic()
    assert echoed(client, ns)
    assert time.monotonic() - begun < 9  # a consumer that begins anew after each takes 27
    until(lambda: len(dead.newest(client, ns)) == 9)
    letters = [dead.whole(client, ns, each.id) for each in dead.newest(client, ns)]
    assert {letter.raw for letter in letters if letter} == {raw}
    until(lambda: client.hlen(f"{ns}:commands.msgs") == 0)  # taken off after the letter is kept
    assert not list(client.scan_iter(f"{ns}:__acks__*"))


@pytest.mark.parametrize(
    "options", [{"eta": FAR}, {"throws": "x"}, {"result_ttl": "x"}, {"deliveries": 9}, {"priority": "x"}]
)
def test_options_that_are_not_the_studios_change_nothing(
    options: dict[str, Any], client: redis.Redis, ns: str, serve: Serve
) -> None:
    for n in range(9):
        lay(client, ns, envelope(options=options, message_id=f"m{n}"), b"odd%d" % n)
    serve(threads=2)
    assert echoed(client, ns)
    until(lambda: client.llen(f"{ns}:done") == 10)
    replied = wire.WireMessage("echo", "commands", "m0", "", b"")
    until(lambda: client.exists(wire.reply_key(ns, replied)))


@pytest.mark.parametrize(
    ("changes", "rule"), [({"actor_name": "nobody"}, "MS-104"), ({"kwargs": [1]}, "MS-101"), ({"options": 1}, "MS-101")]
)
def test_a_sender_whose_message_cannot_be_run_is_told(
    changes: dict[str, Any], rule: str, client: redis.Redis, ns: str, serve: Serve
) -> None:
    serve()
    lay(client, ns, envelope(**changes))
    replied = wire.WireMessage(changes.get("actor_name", "echo"), "commands", "m", "", b"")
    reply: Any = client.blpop([wire.reply_key(ns, replied)], timeout=20)
    assert json.loads(reply[1])["code"] == "refused"
    assert json.loads(reply[1])["breaches"][0]["rule"] == rule


def test_a_handler_that_raises_is_answered_for_and_its_message_kept(client: redis.Redis, ns: str, serve: Serve) -> None:
    serve()
    reply = wire.ask(client, ns, wire.new_message("fail", "commands", {}), 60)
    assert reply is not None and reply["code"] == "internal"
    letter = until(lambda: dead.newest(client, ns))[0]
    assert "RuntimeError" in letter.reason
    assert json.loads(letter.raw)["actor_name"] == "fail"
    assert echoed(client, ns)
