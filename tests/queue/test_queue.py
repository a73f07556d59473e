"""The queue as its users meet it: real Valkey, real workers, real kills."""

from __future__ import annotations

import os
import signal
import statistics
import time
from typing import Any

import dramatiq
import redis
from dramatiq.results.backends import RedisBackend

from core.queue import dead, wire
from tests.queue.conftest import Serve, Start, until


def echo(n: int = 0, **options: Any) -> wire.WireMessage:
    return wire.new_message("echo", "commands", {"n": n}, **options)


def test_a_spaced_request_is_answered_in_milliseconds(client: redis.Redis, ns: str, serve: Serve) -> None:
    serve()
    medians = []
    while not medians or (medians[-1] >= 0.05 and len(medians) < 10):  # the machine may do much else meanwhile
        took = []
        for n in range(20):
            time.sleep(0.05)
            begun = time.perf_counter()
            assert wire.ask(client, ns, echo(n), 60) == {"ok": True, "value": {"n": n}}
            took.append(time.perf_counter() - begun)
        medians.append(statistics.median(took))
    assert min(medians) < 0.05, medians  # stock Dramatiq takes 0.2 s each time


async def test_asking_from_asyncio_gives_the_same(valkey_url: str, ns: str, serve: Serve) -> None:
    from core.queue.connect import connect_async

    serve()
    async with connect_async(valkey_url) as client:
        assert await wire.ask_async(client, ns, echo(3), 60) == {"ok": True, "value": {"n": 3}}


def test_messages_are_what_dramatiq_itself_would_send(client: redis.Redis, ns: str) -> None:
    message = echo(7, key="k", expires_at=12.5)
    decoded = dramatiq.Message.decode(message.data)
    assert decoded.encode() == message.data
    assert decoded.options == {"redis_message_id": message.slot, "key": "k", "expires_at": 12500}


def test_a_stock_client_sends_and_reads_the_reply(client: redis.Redis, ns: str, serve: Serve) -> None:
    serve()
    from dramatiq.brokers.redis import RedisBroker

    stock = RedisBroker(client=client, namespace=ns, middleware=[])
    message = stock.enqueue(
        dramatiq.Message(queue_name="commands", actor_name="echo", args=(), kwargs={"payload": {"n": 1}}, options={})
    )
    backend = RedisBackend(client=client, namespace=f"{ns}-results")
    assert message.get_result(backend=backend, block=True, timeout=60_000) == {"ok": True, "value": {"n": 1}}


def test_a_stock_worker_runs_what_we_send(client: redis.Redis, ns: str) -> None:
    from dramatiq.brokers.redis import RedisBroker
    from dramatiq.results import Results

    broker = RedisBroker(
        client=client,
        namespace=ns,
        middleware=[Results(backend=RedisBackend(client=client, namespace=f"{ns}-results"))],
    )
    dramatiq.actor(lambda payload: payload, broker=broker, actor_name="echo", queue_name="commands", store_results=True)
    worker = dramatiq.Worker(broker, worker_timeout=20)
    worker.start()
    assert wire.ask(client, ns, echo(9), 60) == {"n": 9}
    worker.stop()


def test_what_cannot_be_decoded_or_is_unknown_delays_nobody(client: redis.Redis, ns: str, serve: Serve) -> None:
    bad: list[bytes] = [b"\xff{", b"{}", b"[1]", b'{"queue_name":1}']
    for index, raw in enumerate(bad):
        client.hset(f"{ns}:commands.msgs", f"bad{index}", raw)
        client.rpush(f"{ns}:commands", f"bad{index}")
    good = [echo(n) for n in range(7)]
    for message in good:
        wire.enqueue(client, ns, message)
    serve()
    reply = wire.ask(client, ns, wire.new_message("nobody", "commands", {}), 60)
    assert reply is not None and reply["code"] == "refused" and reply["breaches"][0]["rule"] == "MS-104"
    until(lambda: client.llen(f"{ns}:done") == 7)
    until(lambda: len(dead.newest(client, ns)) == len(bad) + 1)
    assert {letter.raw for letter in dead.newest(client, ns)} >= set(bad)
    until(lambda: client.hlen(f"{ns}:commands.msgs") == 0)


def test_an_expired_message_is_not_run(client: redis.Redis, ns: str, serve: Serve) -> None:
    serve()
    reply = wire.ask(client, ns, echo(1, expires_at=time.time() - 1), 60)
    assert reply is not None and reply["code"] == "expired"
    assert client.llen(f"{ns}:done") == 0


def test_a_killed_workers_message_is_back_within_15_seconds(client: redis.Redis, ns: str, start: Start) -> None:
    first = start()
    message = wire.new_message("wait", "commands", {"seconds": 60})
    wire.enqueue(client, ns, message)
    assert client.blpop([f"{ns}:begun"], timeout=20)
    second = start()
    until(lambda: client.zcard(f"{ns}:__heartbeats__") == 2)  # the other one is at work too
    first.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    assert client.blpop([f"{ns}:begun"], timeout=20)[1] == str(second.pid).encode()
    assert time.monotonic() - killed < 15


def test_poison_is_buried_after_three_kills_and_its_neighbours_are_done(
    client: redis.Redis, ns: str, start: Start
) -> None:
    for n in range(4):
        wire.enqueue(client, ns, echo(n))
    poison = wire.new_message("kill", "commands", {})
    wire.enqueue(client, ns, poison)
    for n in range(4, 8):
        wire.enqueue(client, ns, echo(n))
    kills = 0
    process = start()
    until_time = time.monotonic() + 80
    while not dead.newest(client, ns):
        assert time.monotonic() < until_time
        if process.poll() is not None:
            kills += 1
            client.zadd(
                f"{ns}:__heartbeats__", dict.fromkeys(client.zrange(f"{ns}:__heartbeats__", 0, -1), 0)
            )  # dead at once: saves 10 s each
            process = start()
        time.sleep(0.05)
    assert kills == 3
    assert len(dead.newest(client, ns)) == 1
    until(lambda: {int(n) for n in client.lrange(f"{ns}:done", 0, -1)} == set(range(8)))
    key = wire.reply_key(ns, poison)
    assert b"worker died 3 times" in client.lindex(key, 0)
    until(lambda: not list(client.scan_iter(f"{ns}:deliveries*")))


def test_a_graceful_stop_loses_nothing(client: redis.Redis, ns: str, start: Start) -> None:
    first = start()
    for n in range(300):
        wire.enqueue(client, ns, echo(n))
    until(lambda: client.llen(f"{ns}:done") > 0)
    first.terminate()
    assert first.wait(60) == 0
    start()
    until(lambda: client.llen(f"{ns}:done") >= 300)
    assert sorted(int(n) for n in client.lrange(f"{ns}:done", 0, -1)) == list(range(300))


def test_a_busy_worker_is_not_spun(client: redis.Redis, ns: str, serve: Serve) -> None:
    serve(threads=1)
    for _ in range(4):
        wire.enqueue(client, ns, wire.new_message("wait", "commands", {"seconds": 0.3}))
    until(lambda: client.llen(f"{ns}:begun") >= 1)
    before = sum(os.times()[:2])
    time.sleep(0.5)
    assert sum(os.times()[:2]) - before < 0.4
