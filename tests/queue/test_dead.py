"""Dead letters at the queue: kept within bounds, listed without what they weigh, sent again once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis

from core.queue import dead, wire


def bury(client: redis.Redis, ns: str, raw: bytes, reason: str = "why") -> str:
    """A letter as a worker buries it."""
    client.sadd(f"{ns}:held", "slot")
    client.hset(f"{ns}:commands.msgs", "slot", raw)
    id = dead.bury(client, ns, "commands", f"{ns}:held", f"{ns}:deliveries:slot".encode(), b"slot", reason)
    assert id is not None
    return id


def lying(client: redis.Redis, ns: str, queue: str = "commands") -> list[dict[str, Any]]:
    """The messages in a queue, in order."""
    slots: Any = client.lrange(f"{ns}:{queue}", 0, -1)
    return [json.loads(client.hget(f"{ns}:{queue}.msgs", slot) or b"") for slot in slots]


def message(n: int = 1) -> wire.WireMessage:
    return wire.new_message("echo", "commands", {"n": n}, key="k")


def test_what_another_worker_has_by_now_is_not_buried(client: redis.Redis, ns: str) -> None:
    assert dead.bury(client, ns, "commands", f"{ns}:held", b"x", b"slot", "why") is None
    assert dead.count(client, ns) == 0


def test_numbers_and_bytes_are_bounded_and_the_newest_stays(
    client: redis.Redis, ns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead, "LETTERS", 5)
    ids = [bury(client, ns, b"%d" % n) for n in range(8)]
    assert [each.id for each in dead.newest(client, ns)] == ids[:2:-1]
    monkeypatch.setattr(dead, "BYTES", 1_000)
    last = [bury(client, ns, bytes(400)) for _ in range(4)]
    assert [each.id for each in dead.newest(client, ns)] == last[:1:-1]
    huge = bury(client, ns, bytes(5_000))
    assert [(each.id, each.size) for each in dead.newest(client, ns)] == [(huge, 5_000)]
    assert client.get(f"{ns}:dead:bytes") == b"5000"
    assert dead.drop(client, ns, [huge, huge, "gone", "1-1"]) == 1
    assert client.get(f"{ns}:dead:bytes") == b"0"


def test_a_list_reads_the_beginnings_of_large_letters_and_goes_back_to_the_oldest(client: redis.Redis, ns: str) -> None:
    whole = b"x" * 10_000_000
    ids = [bury(client, ns, each) for each in (b"", b"\xff{", whole)]
    page = dead.newest(client, ns, limit=2)
    assert [(each.size, len(each.raw)) for each in page] == [(len(whole), dead.HEAD), (2, 2)]
    assert [each.id for each in dead.newest(client, ns, page[-1].id)] == [ids[0]]
    assert [each.id for each in dead.every(client, ns)] == ids[::-1]
    letter = dead.whole(client, ns, ids[2])
    assert letter is not None and letter.raw == whole


def test_a_letter_goes_out_once_however_many_ask(client: redis.Redis, ns: str) -> None:
    id = bury(client, ns, b"raw")
    told: list[Any] = []

    def ask(n: int) -> Callable[[], None]:
        return lambda: told.append(dead.requeue(client, ns, id, message(n), {"by": n}))

    threads = [threading.Thread(target=ask(n)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lying(client, ns)) == 1
    first = lying(client, ns)[0]["kwargs"]["payload"]["n"]
    assert told == [{"by": first}] * 8
    assert dead.became(client, ns, id) == {"by": first}
    assert dead.count(client, ns) == 0 and client.get(f"{ns}:dead:bytes") == b"0"
    assert 0 < client.ttl(f"{ns}:dead:sent:{id}") <= dead.MARKED


@pytest.mark.parametrize("id", ["gone", "", "1-1", "99999999999999999999-0", "٣-٣", "+", "(1-0", "1-0\n"])
def test_an_id_that_is_none_is_nothing(client: redis.Redis, ns: str, id: str) -> None:
    assert dead.whole(client, ns, id) is None
    assert dead.requeue(client, ns, id, message(), {}) is None
    assert dead.became(client, ns, id) is None
    assert dead.drop(client, ns, [id]) == 0
    assert lying(client, ns) == []
